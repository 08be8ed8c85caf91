/* SPDX-License-Identifier: MIT */
/* What structure costs: a scope with one child, and a task that is cancelled while it waits. */
#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <whorl/whorl.h>

struct scopes {
    struct bench_measure measure;
    long iterations;
};

static intptr_t end_at_once(void *arg)
{
    (void)arg;
    return 0;
}

/* Stores the ns of opening a scope, spawning one task into it and closing it. */
static int scope_ns(void *arg, double *ns)
{
    const struct scopes *scopes = arg;
    int64_t start = bench_now();
    int err = 0;

    for (long i = 0; i < scopes->iterations && !err; i++) {
        struct whorl_scope s;
        int spawned, closed;

        whorl_scope_open(&s);
        spawned = whorl_scope_spawn(&s, end_at_once, NULL);
        closed = whorl_scope_close(&s);
        err = spawned ? spawned : closed;
    }
    *ns = (double)(bench_now() - start) / (double)scopes->iterations;
    return err;
}

static intptr_t wait_for_event(void *arg)
{
    return whorl_event_wait(arg);
}

/* Stores the ns of cancelling a task that waits for an event and joining it; those of starting it do not count. */
static int cancel_ns(void *arg, double *ns)
{
    enum { BATCH = 100 };
    const struct scopes *scopes = arg;
    struct whorl_event event = {0};
    struct whorl_task *tasks[BATCH];
    int64_t spent = 0;
    int err = 0;

    for (long left = scopes->iterations; left > 0 && !err; left -= BATCH) {
        int64_t start;
        int count = 0;

        while (count < BATCH && (tasks[count] = whorl_spawn(wait_for_event, &event)) != NULL)
            count++;
        whorl_yield(); /* they all wait then */
        start = bench_now();
        for (int i = 0; i < count; i++) {
            intptr_t result = 0;

            whorl_cancel(tasks[i]);
            if (whorl_join(tasks[i], &result) < 0 || result != -ECANCELED)
                err = -EBADMSG;
        }
        spent += bench_now() - start;
        if (count < BATCH)
            err = -ENOMEM;
    }
    *ns = (double)spent / (double)((scopes->iterations + BATCH - 1) / BATCH * BATCH);
    return err;
}

static int run(int argc, char **argv, int (*once)(void *, double *), const char *name, const char *full, const char *what)
{
    struct scopes scopes = {.measure = {.once = once, .arg = &scopes, BENCH_MEASURE_DEFAULTS}, .iterations = 2000000};
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&scopes.measure),
        {.name = "iterations", .help = "times in each measurement", .number = &scopes.iterations, .min = 1, .max = 1L << 40},
        {0},
    };
    const struct bench_command command = {.name = full, .what = what, .options = options};
    struct bench_spread ns;

    bench_options_read(&command, argc, argv);
    if (bench_measure_run(&scopes.measure, &ns) < 0)
        return 1;
    bench_measure_report(name, &scopes.measure);
    bench_report_count("iterations", scopes.iterations);
    bench_report_spread("ns_per_op", &ns);
    bench_report_end();
    return 0;
}

int bench_scope(int argc, char **argv)
{
    return run(argc, argv, scope_ns, "scope", "whorl-bench scope",
               "Measures opening a scope, spawning one task into it, closing it.");
}

int bench_cancel(int argc, char **argv)
{
    return run(argc, argv, cancel_ns, "cancel", "whorl-bench cancel",
               "Measures cancelling a task that waits for an event, and joining it.");
}
