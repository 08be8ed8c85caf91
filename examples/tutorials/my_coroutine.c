/* SPDX-License-Identifier: MIT */
/* A loop that says so ten times, four seconds apart, and any number of them at once: they wait together.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/my_coroutine 1
 * Installed:           cc -O2 -o my_coroutine my_coroutine.c $(pkg-config --cflags --libs whorl) && ./my_coroutine 1 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <whorl/whorl.h>

#define COPIES_MAX 10000

static intptr_t my_coroutine(void *arg)
{
    int err = 0;

    (void)arg;
    for (int x = 0; x < 10 && err == 0; x++) {
        puts("running");
        err = whorl_sleep(WHORL_SEC(4));
    }
    return err;
}

static intptr_t run_copies(void *arg)
{
    const long *copies = arg;
    whorl_ns begun = whorl_now();
    struct whorl_scope scope;
    int err = 0;

    whorl_scope_open(&scope);
    for (long i = 0; i < *copies && err == 0; i++)
        err = whorl_scope_spawn(&scope, my_coroutine, NULL);
    if (err < 0)
        whorl_scope_fail(&scope, err);
    err = whorl_scope_close(&scope);
    if (err == 0)
        printf("after %.3f s\n", (double)(whorl_now() - begun) / 1e9);
    return err;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    long copies = argc == 2 ? strtol(argv[1], &end, 10) : 0;

    if (argc == 2 && (strcmp(argv[1], "--help") == 0)) {
        printf(
            "usage: my_coroutine COPIES\nPrints \"running\" ten times, four seconds apart; COPIES, from 1 to %d, do so at once.\n",
            COPIES_MAX);
        return 0;
    }
    if (end == NULL || *end != '\0' || copies < 1 || copies > COPIES_MAX) {
        fprintf(stderr, "usage: my_coroutine COPIES\nCOPIES is a number from 1 to %d.\n", COPIES_MAX);
        return 2;
    }
    return whorl_run(run_copies, &copies, NULL) == 0 ? 0 : 1;
}
