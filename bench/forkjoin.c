/* SPDX-License-Identifier: MIT */
/* Fork-join with nothing cut off: a fork for each call, however small. What is measured is the price of a fork. */
#include "forkjoin.h"

#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <whorl/whorl.h>

/* One of the programs below. */
struct forkjoin {
    struct bench_measure measure;
    const char *name;
    long n;
    long (*run)(long n);
    long (*plain)(long n); /* the same without forks: what the result is compared with */
    long (*count)(long n); /* how many forks there are */
    long expected;
};

/* fib: two calls, one of them forked. */

struct fib {
    struct whorl_fork fork;
    long n, result;
};

static void fib(struct whorl_fork *self)
{
    struct fib *f = whorl_fork_of(self, struct fib, fork);
    struct fib a, b;

    if (f->n < 2) {
        f->result = f->n;
        return;
    }
    a.n = f->n - 1;
    b.n = f->n - 2;
    whorl_fork(&a.fork, fib);
    fib(&b.fork);
    whorl_sync(&a.fork);
    f->result = a.result + b.result;
}

__attribute__((noinline)) static long fib_plain(long n)
{
    __asm__ volatile("" : "+r"(n)); /* or the compiler makes something cleverer of it */
    return n < 2 ? n : fib_plain(n - 1) + fib_plain(n - 2);
}

long forkjoin_fib(long n)
{
    struct fib root = {.n = n};

    fib(&root.fork);
    return root.result;
}

static long fib_forks(long n)
{
    long before = 0, last = 0; /* of fib(i - 1) and fib(i) */

    for (long i = 2; i <= n; i++) {
        long next = before + last + 1;

        before = last;
        last = next;
    }
    return last;
}

/* skynet: ten children each, down to n leaves that are summed. */

struct skynet {
    struct whorl_fork fork;
    long from, size, sum;
};

static void skynet(struct whorl_fork *self)
{
    struct skynet *s = whorl_fork_of(self, struct skynet, fork), children[10];

    if (s->size == 1) {
        s->sum = s->from;
        return;
    }
    for (int i = 0; i < 10; i++) {
        children[i].from = s->from + i * (s->size / 10);
        children[i].size = s->size / 10;
        whorl_fork(&children[i].fork, skynet);
    }
    s->sum = 0;
    for (int i = 9; i >= 0; i--) {
        whorl_sync(&children[i].fork);
        s->sum += children[i].sum;
    }
}

static long skynet_plain(long n)
{
    return n * (n - 1) / 2;
}

static long skynet_run(long n)
{
    struct skynet root = {.size = n};

    skynet(&root.fork);
    return root.sum;
}

static long skynet_forks(long n)
{
    long forks = 0;

    for (; n > 1; n /= 10)
        forks += n;
    return forks;
}

/* nqueens: a fork for each place where the next queen may stand. */

enum { QUEENS_MAX = 16 };

struct queens {
    struct whorl_fork fork;
    int n;
    unsigned char at[QUEENS_MAX];
    long solutions;
};

static int may_stand(const unsigned char *at, int row, int column)
{
    for (int i = 0; i < row; i++)
        if (at[i] == column || at[i] - column == i - row || at[i] - column == row - i)
            return 0;
    return 1;
}

/* Compilers put the calls of the plain recursion below into each other, so that each row has code of its own, whose branches the
 * processor foretells better; a call through a pointer they cannot. So the rows are spelt out here: `row` is a constant in each. */
static inline __attribute__((always_inline)) void queens(struct whorl_fork *self, int row, whorl_fork_fn next_row)
{
    struct queens *q = whorl_fork_of(self, struct queens, fork), next[QUEENS_MAX];
    int n = q->n, count = 0;

    q->solutions = row == n;
    if (q->solutions)
        return;
    for (int column = 0; column < n; column++) {
        if (!may_stand(q->at, row, column))
            continue;
        next[count].n = n;
        memcpy(next[count].at, q->at, (size_t)row);
        next[count].at[row] = (unsigned char)column;
        whorl_fork(&next[count++].fork, next_row);
    }
    while (count > 0) {
        whorl_sync(&next[--count].fork);
        q->solutions += next[count].solutions;
    }
}

static void queens_16(struct whorl_fork *self)
{
    whorl_fork_of(self, struct queens, fork)->solutions = 1;
}

