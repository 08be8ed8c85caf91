/* SPDX-License-Identifier: MIT */
/* A jog, and shoe laces that come loose on the way. Concurrent: one worker, which leaves off running while it ties them. Parallel: two
 * workers, one of which ties while the other runs on, if you can imagine it.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/shoelaces --workers 2
 * Installed:           cc -O2 -o shoelaces shoelaces.c $(pkg-config --cflags --libs whorl) && ./shoelaces --workers 2 */
#include <getopt.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <whorl/whorl.h>

#define KILOMETRES 6

/* Both shoes; either task writes, on whichever worker it is. */
struct jog {
    long effort; /* steps that a kilometre takes, or tying */
    atomic_bool loose, over;
    atomic_int busy;      /* how many things are being done */
    atomic_int most_busy; /* at most */
};

/* Does something that takes all of somebody's attention. */
static void work(struct jog *jog)
{
    int busy = atomic_fetch_add(&jog->busy, 1) + 1, most = atomic_load(&jog->most_busy);
    volatile long step = 0;

    while (busy > most && !atomic_compare_exchange_weak(&jog->most_busy, &most, busy))
        continue;
    while (step < jog->effort)
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
    struct jog jog = {.effort = *(long *)arg};
    struct whorl_scope scope;
    int err;

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

static int print_usage(FILE *out, int status)
{
    fputs("usage: shoelaces [options]\n"
          "Runs six kilometres, and ties shoe laces on the way.\n\n"
          "  --workers N  1 or 2 workers (1)\n"
          "  --effort N   a kilometre, and tying, take so many steps, 1 to 1000000000 (5000000)\n"
          "  --help       show this\n",
          out);
    return status;
}

/* Reads a number. Returns 0 unless it is one from 1 to `most`. */
static int parse_number(const char *text, long most, long *number)
{
    char *end;

    *number = strtol(text, &end, 10);
    return end != text && *end == '\0' && *number >= 1 && *number <= most;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"workers", required_argument, NULL, 'w'},
        {"effort", required_argument, NULL, 'e'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct whorl_options options = {.size = sizeof options};
    long workers = 1, effort = 5000000;
    int option, right = 1;

    while (right && (option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'h')
            return print_usage(stdout, 0);
        right = option == 'w' ? parse_number(optarg, 2, &workers) : option == 'e' ? parse_number(optarg, 1000000000, &effort) : 0;
    }
    if (!right || optind < argc)
        return print_usage(stderr, 2);
    options.workers = (int)workers;
    return whorl_run(go_jogging, &effort, &options) == 0 ? 0 : 1;
}
