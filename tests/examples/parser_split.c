/* SPDX-License-Identifier: MIT */
/* httpd's parser, without a server: the same bytes give the same requests and errors, however they are split, well-formed or
 * damaged. Prints the seed of the random part; `parser_split SEED` runs that one again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../examples/httpd/request.h"
#include "../../examples/httpd/target.h"

#define INPUT_MAX 40000
#define DAMAGED   20000

/* What the parser made of some input, as text. */
struct trace {
    size_t used;
    char text[4 * INPUT_MAX];
};

static uint64_t random_state;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % limit;
}

static void add(struct trace *trace, const char *name, const char *text, size_t length)
{
    int n = snprintf(trace->text + trace->used, sizeof trace->text - trace->used, "%s=%.*s ", name, (int)length, text);

    trace->used += (size_t)n;
    if (trace->used >= sizeof trace->text) {
        fprintf(stderr, "the trace is too long\n");
        abort();
    }
}

static void add_request(struct trace *trace, const struct request *request)
{
    char head[64];
    struct target target = {"", ""};

    snprintf(head, sizeof head, "%s,%d,%d", llhttp_method_name(request->method), request->http_1_0, request->keep_alive);
    add(trace, "request", head, strlen(head));
    add(trace, "raw", request->target.at, request->target.length);
    if (request->modified.at != NULL)
        add(trace, "modified", request->modified.at, request->modified.length);
    if (target_parse(request->target, &target) == 0) {
        add(trace, "path", target.path, strlen(target.path));
        add(trace, "query", target.query, strlen(target.query));
    }
}

/* Parses all requests that are there. Returns 0 when the connection would end. */
static int parse_received(struct parser *parser, struct trace *trace)
{
    struct request request;
    enum parse parse;

    while ((parse = parser_next(parser, &request)) == PARSE_REQUEST) {
        add_request(trace, &request);
        if (!request.keep_alive)
            return 0;
    }
    if (parse == PARSE_ERROR) {
        char status[16];

        snprintf(status, sizeof status, "%d", parser->status);
        add(trace, "error", status, strlen(status));
    }
    return parse != PARSE_ERROR;
}

/* Feeds `input` in pieces that end where `ends` says, and in smaller ones where there is no room. */
static void parse_in_pieces(const char *input, const size_t *ends, size_t count, struct trace *trace)
{
    static struct parser parser;
    size_t at = 0;

    memset(&parser, 0xa5, sizeof parser);
    parser_init(&parser);
    trace->used = 0;
    trace->text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        while (at < ends[i]) {
            size_t room, n;
            char *to = parser_room(&parser, &room);

            if (room == 0) {
                fprintf(stderr, "more is wanted, and there is no room for it\n");
                abort();
            }
            n = ends[i] - at < room ? ends[i] - at : room;
            memcpy(to, input + at, n);
            parser_received(&parser, n);
            at += n;
            if (!parse_received(&parser, trace))
                return;
        }
    }
    add(trace, "pending", parser_pending(&parser) ? "1" : "0", 1);
}

static void print_input(const char *input, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fprintf(stderr, input[i] < ' ' || input[i] > '~' ? "\\x%02x" : "%c", (unsigned char)input[i]);
    fputc('\n', stderr);
}

/* Returns whether the pieces give what the whole gave. */
static int same(const char *input, size_t size, const size_t *ends, size_t count, const struct trace *whole)
{
    static struct trace split;

    parse_in_pieces(input, ends, count, &split);
    if (strcmp(split.text, whole->text) == 0)
        return 1;
    fprintf(stderr, "whole: %s\nsplit: %s\nin %zu pieces, the first of %zu bytes: ", whole->text, split.text, count, ends[0]);
    print_input(input, size);
    return 0;
}

/* Every way to split `input` in two, and byte by byte. Returns how many were wrong. */
static int check_splits(const char *input, size_t size, struct trace *whole)
{
    static size_t ends[INPUT_MAX];
    int wrong = 0;

    parse_in_pieces(input, &size, 1, whole);
    for (size_t at = 1; at < size; at++)
        wrong += !same(input, size, (size_t[]){at, size}, 2, whole);
    for (size_t i = 0; i < size; i++)
        ends[i] = i + 1;
    return wrong + !same(input, size, ends, size, whole);
}

