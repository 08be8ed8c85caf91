/* SPDX-License-Identifier: MIT */
/* A log-linear histogram: each power of two is cut into equal slots, so a value is known to within 1/64 whatever its size,
 * and counting one costs a few instructions and no memory. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    BENCH_HISTOGRAM_SLOT_BITS = 6,   /* 64 slots a power of two */
    BENCH_HISTOGRAM_VALUE_BITS = 40, /* values up to 2^40 - 1, some 18 minutes in ns; larger ones count as that */
    BENCH_HISTOGRAM_SLOTS = (BENCH_HISTOGRAM_VALUE_BITS - BENCH_HISTOGRAM_SLOT_BITS + 1) << BENCH_HISTOGRAM_SLOT_BITS,
};

/* All zero: empty. */
struct bench_histogram {
    uint64_t total;
    uint64_t counts[BENCH_HISTOGRAM_SLOTS];
};

void bench_histogram_add(struct bench_histogram *h, uint64_t value);

/* The value that the fraction `quantile` (0 to 1) of all values do not exceed; 0 when there are none. */
double bench_histogram_quantile(const struct bench_histogram *h, double quantile);

#endif
