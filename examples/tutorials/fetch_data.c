/* SPDX-License-Identifier: MIT */
/* The tutorial's first coroutine, with a ticker beside it: a task that waits lets the others run.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/fetch_data
 * Installed:           cc -O2 -o fetch_data fetch_data.c $(pkg-config --cflags --libs whorl) && ./fetch_data */
#include <stdio.h>
#include <string.h>

#include <whorl/whorl.h>

static int fetch_data(void)
{
    int err;

    puts("Start fetching...");
    err = whorl_sleep(WHORL_SEC(2)); /* stands for a server that takes its time */
    if (err < 0)
        return err;
    puts("Done fetching!");
    return 0;
}

/* Ticks each 0.6 seconds until its scope is cancelled. */
static intptr_t tick(void *arg)
{
    int err;

    (void)arg;
    while ((err = whorl_sleep(WHORL_MS(600))) == 0)
        puts("tick");
    return err;
}

static intptr_t fetch_beside_a_ticker(void *arg)
{
    struct whorl_scope scope;
    int err;

    (void)arg;
    whorl_scope_open(&scope);
    err = whorl_scope_spawn(&scope, tick, NULL);
    if (err == 0)
        err = fetch_data();
    if (err == 0)
        puts("Fetch data finished.");
    whorl_scope_cancel(&scope, "the data is there");
    whorl_scope_close(&scope);
    return err;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(strcmp(argv[1], "--help") == 0 ? stdout : stderr, "usage: fetch_data\nWaits two seconds while a ticker goes on.\n");
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    return whorl_run(fetch_beside_a_ticker, NULL, NULL) == 0 ? 0 : 1;
}
