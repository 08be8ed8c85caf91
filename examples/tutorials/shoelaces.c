/* SPDX-License-Identifier: MIT */
/* A jog, and shoe laces that come loose on the way. Concurrent: one worker, which leaves off running while it ties them. Parallel: two
 * workers, one of which ties while the other runs on, if you can imagine it.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/shoelaces --workers 2
 * Installed:           cc -O2 -o shoelaces shoelaces.c $(pkg-config --cflags --libs whorl) && ./shoelaces --workers 2 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <whorl/whorl.h>

#define KILOMETRES 6
#define EFFORT     5000000 /* of a kilometre, and of tying */

/* Both shoes; either task writes, on whichever worker it is. */
struct jog {
    atomic_bool loose, over;
    atomic_int busy;      /* how many things are being done */
    atomic_int most_busy; /* at most */
};

/* Does something that takes all of somebody's attention. */
static void work(struct jog *jog)
{
    int busy = atomic_fetch_add(&jog->busy, 1) + 1, most = atomic_load(&jog->most_busy);
    volatile unsigned step = 0;

    while (busy > most && !atomic_compare_exchange_weak(&jog->most_busy, &most, busy))
        continue;
    while (step < EFFORT)
        step = step + 1;
    atomic_fetch_sub(&jog->busy, 1);
}

static intptr_t watch_the_laces(void *arg)
{
    struct jog *jog = arg;

    while (!atomic_load(&jog->over)) {
        if (atomic_load(&jog->loose)) {
            puts("they are loose: tying");
            work(jog);
            atomic_store(&jog->loose, false);
            puts("tied");
        }
        whorl_yield();
    }
    return 0;
}

static intptr_t go_jogging(void *arg)
{
    struct jog jog = {.loose = false};
    struct whorl_scope scope;
    int err;

    (void)arg;
    whorl_scope_open(&scope);
    err = whorl_scope_spawn(&scope, watch_the_laces, &jog);
    for (int i = 1; i <= KILOMETRES && err == 0; i++) {
        printf("running kilometre %d\n", i);
        work(&jog);
        if (i % 2 == 0)
            atomic_store(&jog.loose, true);
        whorl_yield(); /* a look at the shoes: with one worker the watch gets its turn here, and only here */
    }
    atomic_store(&jog.over, true);
    whorl_scope_close(&scope);
    if (err == 0)
        printf("at most %d at a time\n", atomic_load(&jog.most_busy));
    return err;
}

int main(int argc, char **argv)
{
    struct whorl_options options = {.size = sizeof options, .workers = 1};
    const char *usage = "usage: shoelaces [--workers N]\nRuns and ties shoe laces, with 1 or 2 workers (1).\n";

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (argc == 3 && strcmp(argv[1], "--workers") == 0 && (strcmp(argv[2], "1") == 0 || strcmp(argv[2], "2") == 0)) {
        options.workers = argv[2][0] - '0';
    } else if (argc > 1) {
        fputs(usage, stderr);
        return 2;
    }
    return whorl_run(go_jogging, NULL, &options) == 0 ? 0 : 1;
}
