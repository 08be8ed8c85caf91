/* SPDX-License-Identifier: MIT */
/* How long a fork waits for an idle worker while its owner computes on and tells nobody: no fork, no sync, no checkpoint.
 * Somebody has to look up from time to time, so beside it stands what the machine makes of a nap. And where other processes take the
 * processor that the idle worker wakes on, it waits as any thread does: how long, the kernel tells (schedstat), and forks that waited so
 * are also counted apart. */
#define _GNU_SOURCE
#include "clock.h"
#include "histogram.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <whorl/whorl.h>

enum { NAPS = 2000, NAP_NS = 100000, THREADS_MAX = 64, DISTURBED_NS = 50000 };

/* How long each thread of this process has waited for a processor. */
struct waited {
    long own; /* the one that looked */
    int count;
    long tid[THREADS_MAX];
    long long ns[THREADS_MAX];
};

struct fork_take {
    struct bench_measure measure;
    const char *fork;
    long compute_ms;
    double long_s;
    int64_t compute; /* ns that the owner computes after the fork */
    int64_t settle;  /* and before it: the other workers fall asleep meanwhile */
    long left;       /* forks that nobody took */
    struct bench_histogram waits, undisturbed, naps;
};

struct taken {
    struct whorl_fork fork;
    int64_t at;
    int worker;
    const struct waited *before;
    bool disturbed; /* it was not the runtime alone that kept it waiting */
};

/* Of one thread; -1: the kernel does not say. */
static long long waited_for_cpu(long tid)
{
    char path[64];
    long long ran, waited = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%ld/schedstat", tid);
    file = fopen(path, "re");
    if (file && fscanf(file, "%lld %lld", &ran, &waited) != 2)
        waited = -1;
    if (file)
        fclose(file);
    return waited;
}

static void look_at_threads(struct waited *w)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;

    w->own = gettid();
    w->count = 0;
    while (tasks && w->count < THREADS_MAX && (entry = readdir(tasks)) != NULL) {
        long tid = strtol(entry->d_name, NULL, 10);

        if (tid == 0)
            continue;
        w->tid[w->count] = tid;
        w->ns[w->count++] = waited_for_cpu(tid);
    }
    if (tasks)
        closedir(tasks);
}

/* Has a thread other than `but` waited for a processor since? */
static bool disturbed_since(const struct waited *before, long but)
{
    for (int i = 0; i < before->count; i++)
        if (before->tid[i] != but && waited_for_cpu(before->tid[i]) - before->ns[i] > DISTURBED_NS)
            return true;
    return false;
}

static void look_at_clock(struct whorl_fork *self)
{
    struct taken *t = whorl_fork_of(self, struct taken, fork);

    t->at = bench_now();
    t->worker = whorl_worker();
    t->disturbed = disturbed_since(t->before, t->before->own);
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

/* The owner. Returns the ns from the fork to its first instruction, which is not before the sync when nobody takes it. */
static intptr_t fork_and_compute(void *arg)
{
    struct fork_take *f = arg;
    struct waited before;
    struct taken t = {.before = &before};
    int64_t start;
    int worker;

    if (strcmp(f->fork, "later") == 0) {
        struct whorl_fork first;

        whorl_fork(&first, do_nothing);
        whorl_sync(&first);
    }
    /* Up to 2 ms more, so that the forks fall on every moment between two looks of whoever watches. */
    compute_until(bench_now() + f->settle + rand() % 2000000);
    look_at_threads(&before);
    worker = whorl_worker();
    start = bench_now();
    whorl_fork(&t.fork, look_at_clock);
    compute_until(start + f->compute);
    whorl_sync(&t.fork);
    f->left += t.worker == worker;
    bench_histogram_add(&f->waits, (uint64_t)(t.at - start));
    if (!t.disturbed)
        bench_histogram_add(&f->undisturbed, (uint64_t)(t.at - start));
    return (intptr_t)(t.at - start);
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
    *ns = (double)waited;
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

static int measure(struct fork_take *f, struct bench_spread *ns, struct bench_spread *ns_long)
{
    struct fork_take computing_long = *f;
    int err;

    f->compute = f->compute_ms * 1000000;
    computing_long.compute = (int64_t)(f->long_s * 1e9);
    computing_long.measure.arg = &computing_long;
    computing_long.measure.runs = 1;
    err = bench_measure_run(&f->measure, ns);
    if (!err)
        err = bench_measure_run(&computing_long.measure, ns_long);
    return err ? err : take_naps(&f->naps);
}

static void report_waits(const char *what, const struct bench_histogram *h)
{
    char key[64];

    snprintf(key, sizeof key, "%sp50_us", what);
    bench_report_real(key, bench_histogram_quantile(h, 0.5) / 1e3);
    snprintf(key, sizeof key, "%sp99_us", what);
    bench_report_real(key, bench_histogram_quantile(h, 0.99) / 1e3);
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

    bench_options_read(&command, argc, argv);
    if (strcmp(f.fork, "first") != 0 && strcmp(f.fork, "later") != 0)
        bench_options_refuse(&command, "--fork: '%s' is not first or later", f.fork);
    if (f.measure.workers < 2)
        bench_options_refuse(&command, "--workers: somebody has to take the fork, so there must be two");
    f.measure.arg = &f;
    if (measure(&f, &ns, &ns_long) < 0)
        return 1;
    bench_measure_report("fork-take", &f.measure);
    bench_report_text("fork", f.fork);
    bench_report_count("compute_ms", f.compute_ms);
    bench_report_count("left_to_owner", f.left);
    report_waits("", &f.waits);
    bench_report_real("max_us", ns.max / 1e3);
    bench_report_count("undisturbed", (long)f.undisturbed.total);
    report_waits("undisturbed_", &f.undisturbed);
    bench_report_real("undisturbed_max_us", bench_histogram_quantile(&f.undisturbed, 1) / 1e3);
    bench_report_real("long_s", f.long_s);
    bench_report_real("long_us", ns_long.median / 1e3);
    report_waits("nap_100us_", &f.naps);
    bench_report_end();
    return 0;
}
