/* SPDX-License-Identifier: MIT */
/* Tasks of a worker that yield to each other: the switch and what the scheduler adds to it. Each worker is asked to take two. */
#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <stdlib.h>
#include <whorl/whorl.h>

struct yields {
    struct bench_measure measure;
    long iterations; /* yields of each task */
};

static intptr_t yield_often(void *arg)
{
    const struct yields *yields = arg;

    for (long i = 0; i < yields->iterations; i++)
        whorl_yield();
    return 0;
}

static int spawn_pairs(struct yields *yields, struct whorl_task **tasks, long *count)
{
    for (*count = 0; *count < 2 * yields->measure.workers; ++*count) {
        struct whorl_spawn_options pair = {.size = sizeof pair, .worker = WHORL_WORKER((int)(*count / 2))};

        tasks[*count] = whorl_spawn_with(yield_often, yields, &pair);
        if (!tasks[*count])
            return -ENOMEM;
    }
    return 0;
}

/* Stores the ns of a worker's time that each yield took. */
static int yield_ns(void *arg, double *ns)
{
    struct yields *yields = arg;
    struct whorl_task **tasks = calloc((size_t)yields->measure.workers * 2, sizeof *tasks);
    int64_t start = bench_now();
    long count;
    int err;

    if (!tasks)
        return -ENOMEM;
    err = spawn_pairs(yields, tasks, &count);
    for (long i = 0; i < count; i++) {
        intptr_t result = 0;
        int joined = whorl_join(tasks[i], &result);

        if (joined < 0 || result < 0)
            err = joined < 0 ? joined : (int)result;
    }
    *ns = (double)(bench_now() - start) / (double)yields->iterations / 2;
    free(tasks);
    return err;
}

int bench_yield(int argc, char **argv)
{
    struct yields yields = {
        .measure = {.once = yield_ns, .arg = &yields, BENCH_MEASURE_DEFAULTS},
        .iterations = 5000000,
    };
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&yields.measure),
        {.name = "iterations", .help = "yields of each task", .number = &yields.iterations, .min = 1, .max = 1L << 40},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench yield", .what = "Measures two tasks of each worker that yield to each other.", .options = options};
    struct bench_spread ns;

    bench_options_read(&command, argc, argv);
    if (bench_measure_run(&yields.measure, &ns) < 0)
        return 1;
    bench_measure_report("yield", &yields.measure);
    bench_report_count("iterations", yields.iterations);
    bench_report_spread("ns_per_op", &ns);
    bench_report_end();
    return 0;
}
