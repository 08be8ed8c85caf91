/* SPDX-License-Identifier: MIT */
/* Functions that do nothing, in the blocking pool: one after the other, what it costs to have one done by another thread; many at a time, how
 * many of them there can be. */
#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <whorl/whorl.h>

struct calls {
    struct bench_measure measure;
    long iterations; /* calls in all */
    long tasks;      /* that make them */
};

static intptr_t do_nothing(void *arg)
{
    return (intptr_t)arg;
}

static intptr_t call(void *arg)
{
    const struct calls *calls = arg;
    intptr_t result = 0;
    int err = 0;

    for (long i = calls->iterations / calls->tasks; !err && i > 0; i--) {
        err = whorl_blocking(do_nothing, (void *)(intptr_t)i, &result);
        if (!err && result != i)
            err = -EBADMSG;
    }
    return err;
}

/* Stores the ns of a call. */
static int call_ns(void *arg, double *ns)
{
    struct calls *calls = arg;
    struct whorl_scope s;
    int64_t start = bench_now();
    int err = 0;

    whorl_scope_open(&s);
    for (long i = 0; i < calls->tasks && !err; i++)
        err = whorl_scope_spawn(&s, call, calls);
    if (err)
        whorl_scope_fail(&s, err);
    err = whorl_scope_close(&s);
    *ns = (double)(bench_now() - start) / (double)(calls->iterations / calls->tasks * calls->tasks);
    return err;
}

int bench_blocking(int argc, char **argv)
{
    struct calls calls = {
        .measure = {.once = call_ns, .arg = &calls, BENCH_MEASURE_DEFAULTS},
        .iterations = 50000,
        .tasks = 1,
    };
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&calls.measure),
        {.name = "iterations", .help = "calls", .number = &calls.iterations, .min = 10000, .max = 1L << 31},
        {.name = "tasks", .help = "tasks that make them", .number = &calls.tasks, .min = 1, .max = 10000},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench blocking", .what = "Measures whorl_blocking with a function that does nothing.", .options = options};
    struct bench_spread ns;

    bench_options_read(&command, argc, argv);
    if (bench_measure_run(&calls.measure, &ns) < 0)
        return 1;
    bench_measure_report("blocking", &calls.measure);
    bench_report_count("iterations", calls.iterations);
    bench_report_count("tasks", calls.tasks);
    bench_report_spread("ns_per_call", &ns);
    bench_report_end();
    return 0;
}
