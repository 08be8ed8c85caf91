/* SPDX-License-Identifier: MIT */
/* A queue of URLs, and four workers that fetch what is in it: kinder to a server than all at once. How the workers learn that there is no
 * more: from a NULL for each of them, or from the queue's end. The pages are on a server of its own, on loopback.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/fetch_queue close
 * Installed:           cc -O2 -o fetch_queue fetch_queue.c web.c $(pkg-config --cflags --libs whorl) && ./fetch_queue close */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "web.h"

#define PAGES   12
#define WORKERS 4

struct crawl {
    struct whorl_queue *urls; /* of const char * */
    bool sentinels;
    atomic_int fetched, under_way, most_under_way;
};

struct worker {
    struct crawl *crawl;
    int number;
};

static int fetch(struct crawl *crawl, const char *url)
{
    char body[WEB_BODY_MAX];
    int under_way = atomic_fetch_add(&crawl->under_way, 1) + 1, most = atomic_load(&crawl->most_under_way);
    ssize_t length;

    while (under_way > most && !atomic_compare_exchange_weak(&crawl->most_under_way, &most, under_way))
        continue;
    length = web_get(url, body, sizeof body);
    atomic_fetch_sub(&crawl->under_way, 1);
    if (length < 0)
        return (int)length;
    atomic_fetch_add(&crawl->fetched, 1);
    return 0;
}

static intptr_t work(void *arg)
{
    const struct worker *worker = arg;
    struct whorl_queue *urls = worker->crawl->urls;
    const char *url;
    int err;

    while ((err = whorl_queue_get(urls, &url)) == 0) {
        if (url == NULL) { /* a sentinel: the signal to stop */
            whorl_queue_done(urls);
            return 0;
        }
        printf("Worker%d started getting %s\n", worker->number, strrchr(url, '/'));
        err = fetch(worker->crawl, url);
        printf("Worker%d finished getting %s\n", worker->number, strrchr(url, '/'));
        whorl_queue_done(urls);
        if (err < 0)
            return err;
    }
    return err == -EPIPE ? 0 : err; /* closed, and nothing is left */
}

/* The end of the work, told in one of the two ways. */
static int end_work(struct crawl *crawl)
{
    const char *sentinel = NULL;
    int err;

    if (!crawl->sentinels) {
        whorl_queue_close(crawl->urls);
        return 0;
    }
    err = whorl_queue_join(crawl->urls); /* all are done */
    for (int i = 0; i < WORKERS && err == 0; i++)
        err = whorl_queue_put(crawl->urls, &sentinel);
    return err;
}

static int fetch_pages(struct crawl *crawl, char urls[][64])
{
    struct worker workers[WORKERS];
    struct whorl_scope scope;
    int err = 0;

    for (int i = 0; i < PAGES && err == 0; i++)
        err = whorl_queue_put(crawl->urls, &(const char *){urls[i]});
    whorl_scope_open(&scope);
    for (int i = 0; i < WORKERS && err == 0; i++) {
        workers[i] = (struct worker){crawl, i + 1};
        err = whorl_scope_spawn(&scope, work, &workers[i]);
    }
    if (err == 0)
        err = end_work(crawl);
    if (err < 0)
        whorl_scope_fail(&scope, err);
    return whorl_scope_close(&scope);
}

static intptr_t crawl_site(void *arg)
{
    char paths[PAGES][16];
    struct web_page site[PAGES + 1] = {{NULL, NULL, 0}};
    struct crawl *crawl = arg;
    char urls[PAGES][64];
    struct web web;
    int port, err = -ENOMEM;

    for (int i = 0; i < PAGES; i++) {
        snprintf(paths[i], sizeof paths[i], "/page%d", i + 1);
        site[i] = (struct web_page){paths[i], "A page", WHORL_MS(2)};
    }
    port = web_open(&web, 0, web_serve_pages, site);
    if (port < 0) {
        fprintf(stderr, "fetch_queue: cannot start the server: %s\n", web_error(port));
        return port;
    }
    for (int i = 0; i < PAGES; i++)
        snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d/page%d", port, i + 1);
    crawl->urls = whorl_queue_create(sizeof(const char *), 0, WHORL_QUEUE_FIFO);
    if (crawl->urls != NULL)
        err = fetch_pages(crawl, urls);
    whorl_queue_destroy(crawl->urls);
    web_close(&web);
    if (err == 0)
        printf("%d pages, at most %d at a time\n", atomic_load(&crawl->fetched), atomic_load(&crawl->most_under_way));
    else
        fprintf(stderr, "fetch_queue: %s\n", web_error(err));
    return err;
}

static int print_usage(FILE *out, int status)
{
    fputs("usage: fetch_queue sentinels|close\n"
          "Fetches twelve pages by four workers from a server of its own. The workers end\n\n"
          "  sentinels  when they get a NULL, one for each\n"
          "  close      when the queue is closed and empty\n"
          "  --help     show this\n",
          out);
    return status;
}

int main(int argc, char **argv)
{
    struct crawl crawl = {.sentinels = argc == 2 && strcmp(argv[1], "sentinels") == 0};

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout, 0);
    if (argc != 2 || (!crawl.sentinels && strcmp(argv[1], "close") != 0))
        return print_usage(stderr, 2);
    return whorl_run(crawl_site, &crawl, NULL) == 0 ? 0 : 1;
}
