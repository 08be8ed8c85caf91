/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "web.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEAD_MAX 1024
/* A client has this long to send its request, and to take the answer. */
#define PATIENCE WHORL_SEC(10)
/* How long to wait for descriptors or memory to become free before another try. */
#define PAUSE WHORL_MS(10)

/* Receives until there is an empty line, or no more. Returns how many bytes there are in `head`, a string; -EPROTO: it has no end. */
static ssize_t receive_head(int fd, char *head, size_t size)
{
    size_t used = 0;
    ssize_t n;

    do {
        n = whorl_recv(fd, head + used, size - 1 - used, 0);
        if (n < 0)
            return n;
        used += (size_t)n;
        head[used] = '\0';
    } while (strstr(head, "\r\n\r\n") == NULL && n > 0 && used < size - 1);
    return strstr(head, "\r\n\r\n") != NULL ? (ssize_t)used : -EPROTO;
}

/* The server. */

/* A connection; its task's to free. */
struct visit {
    struct web *web;
    int fd;
};

static const char *status_text(int status)
{
    return status == 200   ? "OK"
           : status == 202 ? "Accepted"
           : status == 400 ? "Bad Request"
           : status == 404 ? "Not Found"
           : status == 503 ? "Service Unavailable"
                           : "Internal Server Error";
}

static int send_answer(int fd, const struct web_answer *answer)
{
    char text[HEAD_MAX + WEB_BODY_MAX];
    int n = snprintf(text, sizeof text, "HTTP/1.0 %d %s\r\nContent-Length: %zu\r\n\r\n%s", answer->status,
                     status_text(answer->status), strlen(answer->body), answer->body);
    ssize_t sent = whorl_send_all(fd, text, (size_t)n, 0);

    return sent < 0 ? (int)sent : 0;
}

static void serve(struct visit *visit)
{
    struct web_answer answer = {.status = 200};
    char head[HEAD_MAX], method[16], path[256];

    whorl_deadline(whorl_after(PATIENCE));
    if (receive_head(visit->fd, head, sizeof head) < 0)
        return;
    whorl_deadline(WHORL_NEVER); /* the handler has as long as it likes */
    if (sscanf(head, "%15s %255s HTTP/1.", method, path) != 2)
        answer.status = 400;
    else if (visit->web->handler(method, path, &answer, visit->web->arg) < 0)
        return;
    whorl_deadline(whorl_after(PATIENCE));
    send_answer(visit->fd, &answer);
}

static intptr_t session(void *arg)
{
    struct visit *visit = arg;

    serve(visit);
    whorl_close(visit->fd);
    free(visit);
    return 0; /* what a client does is no failure of the server's */
}

/* Gives the connection `fd` a task of its own. Returns 0, -ECANCELED or -ENOMEM. */
static int start_session(struct web *web, int fd)
{
    struct visit *visit = malloc(sizeof *visit);
    int err = -ENOMEM;

    if (visit != NULL) {
        *visit = (struct visit){web, fd};
        err = whorl_scope_spawn(&web->scope, session, visit);
    }
    if (err < 0) {
        free(visit);
        whorl_close(fd);
    }
    return err;
}

static intptr_t accept_loop(void *arg)
{
    struct web *web = arg;
    int err = 0;

    while (err != -ECANCELED) {
        int fd = whorl_accept(web->listener);

        err = fd < 0 ? fd : start_session(web, fd);
        if (err < 0 && err != -ECANCELED && err != -ECONNABORTED)
            err = whorl_sleep(PAUSE);
    }
    return 0;
}

int web_open(struct web *web, int port, web_handler handler, void *arg)
{
    int err;

    web->handler = handler;
    web->arg = arg;
    web->listener = whorl_tcp_listen("127.0.0.1", (uint16_t)port, NULL);
    if (web->listener < 0)
        return web->listener;
    whorl_scope_open(&web->scope);
    err = whorl_scope_spawn(&web->scope, accept_loop, web);
    if (err < 0) {
        web_close(web);
        return err;
    }
    return whorl_tcp_port(web->listener);
}

