/* SPDX-License-Identifier: MIT */
/* Very many tasks that wait: what it takes to start them, to have them there and to wake them. */
#define _GNU_SOURCE
#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <whorl/whorl.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { STACK = 64 << 10, GUARD = 4 << 10 };

struct park {
    struct bench_measure measure;
    long n;
    whorl_ns nap; /* how long they wait; WHORL_NEVER: until they are woken */
    struct whorl_task **tasks;
    bool compare; /* with bare stacks */
    double create_ns, wake_ns, raw_ns, bytes;
};

/* What /proc/self/status says of memory, in bytes: pages, and the tables that map them. */
static double memory(void)
{
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    double bytes = 0;
    long kib;

    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1 || sscanf(line, "VmPTE: %ld", &kib) == 1)
            bytes += (double)kib * 1024;
    if (status)
        fclose(status);
    return bytes;
}

/* The least that as many stacks cost: address space, a guard and a touch each. Negative: the kernel cannot do it. */
static double raw_stacks_ns(long n)
{
    size_t bytes = (size_t)n * (STACK + GUARD);
    int64_t start = bench_now();
    char *stacks = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    double ns = -1;

    if (stacks == MAP_FAILED)
        return -1;
    madvise(stacks, bytes, MADV_NOHUGEPAGE);
    for (long i = 0; i < n; i++) {
        char *stack = stacks + (size_t)i * (STACK + GUARD);

        if (madvise(stack, GUARD, MADV_GUARD_INSTALL) < 0)
            goto out;
        stack[GUARD + STACK - 1] = 1;
    }
    ns = (double)(bench_now() - start);
out:
    munmap(stacks, bytes);
    return ns;
}

static intptr_t wait_long(void *arg)
{
    const struct park *park = arg;
    int err = whorl_sleep(park->nap);

    return err == -ECANCELED ? 0 : err;
}

static int spawn_all(struct park *park, long *count)
{
    for (*count = 0; *count < park->n; ++*count) {
        park->tasks[*count] = whorl_spawn(wait_long, park);
        if (!park->tasks[*count])
            return -ENOMEM;
    }
    return 0;
}

static int join_all(struct park *park, long count)
{
    int err = 0;

    for (long i = 0; i < count; i++) {
        intptr_t result = 0;
        int joined = whorl_join(park->tasks[i], &result);

        if (joined < 0 || result < 0)
            err = joined < 0 ? joined : (int)result;
    }
    return err;
}

/* Until the last one waits. */
static void until_all_wait(long count)
{
    struct whorl_stats stats = {.size = sizeof stats};

    do {
        whorl_sleep(WHORL_MS(1));
        whorl_stats(-1, &stats);
    } while (stats.parks < (uint64_t)count);
}

/* Stores the ns of creating and waking one. */
static int park_ns(void *arg, double *ns)
{
    struct park *park = arg;
    double before = memory();
    int64_t start = bench_now();
    long count;
    int err = spawn_all(park, &count);

    until_all_wait(count);
    park->create_ns = (double)(bench_now() - start);
    park->bytes = (memory() - before) / (double)park->n;
    start = bench_now();
    for (long i = 0; i < count; i++)
        whorl_cancel(park->tasks[i]);
    if (!err)
        err = join_all(park, count);
    park->wake_ns = (double)(bench_now() - start);
    *ns = (park->create_ns + park->wake_ns) / (double)park->n;
    return err;
}

/* Stores the ns from the first spawn to the last join. */
static int sleepers_ns(void *arg, double *ns)
{
    struct park *park = arg;
    int64_t start = bench_now();
    long count;
    int err = spawn_all(park, &count), joined = join_all(park, count);

    *ns = (double)(bench_now() - start);
    return err ? err : joined;
}

static int run(int argc, char **argv, struct park *park, const char *name, const char *what, struct bench_spread *ns)
{
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&park->measure),
        {.name = "n", .help = "tasks; may stand without --n", .number = &park->n, .min = 1, .max = 100000000},
        {0},
    };
    char full[64];
    const struct bench_command command = {.name = full, .what = what, .options = options};
    int err;

    snprintf(full, sizeof full, "whorl-bench %s", name);
    bench_options_read(&command, argc, argv);
    if (park->compare) /* first: on a virtual machine memory costs most when it is touched for the first time ever */
        park->raw_ns = raw_stacks_ns(park->n);
    park->measure.arg = park;
    park->tasks = calloc((size_t)park->n, sizeof *park->tasks);
    if (!park->tasks) {
        fprintf(stderr, "%s: no memory for %ld handles\n", full, park->n);
        return -ENOMEM;
    }
    err = bench_measure_run(&park->measure, ns);
    free(park->tasks);
    return err;
}

int bench_park(int argc, char **argv)
{
    struct park park = {
        .measure = {.once = park_ns, .runs = 1, .warmups = 0, .workers = 1},
        .n = 1000000,
        .nap = WHORL_SEC(100000),
        .compare = true,
    };
    struct bench_spread ns;

    if (run(argc, argv, &park, "park", "Measures starting tasks that wait, their memory, and waking them.", &ns) < 0)
        return 1;
    bench_measure_report("park", &park.measure);
    bench_report_count("n", park.n);
    bench_report_spread("ns_per_op", &ns);
    bench_report_real("create_ms", park.create_ns / 1e6);
    bench_report_real("wake_ms", park.wake_ns / 1e6);
    bench_report_real("bytes_per_task", park.bytes);
    if (park.raw_ns > 0)
        bench_report_real("raw_stacks_ms", park.raw_ns / 1e6);
    bench_report_end();
    return 0;
}

int bench_sleepers(int argc, char **argv)
{
    struct park park = {.measure = {.once = sleepers_ns, .runs = 1, .warmups = 0, .workers = 2}, .n = 1000000, .nap = WHORL_SEC(1)};
    struct bench_spread ns;

    if (run(argc, argv, &park, "sleepers", "Measures tasks that each sleep for a second, all at once.", &ns) < 0)
        return 1;
    bench_measure_report("sleepers", &park.measure);
    bench_report_count("n", park.n);
    bench_report_real("ms", ns.median / 1e6);
    bench_report_end();
    return 0;
}
