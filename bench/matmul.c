/* SPDX-License-Identifier: MIT */
/* Multiplying matrices by quarters: a fork for each quarter of the result, down to parts that stay in the first cache. */
#include "clock.h"
#include "matrix.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <whorl/whorl.h>

struct matmul {
    struct bench_measure measure;
    long n;
    struct bench_matrix_product product;
    double *expected;
};

struct quarter {
    struct whorl_fork fork;
    const struct bench_matrix_product *whole;
    int row, column;
};

static void multiply(const struct bench_matrix_product *p);

static void multiply_quarter(struct whorl_fork *self)
{
    struct quarter *q = whorl_fork_of(self, struct quarter, fork);

    for (int which = 0; which < 2; which++) {
        struct bench_matrix_product part = bench_matrix_part(q->whole, q->row, q->column, which);

        multiply(&part);
    }
}

static void multiply(const struct bench_matrix_product *p)
{
    struct quarter quarters[4];

    if (p->n == BENCH_MATRIX_LEAF) {
        bench_matrix_multiply_leaf(p);
        return;
    }
    for (int i = 0; i < 4; i++) {
        quarters[i].whole = p;
        quarters[i].row = i / 2;
        quarters[i].column = i % 2;
        whorl_fork(&quarters[i].fork, multiply_quarter);
    }
    for (int i = 3; i >= 0; i--)
        whorl_sync(&quarters[i].fork);
}

/* Stores the ns of the whole. */
static int matmul_ns(void *arg, double *ns)
{
    struct matmul *m = arg;
    int64_t start;

    bench_matrix_clear(&m->product);
    start = bench_now();
    multiply(&m->product);
    *ns = (double)(bench_now() - start);
    /* To the last bit: each element is the same sum in the same order. */
    return memcmp(m->product.c, m->expected, (size_t)m->n * (size_t)m->n * sizeof *m->expected) == 0 ? 0 : -EBADMSG;
}

/* As often as the forks are measured, and as warm. */
static struct bench_spread plain_ns(struct matmul *m)
{
    double samples[BENCH_RUNS_MAX];

    for (long i = -m->measure.warmups; i < m->measure.runs; i++) {
        int64_t start;

        bench_matrix_clear(&m->product);
        start = bench_now();
        bench_matrix_multiply(&m->product);
        samples[i < 0 ? 0 : i] = (double)(bench_now() - start);
    }
    return bench_spread_of(samples, (size_t)m->measure.runs);
}

static int measure(struct matmul *m, struct bench_spread *ns, struct bench_spread *plain)
{
    size_t bytes = (size_t)m->n * (size_t)m->n * sizeof *m->expected;
    int err = -ENOMEM;

    m->expected = malloc(bytes);
    if (!m->expected || !bench_matrix_new(&m->product, (size_t)m->n)) {
        fprintf(stderr, "whorl-bench matmul: no memory for matrices of %ld rows\n", m->n);
    } else {
        *plain = plain_ns(m);
        memcpy(m->expected, m->product.c, bytes);
        err = bench_measure_run(&m->measure, ns);
        free(m->product.c);
    }
    free(m->expected);
    return err;
}

int bench_matmul(int argc, char **argv)
{
    struct matmul m = {.measure = {BENCH_MEASURE_DEFAULTS, .once = matmul_ns}, .n = 1024};
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&m.measure),
        {.name = "n", .help = "rows; may stand without --n", .number = &m.n, .min = BENCH_MATRIX_LEAF, .max = 16384},
        {0},
    };
    const struct bench_command command = {.name = "whorl-bench matmul",
                                          .what =
                                              "Measures multiplying two matrices of N rows, a fork for each quarter of the result.",
                                          .options = options};
    struct bench_spread ns, plain;

    bench_options_read(&command, argc, argv);
    if (!bench_matrix_divides(m.n))
        bench_options_refuse(&command, "--n: %ld is not %d times a power of two", m.n, BENCH_MATRIX_LEAF);
    m.measure.arg = &m;
    if (measure(&m, &ns, &plain) < 0)
        return 1;
    bench_measure_report("matmul", &m.measure);
    bench_report_count("n", m.n);
    bench_report_real("ms", ns.median / 1e6);
    bench_report_real("plain_ms", plain.median / 1e6);
    bench_report_real("gflops", 2.0 * (double)m.n * (double)m.n * (double)m.n / ns.median);
    bench_report_end();
    return 0;
}
