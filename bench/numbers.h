/* SPDX-License-Identifier: MIT */
/* Numbers to be sorted. */
#ifndef BENCH_NUMBERS_H
#define BENCH_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes the same `count` numbers each time, in no order. */
void bench_numbers_fill(uint64_t *numbers, size_t count);

/* Are these the numbers that bench_numbers_fill writes, in order? */
bool bench_numbers_sorted(const uint64_t *numbers, size_t count);

/* For qsort(3), and, with an argument that it does not look at, for whorl_sort. */
int bench_numbers_compare(const void *a, const void *b);
int bench_numbers_compare_arg(const void *a, const void *b, void *arg);

#endif