#define HOST                 "Host: test\r\n"
#define LINE(method, target) method " " target " HTTP/1.1\r\n"

static const struct {
    const char *input;
    const char *trace;
} samples[] = {
    {LINE("GET", "/") HOST "\r\n", "request=GET,0,1 raw=/ path=/ query= pending=0 "},
    {"\r\n\n\r\n" LINE("HEAD", "/a%20b?c=%20#d") HOST "\r\n" LINE("GET", "/") HOST "\r\n",
     "request=HEAD,0,1 raw=/a%20b?c=%20#d path=/a b query=c=%20 request=GET,0,1 raw=/ path=/ query= pending=0 "},
    {LINE("GET", "/") HOST "If-Modified-Since:  Sun, 06 Nov 1994 08:49:37 GMT\r\nX: y\r\n\r\n",
     "request=GET,0,1 raw=/ modified=Sun, 06 Nov 1994 08:49:37 GMT path=/ query= pending=0 "},
    {"GET / HTTP/1.0\r\n\r\n", "request=GET,1,0 raw=/ path=/ query= "},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET", "request=GET,1,1 raw=/ path=/ query= pending=1 "},
    {LINE("GET", "http://test") HOST "Connection: close\r\n\r\nrest", "request=GET,0,0 raw=http://test path=/ query= "},
    {LINE("POST", "/x") HOST "Content-Length: 5\r\n\r\nhello" LINE("GET", "/y") HOST "\r\n",
     "request=POST,0,1 raw=/x path=/x query= request=GET,0,1 raw=/y path=/y query= pending=0 "},
    {LINE("PUT", "/") HOST "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nHost: t\r\n: z\r\n\r\n",
     "request=PUT,0,1 raw=/ path=/ query= pending=0 "},
    {LINE("OPTIONS", "*") HOST "\r\n", "request=OPTIONS,0,1 raw=* pending=0 "},
    {LINE("CONNECT", "test:80") HOST "\r\n" LINE("GET", "/%00") HOST "\r\n",
     "request=CONNECT,0,1 raw=test:80 request=GET,0,1 raw=/%00 pending=0 "},
    {LINE("GET", "/") HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" LINE("GET", "/") HOST "\r\n",
     "request=GET,0,1 raw=/ path=/ query= request=GET,0,1 raw=/ path=/ query= pending=0 "},
    {LINE("GET", "/") HOST "\r\n\r\nNONESUCH / HTTP/1.1\r\n", "request=GET,0,1 raw=/ path=/ query= error=501 "},
    {LINE("NONESUCH", "x") HOST "\r\n", "error=400 "},
    {"RUBBISH", "pending=1 "},
    {"rubbish", "error=400 "},
    {"GET / HTTP/1.1\r\nX: y\r\n\r\n", "error=400 "},
    {LINE("GET", "/") HOST HOST "\r\n", "error=400 "},
    {LINE("GET", "/") HOST ": x\r\n\r\n", "error=400 "},
    {LINE("POST", "/") HOST "Content-Length: 65537\r\n\r\n", "error=413 "},
    {"GET / HTTP/3.0\r\n" HOST "\r\n", "error=505 "},
    {"GET / HTTP/1.x\r\n" HOST "\r\n", "error=400 "},
    {"GET /\r\n" HOST "\r\n", "error=400 "},
};

static int check_samples(struct trace *whole)
{
    int wrong = 0;

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        wrong += check_splits(samples[i].input, strlen(samples[i].input), whole);
        if (strcmp(whole->text, samples[i].trace) != 0) {
            fprintf(stderr, "wanted: %s\ngot:    %s\nfor: ", samples[i].trace, whole->text);
            print_input(samples[i].input, strlen(samples[i].input));
            wrong++;
        }
    }
    return wrong;
}

