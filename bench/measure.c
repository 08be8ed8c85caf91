/* SPDX-License-Identifier: MIT */
#include "measure.h"

#include "report.h"

#include <stdio.h>
#include <string.h>
#include <whorl/run.h>

struct series {
    const struct bench_measure *measure;
    double samples[BENCH_RUNS_MAX];
};

static intptr_t take_samples(void *arg)
{
    struct series *series = arg;
    const struct bench_measure *m = series->measure;
    double ignored;
    int err = 0;

    for (long i = 0; i < m->warmups && !err; i++)
        err = m->once(m->arg, &ignored);
    for (long i = 0; i < m->runs && !err; i++)
        err = m->once(m->arg, &series->samples[i]);
    return err;
}

int bench_measure_run(const struct bench_measure *measure, struct bench_spread *spread)
{
    static struct series series;
    struct whorl_options options = {.size = sizeof options, .workers = (int)measure->workers, .spin_ns = measure->spin_ns};
    int err;

    series.measure = measure;
    err = (int)whorl_run(take_samples, &series, &options);
    if (err) {
        fprintf(stderr, "whorl-bench: the measurement failed: %s\n", strerror(-err));
        return err;
    }
    *spread = bench_spread_of(series.samples, (size_t)measure->runs);
    return 0;
}

void bench_measure_report(const char *bench, const struct bench_measure *measure)
{
    bench_report_begin(bench);
    bench_report_count("workers", measure->workers);
    bench_report_count("runs", measure->runs);
}
