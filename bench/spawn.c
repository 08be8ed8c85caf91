/* SPDX-License-Identifier: MIT */
/* Spawn and join of a task that suspends once, so that it needs a stack of its own and is switched to twice: one at a time, or
 * many spawned before the first is joined. */
#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <whorl/whorl.h>

struct spawns {
    struct bench_measure measure;
    long iterations; /* tasks in all */
    long batch;      /* spawned before the first of them is joined */
    struct whorl_task **tasks;
};

static intptr_t suspend_once(void *arg)
{
    whorl_yield();
    return (intptr_t)arg;
}

/* Spawns `count` tasks and joins those that it could spawn. */
static int spawn_and_join(struct spawns *spawns, long count)
{
    int err = 0;
    long started;

    for (started = 0; started < count; started++) {
        spawns->tasks[started] = whorl_spawn(suspend_once, (void *)(intptr_t)started);
        if (!spawns->tasks[started]) {
            err = -ENOMEM;
            break;
        }
    }
    for (long i = 0; i < started; i++) {
        intptr_t result = 0;
        int joined = whorl_join(spawns->tasks[i], &result);

        if (joined < 0)
            err = joined;
        else if (result != i)
            err = result < 0 ? (int)result : -EBADMSG;
    }
    return err;
}

/* Stores the ns for each task. */
static int spawn_ns(void *arg, double *ns)
{
    struct spawns *spawns = arg;
    int64_t start = bench_now();
    int err = 0;

    for (long left = spawns->iterations; left > 0 && !err; left -= spawns->batch)
        err = spawn_and_join(spawns, left < spawns->batch ? left : spawns->batch);
    *ns = (double)(bench_now() - start) / (double)spawns->iterations;
    return err;
}

int bench_spawn(int argc, char **argv)
{
    struct spawns spawns = {
        .measure = {.once = spawn_ns, .arg = &spawns, BENCH_MEASURE_DEFAULTS},
        .iterations = 2000000,
        .batch = 1,
    };
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&spawns.measure),
        {.name = "iterations", .help = "tasks in each measurement", .number = &spawns.iterations, .min = 1, .max = 1L << 40},
        {.name = "batch", .help = "tasks spawned before the first is joined", .number = &spawns.batch, .min = 1, .max = 10000000},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench spawn", .what = "Measures spawn and join of a task that suspends once.", .options = options};
    struct bench_spread ns;
    int err;

    bench_options_read(&command, argc, argv);
    spawns.tasks = calloc((size_t)spawns.batch, sizeof *spawns.tasks);
    if (!spawns.tasks) {
        fprintf(stderr, "whorl-bench spawn: no memory for %ld handles\n", spawns.batch);
        return 1;
    }
    err = bench_measure_run(&spawns.measure, &ns);
    free(spawns.tasks);
    if (err)
        return 1;

    bench_measure_report("spawn", &spawns.measure);
    bench_report_count("iterations", spawns.iterations);
    bench_report_count("batch", spawns.batch);
    bench_report_spread("ns_per_op", &ns);
    bench_report_end();
    return 0;
}
