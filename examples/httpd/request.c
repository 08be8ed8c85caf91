/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <string.h>
#include <strings.h>

/* How far the request being parsed has come. */
enum { STAGE_HEAD, STAGE_HEAD_DONE, STAGE_BODY, STAGE_DONE, STAGE_BAD_METHOD };

/* The headers that matter here. llhttp itself looks after Connection, Content-Length and Transfer-Encoding. */
enum { HEADER_OTHER, HEADER_EXPECT, HEADER_IF_MODIFIED_SINCE };

/* A span may come in several pieces, one for each time that bytes were received. It reaches to the end of the last. */
static void span_extend(struct parser *parser, struct span *span, const char *at, size_t length)
{
    uint32_t from = (uint32_t)(at - (parser->data + parser->start));

    if (span->length == 0)
        span->at = from;
    span->length = from + (uint32_t)length - span->at;
}

static struct text span_text(struct parser *parser, struct span span)
{
    return (struct text){parser->data + parser->start + span.at, span.length};
}

static bool text_is(struct text text, const char *word, size_t length)
{
    return text.length == length && strncasecmp(text.at, word, length) == 0;
}

static int on_url(llhttp_t *machine, const char *at, size_t length)
{
    struct parser *parser = machine->data;

    span_extend(parser, &parser->target, at, length);
    return 0;
}

static int on_header_field(llhttp_t *machine, const char *at, size_t length)
{
    struct parser *parser = machine->data;

    if (parser->stage == STAGE_HEAD) /* else it is a trailer, after the body */
        span_extend(parser, &parser->name, at, length);
    return 0;
}

static int on_header_field_complete(llhttp_t *machine)
{
    struct parser *parser = machine->data;
    struct text name = span_text(parser, parser->name);

    if (parser->stage != STAGE_HEAD)
        return 0;
    if (name.length == 0)
        return -1; /* a line that begins with a colon */
    parser->name.length = 0;
    parser->header = HEADER_OTHER;
    if (text_is(name, "host", 4))
        parser->hosts = parser->hosts == 0 ? 1 : 2;
    else if (text_is(name, "expect", 6))
        parser->header = HEADER_EXPECT;
    else if (text_is(name, "if-modified-since", 17))
        parser->header = HEADER_IF_MODIFIED_SINCE;
    return 0;
}

static int on_header_value(llhttp_t *machine, const char *at, size_t length)
{
    struct parser *parser = machine->data;

    if (parser->stage != STAGE_HEAD)
        return 0;
    if (parser->header == HEADER_EXPECT)
        parser->expects_continue = true; /* the only expectation that there is */
    else if (parser->header == HEADER_IF_MODIFIED_SINCE)
        span_extend(parser, &parser->modified, at, length);
    return 0;
}

/* Stops llhttp at the end of a head only if there is more to the request than that. */
static int on_headers_complete(llhttp_t *machine)
{
    struct parser *parser = machine->data;
    bool body = (machine->flags & F_CHUNKED) != 0 || machine->content_length > 0;

    machine->upgrade = 0; /* an offer that is not taken up; and CONNECT is a method like another, to be refused */
    parser->stage = STAGE_HEAD_DONE;
    return body ? HPE_PAUSED : 0;
}

