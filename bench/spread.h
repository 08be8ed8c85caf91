/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SPREAD_H
#define BENCH_SPREAD_H

#include <stddef.h>

/* How repeated measurements lie. */
struct bench_spread {
    double median, min, max;
};

enum { BENCH_RUNS_MAX = 1000 };

/* Of `count` samples, at least one, which are put in order. */
struct bench_spread bench_spread_of(double *samples, size_t count);

#endif
