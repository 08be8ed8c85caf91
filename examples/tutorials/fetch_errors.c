/* SPDX-License-Identifier: MIT */
/* Fetches that go wrong, each in its own way, and what one learns of it: a result below zero, at the place of the call. The server is
 * its own, on loopback.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/fetch_errors
 * Installed:           cc -O2 -o fetch_errors fetch_errors.c web.c $(pkg-config --cflags --libs whorl) && ./fetch_errors */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "web.h"

static int answer(const char *method, const char *path, struct web_answer *answer, void *arg)
{
    struct web_page pages[] = {{"/", "Example Domain", 0}, {NULL, NULL, 0}};

    (void)arg;
    if (strcmp(path, "/hangs-up") == 0)
        return -ECONNRESET;
    if (strcmp(path, "/broken") == 0)
        answer->status = 500;
    else
        return web_serve_pages(method, path, answer, pages);
    return 0;
}

static void fetch_with_error_handling(const char *what, const char *url)
{
    char body[WEB_BODY_MAX];
    ssize_t length = web_get(url, body, sizeof body);

    if (length < 0)
        printf("%s: an error occurred: %s\n", what, web_error(length));
    else
        printf("%s: data fetched successfully!\n", what);
}

/* A port on which nobody listens: one that was free a moment ago. */
static int closed_port(void)
{
    int listener = whorl_tcp_listen("127.0.0.1", 0, NULL), port = listener;

    if (listener >= 0) {
        port = whorl_tcp_port(listener);
        whorl_close(listener);
    }
    return port;
}

static intptr_t fetch_all(void *arg)
{
    static const struct {
        const char *what, *url; /* %d: a port */
        int closed;             /* the port is one where nobody listens */
    } cases[] = {
        {"a page", "http://127.0.0.1:%d/", 0},
        {"no URL", "no-url", 0},
        {"no such host", "http://no-such-host.invalid:%d/", 0},
        {"nobody listens", "http://127.0.0.1:%d/", 1},
        {"no such page", "http://127.0.0.1:%d/missing", 0},
        {"the server fails", "http://127.0.0.1:%d/broken", 0},
        {"the server hangs up", "http://127.0.0.1:%d/hangs-up", 0},
        {"the page again", "http://127.0.0.1:%d/", 0},
    };
    struct web web;
    int port = web_open(&web, 0, answer, NULL), closed;

    (void)arg;
    if (port < 0) {
        fprintf(stderr, "fetch_errors: cannot start the server: %s\n", web_error(port));
        return port;
    }
    closed = closed_port();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char url[64];
        const char *number = strstr(cases[i].url, "%d");

        if (number == NULL)
            snprintf(url, sizeof url, "%s", cases[i].url);
        else
            snprintf(url, sizeof url, "%.*s%d%s", (int)(number - cases[i].url), cases[i].url, cases[i].closed ? closed : port,
                     number + 2);
        fetch_with_error_handling(cases[i].what, url);
    }
    web_close(&web);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(strcmp(argv[1], "--help") == 0 ? stdout : stderr,
                "usage: fetch_errors\nFetches pages, most of which are not to be had.\n");
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    return whorl_run(fetch_all, NULL, NULL) == 0 ? 0 : 1;
}