/* `head`, then as many times `filler` as make `size` bytes, then `tail`. Returns the size of all. */
static size_t fill(char *out, const char *head, char filler, size_t size, const char *tail)
{
    size_t used = strlen(head);

    memcpy(out, head, used);
    memset(out + used, filler, size - used);
    memcpy(out + size, tail, strlen(tail));
    return size + strlen(tail);
}

/* Heads about as long as the limit, and bodies beyond the buffer's size. */
static int check_limits(struct trace *whole)
{
    static const struct {
        const char *head;
        size_t size;
        const char *tail;
        const char *trace;
    } limits[] = {
        {LINE("GET", "/") HOST "X: ", HEAD_MAX - 4, "\r\n\r\n", "request=GET,0,1 raw=/ path=/ query= pending=0 "},
        {LINE("GET", "/") HOST "X: ", HEAD_MAX - 3, "\r\n\r\n", "error=431 "},
        {LINE("POST", "/") HOST "Content-Length: 1\r\nX: ", HEAD_MAX - 5, "\r\n\r\nb",
         "request=POST,0,1 raw=/ path=/ query= pending=0 "},
        {LINE("POST", "/") HOST "Content-Length: 1\r\nX: ", HEAD_MAX - 4, "\r\n\r\nb", "error=431 "},
        {"GET /", HEAD_MAX, " HTTP/1.1\r\n", "error=414 "},
        {"NONESUCH /", HEAD_MAX, " HTTP/1.1\r\n", "error=414 "},
        {LINE("POST", "/") HOST "Content-Length: 20000\r\n\r\n", 20054, LINE("GET", "/z") HOST "\r\n",
         "request=POST,0,1 raw=/ path=/ query= request=GET,0,1 raw=/z path=/z query= pending=0 "},
    };
    static char input[INPUT_MAX];
    int wrong = 0;

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        size_t size = fill(input, limits[i].head, 'a', limits[i].size, limits[i].tail);

        wrong += check_splits(input, size, whole);
        if (strcmp(whole->text, limits[i].trace) != 0) {
            fprintf(stderr, "limit %zu: wanted %s, got %.200s\n", i, limits[i].trace, whole->text);
            wrong++;
        }
    }
    return wrong;
}

/* Samples strung together, some bytes replaced, removed or doubled, in pieces of random sizes. */
static int check_damaged(struct trace *whole)
{
    static const char likely[] = "\r\n :/%#?\0;,HTP10ab";
    static char input[INPUT_MAX];
    int wrong = 0;

    for (int round = 0; round < DAMAGED && wrong < 10; round++) {
        size_t size = 0, count = 0, ends[65];

        for (uint32_t i = random_below(3) + 1; i > 0; i--) {
            const char *sample = samples[random_below(sizeof samples / sizeof samples[0])].input;

            memcpy(input + size, sample, strlen(sample));
            size += strlen(sample);
        }
        for (uint32_t i = random_below(4); i > 0 && size > 2; i--) {
            size_t at = random_below((uint32_t)size - 1);
            uint32_t how = random_below(4);

            if (how < 2) {
                input[at] = how == 0 ? likely[random_below(sizeof likely - 1)] : (char)random_below(256);
            } else {
                memmove(input + at + (how == 2), input + at + (how == 3), size - at - (how == 3));
                size = how == 2 ? size + 1 : size - 1;
            }
        }
        parse_in_pieces(input, &size, 1, whole);
        for (size_t at = 0; count < 64 && at < size; count++) {
            at += 1 + random_below(random_below(2) == 0 ? 4 : 60);
            ends[count] = at < size ? at : size;
        }
        ends[count++] = size;
        wrong += !same(input, size, ends, count, whole);
    }
    return wrong;
}

int main(int argc, char **argv)
{
    static struct trace whole;
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL) * 0x9e3779b97f4a7c15;
    int wrong;

    random_state = seed != 0 ? seed : 1;
    printf("seed 0x%" PRIx64 "\n", seed);
    wrong = check_samples(&whole) + check_limits(&whole) + check_damaged(&whole);
    printf("%d wrong\n", wrong);
    return wrong == 0 ? 0 : 1;
}
