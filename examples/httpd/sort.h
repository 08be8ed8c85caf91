/* SPDX-License-Identifier: MIT */
/* A request that computes: /sort?n=1000 sorts 1000 numbers. */
#ifndef HTTPD_SORT_H
#define HTTPD_SORT_H

#include "response.h"
#include "target.h"

#define SORT_MAX 100000

/* Answers with the least, the middle and the greatest of the n numbers that splitmix64 yields from the seed n (the upper 32 bits
 * of each), and with the sum of position * number, counted from 1, modulo 2^64: so the answer can be checked. Suspends. */
void sort_answer(struct output *out, const struct request *request, const struct target *target);

#endif
