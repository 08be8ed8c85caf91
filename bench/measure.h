/* SPDX-License-Identifier: MIT */
/* What the workloads that run on the runtime share: a measurement is taken by the runtime's first task, several times. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "options.h"
#include "spread.h"

struct bench_measure {
    /* Measures once and stores the result in *value. Returns 0 or -errno. Runs in a task. */
    int (*once)(void *arg, double *value);
    void *arg;
    long runs;    /* measurements that count */
    long warmups; /* those before that do not: they find cold caches, no stacks and a slow clock */
    long workers;
    long spin_ns; /* as in struct whorl_options; 0: its default */
};

#define BENCH_MEASURE_DEFAULTS .runs = 5, .warmups = 1, .workers = 1

/* The options all of them have, for the table of each. */
#define BENCH_MEASURE_OPTIONS(m)                                                                                                   \
    {.name = "runs", .help = "measurements, whose median counts", .number = &(m)->runs, .min = 1, .max = BENCH_RUNS_MAX},          \
        {.name = "warmup", .help = "measurements before those", .number = &(m)->warmups, .min = 0, .max = BENCH_RUNS_MAX},         \
    {                                                                                                                              \
        .name = "workers", .help = "OS threads that run tasks", .number = &(m)->workers, .min = 1, .max = 1024                     \
    }

/* Runs a runtime for it. Returns 0, or -errno once it has said on standard error what failed. */
int bench_measure_run(const struct bench_measure *measure, struct bench_spread *spread);

/* Starts the report of a workload with the fields that all of them have. */
void bench_measure_report(const char *bench, const struct bench_measure *measure);

#endif
