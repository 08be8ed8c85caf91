/* SPDX-License-Identifier: MIT */
/* How long a fork waits for an idle worker while its owner computes on and tells nobody: no fork, no sync, no checkpoint.
 * Somebody has to look up from time to time, so beside it stands how long the machine takes over the shortest of naps. */
#include "clock.h"
#include "histogram.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <whorl/whorl.h>

enum { NAPS = 2000, NAP_NS = 100000 };

struct fork_take {
    struct bench_measure measure;
    const char *fork;
    long compute_ms;
    double long_s;
    int64_t compute; /* ns that the owner computes after the fork */
    int64_t settle;  /* and before it: the other workers fall asleep meanwhile */
    long left;       /* forks that nobody took */
    struct bench_histogram waits, naps;
};

struct taken {
    struct whorl_fork fork;
    int64_t at;
    int worker;
};

static void look_at_clock(struct whorl_fork *self)
{
    struct taken *t = whorl_fork_of(self, struct taken, fork);

    t->at = bench_now();
    t->worker = whorl_worker();
}

static void do_nothing(struct whorl_fork *self)
{
    (void)self;
}

static void compute_until(int64_t end)
{
    while (bench_now() < end)
        continue;
}

/* The owner. Returns the ns from the fork to its first instruction, or -1: it was left to the owner. */
static intptr_t fork_and_compute(void *arg)
{
    const struct fork_take *f = arg;
    struct taken t;
    int64_t start;
    int worker;

    if (strcmp(f->fork, "later") == 0) {
        struct whorl_fork first;

        whorl_fork(&first, do_nothing);
        whorl_sync(&first);
    }
    /* Up to 2 ms more, so that the forks fall on every moment between two looks of whoever watches. */
    compute_until(bench_now() + f->settle + rand() % 2000000);
    worker = whorl_worker();
    start = bench_now();
    whorl_fork(&t.fork, look_at_clock);
    compute_until(start + f->compute);
    whorl_sync(&t.fork);
    return t.worker == worker ? -1 : (intptr_t)(t.at - start);
}

/* Stores the ns, of an owner that is a task of its own, so that its first fork is the first of a task. */
static int take_ns(void *arg, double *ns)
{
    struct fork_take *f = arg;
    struct whorl_task *owner = whorl_spawn(fork_and_compute, f);
    intptr_t waited;

    if (!owner)
        return -ENOMEM;
    whorl_join(owner, &waited);
    if (waited < 0)
        f->left++;
    *ns = waited < 0 ? (double)f->compute : (double)waited;
    bench_histogram_add(&f->waits, (uint64_t)*ns);
    return 0;
}

static void *compute_on(void *arg)
{
    const bool *over = arg;

    while (!__atomic_load_n(over, __ATOMIC_ACQUIRE))
        bench_now();
    return NULL;
}

/* What the kernel and the machine make of naps, on an idle processor beside a busy one, without the runtime. */
static int take_naps(struct bench_histogram *naps)
{
    static const struct timespec nap = {.tv_nsec = NAP_NS};
    bool over = false;
    pthread_t busy;
    int err = -pthread_create(&busy, NULL, compute_on, &over);

    if (err) {
        fprintf(stderr, "whorl-bench fork-take: no thread: %s\n", strerror(-err));
        return err;
    }
    for (int i = 0; i < NAPS; i++) {
        int64_t start = bench_now();

        nanosleep(&nap, NULL);
        bench_histogram_add(naps, (uint64_t)(bench_now() - start));
    }
    __atomic_store_n(&over, true, __ATOMIC_RELEASE);
    pthread_join(busy, NULL);
    return 0;
}

static int measure(struct fork_take *f, struct bench_spread *ns, double *p99, struct bench_spread *ns_long)
{
    struct bench_measure once = f->measure;
    int err;

    once.runs = 1;
    f->compute = f->compute_ms * 1000000;
    err = bench_measure_run(&f->measure, ns);
    *p99 = bench_histogram_quantile(&f->waits, 0.99);
    f->compute = (int64_t)(f->long_s * 1e9);
    if (!err)
        err = bench_measure_run(&once, ns_long);
    return err ? err : take_naps(&f->naps);
}

int bench_fork_take(int argc, char **argv)
{
    static struct fork_take f = {.measure = {.once = take_ns, .runs = 400, .warmups = 0, .workers = 2},
                                 .fork = "later",
                                 .compute_ms = 10,
                                 .long_s = 1,
                                 .settle = 3000000};
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&f.measure),
        {.name = "fork", .help = "first or later: whether the owner has forked before", .text = &f.fork},
        {.name = "compute", .help = "milliseconds that it then computes", .number = &f.compute_ms, .min = 1, .max = 100000},
        {.name = "long", .help = "the same for one more fork", .seconds = &f.long_s, .min = 0, .max = 100},
        {0},
    };
    const struct bench_command command = {.name = "whorl-bench fork-take",
                                          .what = "Measures how long a fork waits for an idle worker while its owner computes.",
                                          .options = options};
    struct bench_spread ns, ns_long;
    double p99;

    bench_options_read(&command, argc, argv);
    if (strcmp(f.fork, "first") != 0 && strcmp(f.fork, "later") != 0)
        bench_options_refuse(&command, "--fork: '%s' is not first or later", f.fork);
    if (f.measure.workers < 2)
        bench_options_refuse(&command, "--workers: somebody has to take the fork, so there must be two");
    f.measure.arg = &f;
    if (measure(&f, &ns, &p99, &ns_long) < 0)
        return 1;
    bench_measure_report("fork-take", &f.measure);
    bench_report_text("fork", f.fork);
    bench_report_count("compute_ms", f.compute_ms);
    bench_report_count("left_to_owner", f.left);
    bench_report_real("p50_us", ns.median / 1e3);
    bench_report_real("p99_us", p99 / 1e3);
    bench_report_real("max_us", ns.max / 1e3);
    bench_report_real("long_s", f.long_s);
    bench_report_real("long_us", ns_long.median / 1e3);
    bench_report_real("nap_100us_p50_us", bench_histogram_quantile(&f.naps, 0.5) / 1e3);
    bench_report_real("nap_100us_p99_us", bench_histogram_quantile(&f.naps, 0.99) / 1e3);
    bench_report_end();
    return 0;
}
