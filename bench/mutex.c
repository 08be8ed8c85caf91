/* SPDX-License-Identifier: MIT */
/* Mutexes: one that nobody else wants, and one that all workers want, beside a pthread mutex that as many threads want. */
#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <whorl/whorl.h>

enum { CONTENDERS_MAX = 1024 };

struct locks {
    struct bench_measure measure;
    long iterations;  /* of each task or thread */
    long tasks;       /* of each worker */
    long hold, apart; /* steps of work with it, and between two times */
    struct whorl_mutex mutex;
    pthread_mutex_t pthread_mutex;
    long shared;
};

/* Work that nothing can take away. */
static void work(long steps)
{
    for (long i = 0; i < steps; i++)
        __asm__ volatile("" ::: "memory");
}

/* Stores the ns of one lock and unlock. */
static int lock_ns(void *arg, double *ns)
{
    struct locks *l = arg;
    int64_t start = bench_now();

    for (long i = 0; i < l->iterations; i++) {
        int err = whorl_mutex_lock(&l->mutex);

        if (err)
            return err;
        whorl_mutex_unlock(&l->mutex);
    }
    *ns = (double)(bench_now() - start) / (double)l->iterations;
    return 0;
}

static intptr_t contend(void *arg)
{
    struct locks *l = arg;

    for (long i = 0; i < l->iterations; i++) {
        int err = whorl_mutex_lock(&l->mutex);

        if (err)
            return err;
        l->shared++;
        work(l->hold);
        whorl_mutex_unlock(&l->mutex);
        work(l->apart);
    }
    return 0;
}

static void *contend_as_thread(void *arg)
{
    struct locks *l = arg;

    for (long i = 0; i < l->iterations; i++) {
        pthread_mutex_lock(&l->pthread_mutex);
        l->shared++;
        work(l->hold);
        pthread_mutex_unlock(&l->pthread_mutex);
        work(l->apart);
    }
    return NULL;
}

static long all_times(const struct locks *l)
{
    return l->iterations * l->measure.workers * l->tasks;
}

/* Stores the ns from one unlock to the next, whoever does it. */
static int contended_ns(void *arg, double *ns)
{
    struct locks *l = arg;
    struct whorl_scope s;
    int64_t start = bench_now();
    int err = 0;

    l->shared = 0;
    whorl_scope_open(&s);
    for (long i = 0; i < l->measure.workers * l->tasks && !err; i++) {
        struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER((int)(i % l->measure.workers))};

        err = whorl_scope_spawn_with(&s, contend, l, &there);
    }
    if (err)
        whorl_scope_fail(&s, err);
    err = whorl_scope_close(&s);
    *ns = (double)(bench_now() - start) / (double)all_times(l);
    return err ? err : l->shared == all_times(l) ? 0 : -EBADMSG;
}

/* The same of threads; 0: they could not be started. */
static double threads_ns(struct locks *l)
{
    pthread_t threads[CONTENDERS_MAX];
    int64_t start = bench_now();
    long started = 0;

    l->shared = 0;
    while (started < l->measure.workers * l->tasks && pthread_create(&threads[started], NULL, contend_as_thread, l) == 0)
        started++;
    for (long i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return l->shared == all_times(l) ? (double)(bench_now() - start) / (double)l->shared : 0;
}

static struct bench_spread threads_spread(struct locks *l)
{
    double samples[BENCH_RUNS_MAX];

    for (long i = -l->measure.warmups; i < l->measure.runs; i++)
        samples[i < 0 ? 0 : i] = threads_ns(l);
    return bench_spread_of(samples, (size_t)l->measure.runs);
}

int bench_mutex(int argc, char **argv)
{
    struct locks l = {.measure = {.once = lock_ns, .arg = &l, BENCH_MEASURE_DEFAULTS}, .iterations = 10000000};
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&l.measure),
        {.name = "iterations", .help = "times it is locked and unlocked", .number = &l.iterations, .min = 1, .max = 1L << 40},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench mutex", .what = "Measures locking and unlocking a mutex that nobody else wants.", .options = options};
    struct bench_spread ns;

    bench_options_read(&command, argc, argv);
    if (bench_measure_run(&l.measure, &ns) < 0)
        return 1;
    bench_measure_report("mutex", &l.measure);
    bench_report_count("iterations", l.iterations);
    bench_report_spread("ns_per_op", &ns);
    bench_report_end();
    return 0;
}

int bench_mutex_contended(int argc, char **argv)
{
    struct locks l = {
        .measure = {BENCH_MEASURE_DEFAULTS, .once = contended_ns, .arg = &l},
        .iterations = 1000000,
        .tasks = 1,
        .hold = 10,
        .apart = 30,
        .pthread_mutex = PTHREAD_MUTEX_INITIALIZER,
    };
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&l.measure),
        {.name = "iterations", .help = "times that each task locks it", .number = &l.iterations, .min = 1, .max = 1L << 40},
        {.name = "tasks", .help = "tasks for each worker, and threads", .number = &l.tasks, .min = 1, .max = CONTENDERS_MAX},
        {.name = "hold", .help = "steps of work with it", .number = &l.hold, .min = 0, .max = 1L << 40},
        {.name = "apart", .help = "steps of work before the next time", .number = &l.apart, .min = 0, .max = 1L << 40},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench mutex-contended", .what = "Measures a mutex that tasks of all workers want.", .options = options};
    struct bench_spread ns, threads;

    l.measure.workers = 2;
    bench_options_read(&command, argc, argv);
    if (l.measure.workers * l.tasks > CONTENDERS_MAX)
        bench_options_refuse(&command, "%ld workers with %ld tasks each are more than %d", l.measure.workers, l.tasks,
                             CONTENDERS_MAX);
    threads = threads_spread(&l);
    if (bench_measure_run(&l.measure, &ns) < 0)
        return 1;
    bench_measure_report("mutex-contended", &l.measure);
    bench_report_count("iterations", l.iterations);
    bench_report_count("tasks", l.tasks);
    bench_report_spread("ns_per_op", &ns);
    bench_report_spread("pthread_ns_per_op", &threads);
    bench_report_end();
    return 0;
}
