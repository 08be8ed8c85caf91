/* SPDX-License-Identifier: MIT */
/* Waits for a server that never answers, but not for ever. The server is its own, on loopback.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/fetch_timeout
 * Installed:           cc -O2 -o fetch_timeout fetch_timeout.c web.c $(pkg-config --cflags --libs whorl) && ./fetch_timeout */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "web.h"

struct fetch {
    char url[64];
    char body[WEB_BODY_MAX];
};

static intptr_t fetch_url(void *arg)
{
    struct fetch *fetch = arg;

    return web_get(fetch->url, fetch->body, sizeof fetch->body);
}

static const char *fetch_with_timeout(struct fetch *fetch, whorl_ns timeout)
{
    intptr_t length;
    int err = whorl_wait_for(fetch_url, fetch, timeout, &length);

    if (err == -ETIMEDOUT)
        return "The request timed out!";
    if (err == 0 && length < 0)
        err = (int)length;
    return err < 0 ? web_error(err) : fetch->body;
}

static intptr_t fetch_both(void *arg)
{
    static struct web_page site[] = {{"/", "Example Domain", 0}, {"/slow", "never seen", WHORL_NEVER}, {NULL, NULL, 0}};
    const whorl_ns *timeout = arg;
    struct fetch fetch;
    struct web web;
    int port = web_open(&web, 0, web_serve_pages, site);

    if (port < 0) {
        fprintf(stderr, "fetch_timeout: cannot start the server: %s\n", web_error(port));
        return port;
    }
    for (int i = 0; site[i].path != NULL; i++) {
        snprintf(fetch.url, sizeof fetch.url, "http://127.0.0.1:%d%s", port, site[i].path);
        printf("%s: %s\n", site[i].path, fetch_with_timeout(&fetch, *timeout));
    }
    web_close(&web);
    return 0;
}

static int print_usage(FILE *out, int status)
{
    fputs("usage: fetch_timeout [--timeout MS]\n"
          "Fetches a page, and one that never comes.\n\n"
          "  --timeout MS  wait so many milliseconds for each, 1 to 60000 (3000)\n"
          "  --help        show this\n",
          out);
    return status;
}

int main(int argc, char **argv)
{
    whorl_ns timeout = WHORL_SEC(3);

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout, 0);
    if (argc == 3 && strcmp(argv[1], "--timeout") == 0) {
        char *end;
        long ms = strtol(argv[2], &end, 10);

        if (*end != '\0' || ms < 1 || ms > 60000)
            return print_usage(stderr, 2);
        timeout = WHORL_MS(ms);
    } else if (argc > 1) {
        return print_usage(stderr, 2);
    }
    return whorl_run(fetch_both, &timeout, NULL) == 0 ? 0 : 1;
}
