/* SPDX-License-Identifier: MIT */
/* whorl_sort beside qsort(3), which compares by the same function. */
#include "clock.h"
#include "measure.h"
#include "numbers.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <whorl/whorl.h>

struct sort {
    struct bench_measure measure;
    long n;
    uint64_t *numbers;
};

/* Stores the ns of one sort. */
static int sort_ns(void *arg, double *ns)
{
    struct sort *s = arg;
    size_t count = (size_t)s->n;
    int64_t start;
    int err;

    bench_numbers_fill(s->numbers, count);
    start = bench_now();
    err = whorl_sort(s->numbers, count, sizeof *s->numbers, bench_numbers_compare_arg, NULL);
    *ns = (double)(bench_now() - start);
    return err ? err : bench_numbers_sorted(s->numbers, count) ? 0 : -EBADMSG;
}

/* As often, and as warm. */
static struct bench_spread qsort_ns(struct sort *s)
{
    double samples[BENCH_RUNS_MAX];

    for (long i = -s->measure.warmups; i < s->measure.runs; i++) {
        int64_t start;

        bench_numbers_fill(s->numbers, (size_t)s->n);
        start = bench_now();
        qsort(s->numbers, (size_t)s->n, sizeof *s->numbers, bench_numbers_compare);
        samples[i < 0 ? 0 : i] = (double)(bench_now() - start);
    }
    return bench_spread_of(samples, (size_t)s->measure.runs);
}

int bench_sort(int argc, char **argv)
{
    struct sort s = {.measure = {BENCH_MEASURE_DEFAULTS, .once = sort_ns}, .n = 5000000};
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&s.measure),
        {.name = "n", .help = "numbers; may stand without --n", .number = &s.n, .min = 1, .max = 1000000000},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench sort", .what = "Measures sorting N numbers of 64 bits.", .options = options};
    struct bench_spread ns, plain;
    int err;

    bench_options_read(&command, argc, argv);
    s.measure.arg = &s;
    s.numbers = malloc((size_t)s.n * sizeof *s.numbers);
    if (!s.numbers) {
        fprintf(stderr, "whorl-bench sort: no memory for %ld numbers\n", s.n);
        return 1;
    }
    plain = qsort_ns(&s);
    err = bench_measure_run(&s.measure, &ns);
    free(s.numbers);
    if (err < 0)
        return 1;
    bench_measure_report("sort", &s.measure);
    bench_report_count("n", s.n);
    bench_report_real("ns_per_number", ns.median / (double)s.n);
    bench_report_real("ms", ns.median / 1e6);
    bench_report_real("qsort_ms", plain.median / 1e6);
    bench_report_end();
    return 0;
}
