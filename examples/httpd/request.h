/* SPDX-License-Identifier: MIT */
/* Requests, one after the other, out of the bytes of a connection. llhttp does the parsing; what is here keeps the whole head of
 * the request in one buffer, so that nothing has to be copied or allocated, and sets the limits. */
#ifndef HTTPD_REQUEST_H
#define HTTPD_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

/* Room for the head of one request: a longer one is answered with 431, or 414 when it is the target that is too long. */
#define HEAD_MAX 8192
/* No resource here takes a body, so one is only skipped, and only up to this size: 413 beyond it. */
#define BODY_MAX 65536

/* Text in the parser's buffer, valid until the next call of a parser function. It may be changed in place. */
struct text {
    char *at;
    size_t length;
};

struct request {
    llhttp_method_t method;
    bool http_1_0;
    bool keep_alive;      /* the client wants to go on after this one */
    struct text target;   /* as it came */
    struct text modified; /* If-Modified-Since; at NULL: not there */
};

enum parse {
    PARSE_REQUEST,  /* *request is whole */
    PARSE_MORE,     /* more bytes are needed */
    PARSE_CONTINUE, /* as before, but the client waits for "100 Continue" before it sends its body */
    PARSE_ERROR     /* parser->status says what to answer; this connection cannot be parsed any further */
};

/* Text in the request being parsed, as its distance from the request's start: the request may be moved in the buffer. */
struct span {
    uint32_t at;
    uint32_t length;
};

/* Fields are the parser's own, except where said. data[start .. end) is the request being parsed, data[parsed .. end) what llhttp
 * has not seen of it. */
struct parser {
    llhttp_t machine;
    uint32_t start;
    uint32_t parsed;
    uint32_t end;
    uint32_t head; /* in the body: the size of the head, which stays in data when the body is dropped */
    uint32_t body; /* in the body: how much of it there was */
    int status;    /* after PARSE_ERROR, for the user */
    uint8_t stage;
    uint8_t header; /* which one the value that comes belongs to */
    uint8_t hosts;  /* how many Host headers, 2 meaning several: HTTP/1.1 has exactly one */
    bool expects_continue;
    struct span target;
    struct span name;
    struct span modified;
    char data[HEAD_MAX];
};

void parser_init(struct parser *parser);

/* Where the next bytes belong, and how many fit: never 0 when parser_next has said PARSE_MORE or PARSE_CONTINUE. */
char *parser_room(struct parser *parser, size_t *size);

/* Tells that `size` bytes have been put there. */
void parser_received(struct parser *parser, size_t size);

/* The next request, as far as it has been received. The same bytes give the same requests and errors however they were split. */
enum parse parser_next(struct parser *parser, struct request *request);

/* Has a request begun that is not whole yet? Asked when parser_next wants more. */
static inline bool parser_pending(const struct parser *parser)
{
    return parser->end > parser->start;
}

/* Has everything been parsed that was received? Asked after a request. */
static inline bool parser_drained(const struct parser *parser)
{
    return parser->parsed == parser->end;
}

#endif
