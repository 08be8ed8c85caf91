/* SPDX-License-Identifier: MIT */
/* Fork-join that blocks: a flat loop of forks that each sleep. Workers that block in a fork would take the sum of all sleeps, shared
 * among them; forks that wait as tasks do take one sleep and what starting them costs. */
#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <whorl/whorl.h>

struct nap {
    struct whorl_fork fork;
    int64_t began, ended;
    whorl_ns length;
    int error;
};

struct sleep_forks {
    struct bench_measure measure;
    long n, sleep_ms;
    struct nap *naps;
};

static void nap(struct whorl_fork *self)
{
    struct nap *n = whorl_fork_of(self, struct nap, fork);

    n->began = bench_now();
    n->error = whorl_sleep(n->length);
    n->ended = bench_now();
}

/* Stores the ns from the first fork to the last sync. */
static int sleep_forks_ns(void *arg, double *ns)
{
    struct sleep_forks *s = arg;
    int64_t start = bench_now();

    for (long i = 0; i < s->n; i++) {
        s->naps[i].length = WHORL_MS(s->sleep_ms);
        whorl_fork(&s->naps[i].fork, nap);
    }
    for (long i = s->n - 1; i >= 0; i--)
        whorl_sync(&s->naps[i].fork);
    *ns = (double)(bench_now() - start);
    for (long i = 0; i < s->n; i++) {
        if (s->naps[i].error)
            return s->naps[i].error;
        if (s->naps[i].ended - s->naps[i].began < s->naps[i].length)
            return -EBADMSG; /* it did not sleep */
    }
    return 0;
}

int bench_sleep_forks(int argc, char **argv)
{
    struct sleep_forks s = {.measure = {.once = sleep_forks_ns, .runs = 5, .warmups = 1, .workers = 2}, .n = 10000, .sleep_ms = 10};
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&s.measure),
        {.name = "n", .help = "forks; may stand without --n", .number = &s.n, .min = 1, .max = 10000000},
        {.name = "sleep", .help = "milliseconds that each sleeps", .number = &s.sleep_ms, .min = 0, .max = 100000},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench sleep-forks", .what = "Measures a flat loop of forks that each sleep.", .options = options};
    struct bench_spread ns;
    int err;

    bench_options_read(&command, argc, argv);
    s.measure.arg = &s;
    s.naps = calloc((size_t)s.n, sizeof *s.naps);
    if (!s.naps) {
        fprintf(stderr, "whorl-bench sleep-forks: no memory for %ld forks\n", s.n);
        return 1;
    }
    err = bench_measure_run(&s.measure, &ns);
    free(s.naps);
    if (err < 0)
        return 1;
    ns = (struct bench_spread){.median = ns.median / 1e6, .min = ns.min / 1e6, .max = ns.max / 1e6};
    bench_measure_report("sleep-forks", &s.measure);
    bench_report_count("n", s.n);
    bench_report_count("sleep_ms", s.sleep_ms);
    bench_report_spread("ms", &ns);
    bench_report_end();
    return 0;
}
