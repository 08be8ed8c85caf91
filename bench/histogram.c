/* SPDX-License-Identifier: MIT */
#include "histogram.h"

#include <math.h>

enum { SLOTS = 1 << BENCH_HISTOGRAM_SLOT_BITS };

/* Values below SLOTS have a slot each. Above, the leading SLOT_BITS + 1 bits of the value say which: the highest is always
 * set, the others number the slot within its power of two. */
static unsigned slot_of(uint64_t value)
{
    unsigned shift;

    if (value < SLOTS)
        return (unsigned)value;
    if (value >> BENCH_HISTOGRAM_VALUE_BITS)
        return BENCH_HISTOGRAM_SLOTS - 1;
    shift = 63 - (unsigned)__builtin_clzll(value) - BENCH_HISTOGRAM_SLOT_BITS;
    return (shift << BENCH_HISTOGRAM_SLOT_BITS) + (unsigned)(value >> shift);
}

/* The middle of the values that share a slot. */
static double value_of(unsigned slot)
{
    unsigned shift;
    uint64_t low;

    if (slot < 2 * SLOTS)
        return slot;
    shift = (slot >> BENCH_HISTOGRAM_SLOT_BITS) - 1;
    low = (uint64_t)(slot - (shift << BENCH_HISTOGRAM_SLOT_BITS)) << shift;
    return (double)low + (double)((1ULL << shift) - 1) / 2;
}

void bench_histogram_add(struct bench_histogram *h, uint64_t value)
{
    h->counts[slot_of(value)]++;
    h->total++;
}

double bench_histogram_quantile(const struct bench_histogram *h, double quantile)
{
    uint64_t rank = (uint64_t)ceil(quantile * (double)h->total), seen = 0;

    if (h->total == 0)
        return 0;
    if (rank == 0)
        rank = 1;
    for (unsigned slot = 0; slot < BENCH_HISTOGRAM_SLOTS; slot++) {
        seen += h->counts[slot];
        if (seen >= rank)
            return value_of(slot);
    }
    return value_of(BENCH_HISTOGRAM_SLOTS - 1);
}
