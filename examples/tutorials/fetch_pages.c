/* SPDX-License-Identifier: MIT */
/* Fetches a list of pages at the same time, in three ways: tasks that are joined, calls that are gathered, and a bounded number at a time.
 * The pages are on a server of its own, on loopback.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/fetch_pages tasks
 * Installed:           cc -O2 -o fetch_pages fetch_pages.c web.c $(pkg-config --cflags --libs whorl) && ./fetch_pages tasks */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "web.h"

#define PAGES    5
#define PARALLEL 2

static struct web_page site[] = {
    {"/", "Example Domain", WHORL_MS(20)}, {"/news", "Nothing happened", WHORL_MS(10)}, {"/about", "About us", WHORL_MS(5)},
    {"/contact", "Write to us", 0},        {"/terms", "Be nice", WHORL_MS(15)},         {NULL, NULL, 0},
};

struct fetch {
    char url[64];
    char body[WEB_BODY_MAX];
};

/* Returns the length of the page or -errno. */
static intptr_t fetch_page(void *arg)
{
    struct fetch *fetch = arg;

    return web_get(fetch->url, fetch->body, sizeof fetch->body);
}

static int fetch_by_tasks(struct fetch fetches[], intptr_t lengths[])
{
    struct whorl_task *tasks[PAGES];
    int err = 0;

    for (int i = 0; i < PAGES; i++)
        tasks[i] = whorl_spawn(fetch_page, &fetches[i]);
    for (int i = 0; i < PAGES; i++) {
        lengths[i] = -ENOMEM;
        if (tasks[i] == NULL)
            continue;
        while (whorl_join(tasks[i], &lengths[i]) < 0) { /* who is to stop stops them, and waits all the same */
            whorl_cancel(tasks[i]);
            err = -ECANCELED;
        }
    }
    return err;
}

static int fetch_by_gather(struct fetch fetches[], intptr_t lengths[])
{
    struct whorl_call calls[PAGES];

    for (int i = 0; i < PAGES; i++)
        calls[i] = (struct whorl_call){fetch_page, &fetches[i]};
    return whorl_gather(lengths, calls, PAGES);
}

static int fetch_by_map(struct fetch fetches[], intptr_t lengths[])
{
    return whorl_map(fetch_page, fetches, sizeof fetches[0], PAGES, PARALLEL, lengths);
}

static const struct way {
    const char *name, *about;
    int (*fetch)(struct fetch fetches[], intptr_t lengths[]);
} ways[] = {
    {"tasks", "spawn a task for each, then join them", fetch_by_tasks},
    {"gather", "whorl_gather", fetch_by_gather},
    {"map", "whorl_map, two at a time", fetch_by_map},
};
#define WAYS (sizeof ways / sizeof ways[0])

static intptr_t fetch_all(void *arg)
{
    const struct way *way = arg;
    struct fetch fetches[PAGES];
    intptr_t lengths[PAGES];
    struct web web;
    int port = web_open(&web, 0, web_serve_pages, site), err;

    if (port < 0) {
        fprintf(stderr, "fetch_pages: cannot start the server: %s\n", web_error(port));
        return port;
    }
    for (int i = 0; i < PAGES; i++)
        snprintf(fetches[i].url, sizeof fetches[i].url, "http://127.0.0.1:%d%s", port, site[i].path);
    err = way->fetch(fetches, lengths);
    for (int i = 0; i < PAGES; i++) {
        if (lengths[i] >= 0)
            printf("%-8s %2d bytes: %s\n", site[i].path, (int)lengths[i], fetches[i].body);
        else
            printf("%-8s %s\n", site[i].path, web_error(lengths[i]));
    }
    web_close(&web);
    return err;
}

static int print_usage(FILE *out, int status)
{
    fputs("usage: fetch_pages WAY\nFetches five pages at the same time from a server of its own:\n\n", out);
    for (size_t i = 0; i < WAYS; i++)
        fprintf(out, "  %-7s %s\n", ways[i].name, ways[i].about);
    fputs("  --help  show this\n", out);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout, 0);
    for (size_t i = 0; argc == 2 && i < WAYS; i++) {
        struct way way = ways[i];

        if (strcmp(argv[1], way.name) == 0)
            return whorl_run(fetch_all, &way, NULL) == 0 ? 0 : 1;
    }
    return print_usage(stderr, 2);
}
