/* SPDX-License-Identifier: MIT */
#include "response.h"

#include <stdio.h>

/* More than any head takes. */
#define RESPONSE_HEAD_MAX 512

#define SERVER    "Server: whorl\r\n"
#define TEXT_TYPE "text/plain; charset=utf-8"
#define HELLO     "Hello, World!\n"

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}

/* The protocol's default needs no word: HTTP/1.1 goes on, HTTP/1.0 does not. */
static const char *connection_header(const struct request *request)
{
    if (!request->keep_alive)
        return "Connection: close\r\n";
    return request->http_1_0 ? "Connection: keep-alive\r\n" : "";
}

void response_head(struct output *out, const struct request *request, const struct response *response)
{
    char *start = output_room(out, RESPONSE_HEAD_MAX), *end = start + RESPONSE_HEAD_MAX, *at = start;

    at += snprintf(at, (size_t)(end - at), "HTTP/1.1 %d %s\r\n" SERVER "Date: %.*s\r\n%s", response->status,
                   reason(response->status), DATE_LENGTH, out->date.text, connection_header(request));
    if (response->status == 405)
        at += snprintf(at, (size_t)(end - at), "Allow: GET, HEAD\r\n");
    if (response->modified > 0) {
        char date[DATE_LENGTH];

        date_format(response->modified, date);
        at += snprintf(at, (size_t)(end - at), "Last-Modified: %.*s\r\n", DATE_LENGTH, date);
    }
    if (response->type != NULL)
        at += snprintf(at, (size_t)(end - at), "Content-Type: %s\r\nContent-Length: %llu\r\n", response->type,
                       (unsigned long long)response->length);
    memcpy(at, "\r\n", 2);
    out->used += (size_t)(at + 2 - start);
}

void response_text(struct output *out, const struct request *request, int status, const char *text, size_t length)
{
    struct response response = {.status = status, .type = TEXT_TYPE, .length = length};

    response_head(out, request, &response);
    if (request->method != HTTP_HEAD)
        output_put(out, text, length);
}

void response_error(struct output *out, const struct request *request, int status)
{
    char text[64];
    int length = snprintf(text, sizeof text, "%d %s\n", status, reason(status));

    response_text(out, request, status, text, (size_t)length);
}

void response_hello(struct output *out, const struct request *request)
{
    static const char before[] = "HTTP/1.1 200 OK\r\n" SERVER "Content-Type: " TEXT_TYPE "\r\nContent-Length: 14\r\nDate: ";
    static const char after[] = "\r\n\r\n" HELLO;
    char *at;

    _Static_assert(sizeof HELLO - 1 == 14, "the length above is that of the text");
    if (request->method == HTTP_HEAD || !request->keep_alive || request->http_1_0) {
        response_text(out, request, 200, HELLO, sizeof HELLO - 1);
        return;
    }
    at = output_room(out, RESPONSE_HEAD_MAX);
    memcpy(at, before, sizeof before - 1);
    memcpy(at + sizeof before - 1, out->date.text, DATE_LENGTH);
    memcpy(at + sizeof before - 1 + DATE_LENGTH, after, sizeof after - 1);
    out->used += sizeof before - 1 + DATE_LENGTH + sizeof after - 1;
}

void response_continue(struct output *out)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

    output_put(out, text, sizeof text - 1);
}
