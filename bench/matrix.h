/* SPDX-License-Identifier: MIT */
/* Square matrices to be multiplied by quarters. */
#ifndef BENCH_MATRIX_H
#define BENCH_MATRIX_H

#include <stdbool.h>
#include <stddef.h>

/* Rows of the parts that are multiplied without being divided further. */
enum { BENCH_MATRIX_LEAF = 32 };

/* c += a * b, parts of larger matrices. */
struct bench_matrix_product {
    double *c;
    const double *a, *b;
    size_t n, stride; /* rows of the parts; from one row to the next */
};

/* Can matrices of n rows be halved until they are leaves? */
bool bench_matrix_divides(long n);

/* Of a product of leaves. */
void bench_matrix_multiply_leaf(const struct bench_matrix_product *p);

/* What makes up the quarter of c in half `row` and half `column`: two products, one after the other. */
struct bench_matrix_product bench_matrix_part(const struct bench_matrix_product *p, int row, int column, int which);

/* The whole, divided so, on the calling thread. */
void bench_matrix_multiply(const struct bench_matrix_product *p);

/* Makes *p the product of two matrices of n rows, with c at 0. free(p->c) gives all three back. False: no memory. */
bool bench_matrix_new(struct bench_matrix_product *p, size_t n);
/* Sets c to 0. */
void bench_matrix_clear(struct bench_matrix_product *p);

#endif