static int on_message_complete(llhttp_t *machine)
{
    struct parser *parser = machine->data;

    parser->stage = STAGE_DONE;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

/* Gets ready for the request that starts at parser->parsed. */
static void begin_request(struct parser *parser)
{
    parser->start = parser->parsed;
    parser->body = 0;
    parser->stage = STAGE_HEAD;
    parser->header = HEADER_OTHER;
    parser->hosts = 0;
    parser->expects_continue = false;
    parser->target.length = 0;
    parser->name.length = 0;
    parser->modified.length = 0;
}

void parser_init(struct parser *parser)
{
    llhttp_init(&parser->machine, HTTP_REQUEST, &settings);
    parser->machine.data = parser;
    parser->parsed = 0;
    parser->end = 0;
    parser->status = 0;
    begin_request(parser);
}

char *parser_room(struct parser *parser, size_t *size)
{
    uint32_t kept = parser->end - parser->start;

    if (parser->start > 0) {
        memmove(parser->data, parser->data + parser->start, kept);
        parser->parsed -= parser->start;
        parser->start = 0;
        parser->end = kept;
    }
    *size = HEAD_MAX - kept;
    return parser->data + kept;
}

void parser_received(struct parser *parser, size_t size)
{
    parser->end += (uint32_t)size;
}

static enum parse fail(struct parser *parser, int status)
{
    parser->status = status;
    return PARSE_ERROR;
}

/* All that was received has been parsed, and the request goes on. */
static enum parse want_more(struct parser *parser)
{
    if (parser->stage == STAGE_BODY)
        parser->parsed = parser->end = parser->start + parser->head; /* the body is dropped */
    if (parser->end - parser->start < HEAD_MAX)
        return PARSE_MORE;
    return fail(parser, memchr(parser->data, '\n', HEAD_MAX) == NULL ? 414 : 431);
}

/* llhttp knows no such method, and says so at the first letter that differs. A request line that is in order otherwise is
 * answered with 501; whether it is can only be told once all of it is here. */
static enum parse judge_method(struct parser *parser)
{
    static const char shortest[] = " / HTTP/1.1\r";
    const char *line = parser->data + parser->start, *received = parser->data + parser->end, *space, *end;
    bool proper;

    parser->stage = STAGE_BAD_METHOD;
    while (line < received && (*line == '\r' || *line == '\n'))
        line++;
    space = line;
    while (space < received && ((*space >= 'A' && *space <= 'Z') || *space == '-' || *space == '_'))
        space++;
    if (space < received && (*space != ' ' || space == line))
        return fail(parser, 400);
    end = memchr(space, '\n', (size_t)(received - space));
    if (end == NULL) {
        parser->parsed = parser->end;
        return want_more(parser);
    }
    proper = (size_t)(end - space) >= sizeof shortest - 1 && space[1] == '/' && memcmp(end - 10, " HTTP/1.", 8) == 0;
    return fail(parser, proper ? 501 : 400);
}

/* llhttp takes anything but 1.0 and 1.1 for a mistake: is it a version all the same? `end` is where it gave up. */
static enum parse judge_version(struct parser *parser, const char *end)
{
    bool version = end[-2] == '.' && end[-1] >= '0' && end[-1] <= '9';
    bool spoken = parser->machine.http_major == 1 && parser->machine.http_minor <= 1;

    return fail(parser, version && !spoken ? 505 : 400);
}

static enum parse parse_error(struct parser *parser, llhttp_errno_t err)
{
    switch (err) {
    case HPE_INVALID_METHOD:
        return judge_method(parser);
    case HPE_INVALID_VERSION:
        return judge_version(parser, llhttp_get_error_pos(&parser->machine));
    default:
        return fail(parser, 400);
    }
}

/* The head is there: is it one that is answered at all? Returns 0 or the status that says no. */
static int check_head(const struct parser *parser)
{
    const char *after_target = parser->data + parser->start + parser->target.at + parser->target.length;

    if (parser->machine.http_major == 0 || memcmp(after_target, " HTTP/", 6) != 0) /* llhttp speaks other protocols too */
        return 400;
    if (parser->machine.http_major > 1)
        return 505;
    if (parser->hosts != 1 && (parser->machine.http_minor > 0 || parser->hosts > 1))
        return 400;
    return 0;
}

/* The body of a request begins. */
static enum parse begin_body(struct parser *parser)
{
    int status = check_head(parser);

    if (status != 0)
        return fail(parser, status);
    if (parser->machine.content_length > BODY_MAX)
        return fail(parser, 413);
    parser->stage = STAGE_BODY;
    parser->head = parser->parsed - parser->start;
    if (parser->expects_continue && parser->machine.http_minor > 0 && parser->parsed == parser->end)
        return want_more(parser) == PARSE_MORE ? PARSE_CONTINUE : PARSE_ERROR;
    return PARSE_MORE;
}

static enum parse finish_request(struct parser *parser, struct request *request)
{
    int status = check_head(parser);

    if (status != 0)
        return fail(parser, status);
    request->method = (llhttp_method_t)parser->machine.method;
    request->http_1_0 = parser->machine.http_minor == 0;
    request->keep_alive = llhttp_should_keep_alive(&parser->machine) != 0;
    request->target = span_text(parser, parser->target);
    request->modified = parser->modified.length > 0 ? span_text(parser, parser->modified) : (struct text){NULL, 0};
    return PARSE_REQUEST;
}

/* Lets llhttp see the bytes it has not seen, up to the point where it pauses or finds a mistake. */
static llhttp_errno_t run_machine(struct parser *parser)
{
    llhttp_t *machine = &parser->machine;
    uint32_t from = parser->parsed;
    bool in_body = parser->stage == STAGE_BODY;
    llhttp_errno_t err = llhttp_execute(machine, parser->data + from, parser->end - from);

    parser->parsed = err == HPE_OK ? parser->end : (uint32_t)(llhttp_get_error_pos(machine) - parser->data);
    if (in_body)
        parser->body += parser->parsed - from;
    llhttp_resume(machine); /* which does nothing unless it has paused */
    return err;
}

enum parse parser_next(struct parser *parser, struct request *request)
{
    if (parser->stage == STAGE_DONE)
        begin_request(parser);
    while (parser->parsed < parser->end && parser->stage != STAGE_BAD_METHOD) {
        llhttp_errno_t err = run_machine(parser);

        if (err != HPE_OK && err != HPE_PAUSED)
            return parse_error(parser, err);
        if (parser->body > BODY_MAX)
            return fail(parser, 413);
        if (parser->stage == STAGE_DONE)
            return finish_request(parser, request);
        if (parser->stage == STAGE_HEAD_DONE) {
            enum parse body = begin_body(parser);

            if (body != PARSE_MORE)
                return body;
        }
    }
    return parser->stage == STAGE_BAD_METHOD ? judge_method(parser) : want_more(parser);
}
