/* SPDX-License-Identifier: MIT */
#include "spread.h"

#include <stdlib.h>

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

struct bench_spread bench_spread_of(double *samples, size_t count)
{
    size_t middle = count / 2;

    qsort(samples, count, sizeof *samples, by_value);
    return (struct bench_spread){
        .median = count % 2 ? samples[middle] : (samples[middle - 1] + samples[middle]) / 2,
        .min = samples[0],
        .max = samples[count - 1],
    };
}
