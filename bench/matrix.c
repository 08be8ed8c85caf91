/* SPDX-License-Identifier: MIT */
#include "matrix.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64 };

bool bench_matrix_divides(long n)
{
    while (n > BENCH_MATRIX_LEAF && n % 2 == 0)
        n /= 2;
    return n == BENCH_MATRIX_LEAF;
}

void bench_matrix_multiply_leaf(const struct bench_matrix_product *p)
{
    for (size_t i = 0; i < BENCH_MATRIX_LEAF; i++) {
        double row[BENCH_MATRIX_LEAF];

        memcpy(row, p->c + i * p->stride, sizeof row);
        for (size_t k = 0; k < BENCH_MATRIX_LEAF; k++) {
            double a = p->a[i * p->stride + k];
            const double *b = p->b + k * p->stride;

            for (size_t j = 0; j < BENCH_MATRIX_LEAF; j++)
                row[j] += a * b[j];
        }
        memcpy(p->c + i * p->stride, row, sizeof row);
    }
}

struct bench_matrix_product bench_matrix_part(const struct bench_matrix_product *p, int row, int column, int which)
{
    size_t half = p->n / 2, down = half * p->stride;

    return (struct bench_matrix_product){
        .c = p->c + (row ? down : 0) + (column ? half : 0),
        .a = p->a + (row ? down : 0) + (which ? half : 0),
        .b = p->b + (which ? down : 0) + (column ? half : 0),
        .n = half,
        .stride = p->stride,
    };
}

void bench_matrix_multiply(const struct bench_matrix_product *p)
{
    if (p->n == BENCH_MATRIX_LEAF) {
        bench_matrix_multiply_leaf(p);
        return;
    }
    for (int part = 0; part < 8; part++) {
        struct bench_matrix_product one = bench_matrix_part(p, part >> 2, part >> 1 & 1, part & 1);

        bench_matrix_multiply(&one);
    }
}

bool bench_matrix_new(struct bench_matrix_product *p, size_t n)
{
    double *all = aligned_alloc(ALIGNMENT, 3 * n * n * sizeof *all), *a, *b;

    if (!all)
        return false;
    a = all + n * n;
    b = a + n * n;
    for (size_t i = 0; i < n * n; i++) {
        a[i] = (double)(i % 1021) / 1021;
        b[i] = (double)(i % 1031) / 1031;
    }
    *p = (struct bench_matrix_product){.c = all, .a = a, .b = b, .n = n, .stride = n};
    bench_matrix_clear(p);
    return true;
}

void bench_matrix_clear(struct bench_matrix_product *p)
{
    memset(p->c, 0, p->n * p->n * sizeof *p->c);
}