#define QUEENS_ROW(row, next_row)                                                                                                  \
    static void queens_##row(struct whorl_fork *self)                                                                              \
    {                                                                                                                              \
        queens(self, row, queens_##next_row);                                                                                      \
    }
QUEENS_ROW(15, 16)
QUEENS_ROW(14, 15)
QUEENS_ROW(13, 14)
QUEENS_ROW(12, 13)
QUEENS_ROW(11, 12)
QUEENS_ROW(10, 11)
QUEENS_ROW(9, 10)
QUEENS_ROW(8, 9)
QUEENS_ROW(7, 8)
QUEENS_ROW(6, 7)
QUEENS_ROW(5, 6)
QUEENS_ROW(4, 5)
QUEENS_ROW(3, 4)
QUEENS_ROW(2, 3)
QUEENS_ROW(1, 2)
QUEENS_ROW(0, 1)

static long place(int n, int row, const unsigned char *before)
{
    unsigned char at[QUEENS_MAX];
    long solutions = 0;

    if (row == n)
        return 1;
    memcpy(at, before, (size_t)row);
    for (int column = 0; column < n; column++)
        if (may_stand(at, row, column)) {
            at[row] = (unsigned char)column;
            solutions += place(n, row + 1, at);
        }
    return solutions;
}

static long queens_plain(long n)
{
    unsigned char none[QUEENS_MAX] = {0};

    return place((int)n, 0, none);
}

static long queens_run(long n)
{
    struct queens root = {.n = (int)n};

    queens_0(&root.fork);
    return root.solutions;
}

static long boards(int n, int row, unsigned char *at)
{
    long count = 0;

    for (int column = 0; row < n && column < n; column++)
        if (may_stand(at, row, column)) {
            at[row] = (unsigned char)column;
            count += 1 + boards(n, row + 1, at);
        }
    return count;
}

static long queens_forks(long n)
{
    unsigned char at[QUEENS_MAX];

    return boards((int)n, 0, at);
}

/* Stores the ns of the whole. */
static int forkjoin_ns(void *arg, double *ns)
{
    struct forkjoin *f = arg;
    int64_t start = bench_now();
    long result = f->run(f->n);

    *ns = (double)(bench_now() - start);
    return result == f->expected ? 0 : -EBADMSG;
}

/* As often as the forks are measured, and as warm. */
static struct bench_spread plain_ns(struct forkjoin *f)
{
    double samples[BENCH_RUNS_MAX];

    for (long i = -f->measure.warmups; i < f->measure.runs; i++) {
        int64_t start = bench_now();

        f->expected = f->plain(f->n);
        samples[i < 0 ? 0 : i] = (double)(bench_now() - start);
    }
    return bench_spread_of(samples, (size_t)f->measure.runs);
}

static void report(const struct forkjoin *f, const struct bench_spread *ns, const struct bench_spread *plain)
{
    long count = f->count(f->n);
    double forks = (double)count;
    struct bench_spread per_fork = {.median = ns->median / forks, .min = ns->min / forks, .max = ns->max / forks};

    bench_measure_report(f->name, &f->measure);
    bench_report_count("n", f->n);
    bench_report_count("forks", count);
    bench_report_spread("ns_per_op", &per_fork);
    bench_report_real("ms", ns->median / 1e6);
    bench_report_real("plain_ms", plain->median / 1e6);
    bench_report_end();
}

static int forkjoin(int argc, char **argv, struct forkjoin *f, long max, const char *what)
{
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&f->measure),
        {.name = "n", .help = "the size; may stand without --n", .number = &f->n, .min = 2, .max = max},
        {0},
    };
    char name[64];
    const struct bench_command command = {.name = name, .what = what, .options = options};
    struct bench_spread ns, plain;

    snprintf(name, sizeof name, "whorl-bench %s", f->name);
    bench_options_read(&command, argc, argv);
    f->measure.once = forkjoin_ns;
    f->measure.arg = f;
    plain = plain_ns(f);
    if (bench_measure_run(&f->measure, &ns) < 0)
        return 1;
    report(f, &ns, &plain);
    return 0;
}

int bench_fib(int argc, char **argv)
{
    struct forkjoin f = {
        .measure = {BENCH_MEASURE_DEFAULTS}, .name = "fib", .n = 37, .run = forkjoin_fib, .plain = fib_plain, .count = fib_forks};

    return forkjoin(argc, argv, &f, 60, "Measures the recursive Fibonacci function, one of the two calls forked.");
}

int bench_skynet(int argc, char **argv)
{
    struct forkjoin f = {.measure = {BENCH_MEASURE_DEFAULTS},
                         .name = "skynet",
                         .n = 1000000,
                         .run = skynet_run,
                         .plain = skynet_plain,
                         .count = skynet_forks};

    return forkjoin(argc, argv, &f, 1000000000, "Measures a tree of forks, ten each, down to N leaves, a power of ten.");
}

int bench_nqueens(int argc, char **argv)
{
    struct forkjoin f = {.measure = {BENCH_MEASURE_DEFAULTS},
                         .name = "nqueens",
                         .n = 13,
                         .run = queens_run,
                         .plain = queens_plain,
                         .count = queens_forks};

    return forkjoin(argc, argv, &f, QUEENS_MAX, "Measures N queens on a board of N x N, a fork for each place of the next one.");
}
