/* SPDX-License-Identifier: MIT */
#include "numbers.h"

/* A step of xorshift64*, from Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016). */
static uint64_t next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dULL;
}

#define SEED 0x9e3779b97f4a7c15ULL

void bench_numbers_fill(uint64_t *numbers, size_t count)
{
    uint64_t state = SEED;

    for (size_t i = 0; i < count; i++)
        numbers[i] = next(&state);
}

bool bench_numbers_sorted(const uint64_t *numbers, size_t count)
{
    uint64_t state = SEED, sum = 0, mixed = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t original = next(&state);

        if (i > 0 && numbers[i] < numbers[i - 1])
            return false;
        sum += original - numbers[i];
        mixed ^= original ^ numbers[i];
    }
    return sum == 0 && mixed == 0;
}

int bench_numbers_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

int bench_numbers_compare_arg(const void *a, const void *b, void *arg)
{
    (void)arg;
    return bench_numbers_compare(a, b);
}
