/* SPDX-License-Identifier: MIT */
/* Results, on standard output: one JSON object a line, each with what is needed to compare it with another day's. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "spread.h"

/* begin, any number of fields, end: one line. */
void bench_report_begin(const char *bench);
void bench_report_text(const char *key, const char *value);
void bench_report_count(const char *key, long value);
void bench_report_real(const char *key, double value);
/* `key` is the median; key_min and key_max follow. */
void bench_report_spread(const char *key, const struct bench_spread *spread);
/* Adds commit, kernel, allocator, compiler and cpu. Exits 1 when standard output cannot be written. */
void bench_report_end(void);

#endif
