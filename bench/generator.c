/* SPDX-License-Identifier: MIT */
/* Items of a generator: from one whorl_generator_next to the next, there and back. */
#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <whorl/whorl.h>

struct items {
    struct bench_measure measure;
    long iterations;
};

static int count(struct whorl_generator *g, void *arg)
{
    const struct items *items = arg;
    int err = 0;

    for (long i = 0; !err && i < items->iterations; i++)
        err = whorl_generate(g, &i);
    return err;
}

/* Stores the ns of an item. */
static int item_ns(void *arg, double *ns)
{
    const struct items *items = arg;
    struct whorl_generator g;
    long item, sum = 0, n = items->iterations;
    int64_t start;
    int err = whorl_generator_open(&g, count, arg, sizeof item);

    if (err)
        return err;
    start = bench_now();
    while ((err = whorl_generator_next(&g, &item)) > 0)
        sum += item;
    *ns = (double)(bench_now() - start) / (double)n;
    whorl_generator_close(&g);
    return err ? err : sum == n * (n - 1) / 2 ? 0 : -EBADMSG;
}

int bench_generator(int argc, char **argv)
{
    struct items items = {
        .measure = {.once = item_ns, .arg = &items, BENCH_MEASURE_DEFAULTS},
        .iterations = 5000000,
    };
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&items.measure),
        {.name = "iterations", .help = "items", .number = &items.iterations, .min = 1, .max = 1L << 31},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench generator", .what = "Measures a generator that hands numbers to its consumer.", .options = options};
    struct bench_spread ns;

    bench_options_read(&command, argc, argv);
    if (bench_measure_run(&items.measure, &ns) < 0)
        return 1;
    bench_measure_report("generator", &items.measure);
    bench_report_count("iterations", items.iterations);
    bench_report_spread("ns_per_item", &ns);
    bench_report_end();
    return 0;
}
