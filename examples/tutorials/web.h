/* SPDX-License-Identifier: MIT */
/* As much of HTTP/1.0 as the tutorials' programs need: a server in a scope, and a client for one page. */
#ifndef WEB_H
#define WEB_H

#include <stdbool.h>

#include <whorl/whorl.h>

#define WEB_BODY_MAX 2048

struct web_answer {
    int status; /* 200 at first */
    char body[WEB_BODY_MAX];
};

/* Answers a request, in a task of the connection. Returns 0, or -errno: the connection is closed without an answer. */
typedef int (*web_handler)(const char *method, const char *path, struct web_answer *answer, void *arg);

/* A running server, from open to close. */
struct web {
    struct whorl_scope scope; /* its tasks */
    int listener;
    web_handler handler;
    void *arg;
};

/* Listens on `port` of 127.0.0.1, 0: a free one, and answers from now on. Opens a scope in the calling task. Returns the port or -errno. */
int web_open(struct web *web, int port, web_handler handler, void *arg);

/* Ends the waits of all that is under way, and stops. */
void web_close(struct web *web);

/* What web_serve_pages has. */
struct web_page {
    const char *path, *body;
    whorl_ns latency; /* WHORL_NEVER: it does not answer */
};

/* The handler of a server whose `arg` is an array of pages that ends with one without a path. */
int web_serve_pages(const char *method, const char *path, struct web_answer *answer, void *arg);

/* Fetches `url`, "http://host:port/path", into body[0] to body[size - 1], a string. Returns its length; -EINVAL: no such URL; -ENOENT: it is
 * not there (404), or the host; -EPROTO: the answer breaks off or is no good; -EMSGSIZE; or what connecting and receiving return. */
ssize_t web_get(const char *url, char *body, size_t size);

/* What such an error means, for people. */
const char *web_error(ssize_t err);

#endif