void web_close(struct web *web)
{
    whorl_scope_cancel(&web->scope, "the server stops");
    whorl_scope_close(&web->scope);
    whorl_close(web->listener);
}

int web_serve_pages(const char *method, const char *path, struct web_answer *answer, void *arg)
{
    const struct web_page *page = arg;

    while (page->path != NULL && strcmp(page->path, path) != 0)
        page++;
    if (page->path == NULL || strcmp(method, "GET") != 0) {
        answer->status = page->path == NULL ? 404 : 400;
        return 0;
    }
    snprintf(answer->body, sizeof answer->body, "%s", page->body);
    return whorl_sleep_until(whorl_after(page->latency));
}

/* The client. */

struct url {
    char host[256];
    uint16_t port;
    const char *path;
};

static int parse_url(const char *text, struct url *url)
{
    int used = 0;
    long port = 80;

    if (sscanf(text, "http://%255[^:/]%n", url->host, &used) != 1)
        return -EINVAL;
    text += used;
    if (*text == ':') {
        char *end;

        port = strtol(text + 1, &end, 10);
        if (end == text + 1 || port < 1 || port > 65535)
            return -EINVAL;
        text = end;
    }
    if (*text != '\0' && *text != '/')
        return -EINVAL;
    url->port = (uint16_t)port;
    url->path = *text == '/' ? text : "/";
    return 0;
}

static int send_request(int fd, const struct url *url)
{
    char text[HEAD_MAX];
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", url->path, url->host);
    ssize_t sent;

    if ((size_t)n >= sizeof text)
        return -EINVAL;
    sent = whorl_send_all(fd, text, (size_t)n, 0);
    return sent < 0 ? (int)sent : 0;
}

/* Takes what an answer's head says. Returns 0 or what the status means. */
static int parse_head(const char *head, size_t *length)
{
    const char *field = strcasestr(head, "\r\nContent-Length:");
    int status;

    if (sscanf(head, "HTTP/1.%*d %d", &status) != 1 || field == NULL || sscanf(field + 17, "%zu", length) != 1)
        return -EPROTO;
    return status == 404 ? -ENOENT : status != 200 ? -EPROTO : 0;
}

/* Receives an answer, of which the first bytes come with its head. */
static ssize_t receive_body(int fd, char *body, size_t size)
{
    char head[HEAD_MAX];
    ssize_t n = receive_head(fd, head, sizeof head);
    size_t length = 0, used;
    const char *rest;
    int err = n < 0 ? (int)n : parse_head(head, &length);

    if (err < 0)
        return err;
    if (length >= size)
        return -EMSGSIZE;
    rest = strstr(head, "\r\n\r\n") + 4;
    used = (size_t)(head + n - rest);
    if (used > length)
        return -EPROTO;
    memcpy(body, rest, used);
    n = whorl_recv(fd, body + used, length - used, MSG_WAITALL);
    if (n < 0)
        return n;
    body[length] = '\0';
    return used + (size_t)n == length ? (ssize_t)length : -EPROTO;
}

ssize_t web_get(const char *url, char *body, size_t size)
{
    struct url parts;
    int fd, err = parse_url(url, &parts);
    ssize_t result;

    if (err < 0)
        return err;
    fd = whorl_tcp_connect(parts.host, parts.port);
    if (fd < 0)
        return fd;
    result = send_request(fd, &parts);
    if (result == 0)
        result = receive_body(fd, body, size);
    whorl_close(fd);
    return result;
}

const char *web_error(ssize_t err)
{
    switch (err) {
    case -EINVAL:
        return "not a URL";
    case -ENOENT:
        return "not found";
    case -EAGAIN:
        return "the name service does not answer";
    case -EPROTO:
        return "the answer is no good";
    default:
        return strerror((int)-err);
    }
}
