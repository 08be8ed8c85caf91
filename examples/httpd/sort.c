/* SPDX-License-Identifier: MIT */
#include "sort.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* How many numbers are sorted at once, about 0.3 ms of work; between two such pieces other tasks have their turn. */
#define PIECE 4096

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

/* Merges the sorted from[0 .. middle) and from[middle .. n) into to[0 .. n). */
static void merge(const uint32_t *from, size_t middle, size_t n, uint32_t *to)
{
    size_t left = 0, right = middle;

    for (size_t i = 0; i < n; i++)
        to[i] = right == n || (left < middle && from[left] <= from[right]) ? from[left++] : from[right++];
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Merge sort in polite pieces. Returns which of the two arrays holds the result. */
static uint32_t *sort(uint32_t *numbers, uint32_t *scratch, size_t n)
{
    for (size_t at = 0; at < n; at += PIECE) {
        qsort(numbers + at, smaller(PIECE, n - at), sizeof *numbers, compare);
        whorl_yield();
    }
    for (size_t width = PIECE; width < n; width *= 2) {
        uint32_t *merged = scratch;

        for (size_t at = 0; at < n; at += 2 * width) {
            size_t size = smaller(2 * width, n - at);

            merge(numbers + at, smaller(width, size), size, merged + at);
            whorl_yield();
        }
        scratch = numbers;
        numbers = merged;
    }
    return numbers;
}

void sort_answer(struct output *out, const struct request *request, const struct target *target)
{
    unsigned long n;
    uint32_t *numbers, *sorted;
    uint64_t state, sum = 0;
    char text[128];
    int length;

    if (target_number(target, "n", 1, SORT_MAX, &n) < 0) {
        length = snprintf(text, sizeof text, "400 Bad Request: /sort?n=N takes a number from 1 to %d\n", SORT_MAX);
        response_text(out, request, 400, text, (size_t)length);
        return;
    }
    numbers = malloc(2 * n * sizeof *numbers);
    if (numbers == NULL) {
        response_error(out, request, 503);
        return;
    }
    state = n;
    for (size_t i = 0; i < n; i++)
        numbers[i] = (uint32_t)(next_random(&state) >> 32);
    sorted = sort(numbers, numbers + n, n);
    for (size_t i = 0; i < n; i++)
        sum += (i + 1) * (uint64_t)sorted[i];
    length = snprintf(text, sizeof text, "n=%lu min=%u median=%u max=%u checksum=%016llx\n", n, sorted[0], sorted[n / 2],
                      sorted[n - 1], (unsigned long long)sum);
    free(numbers);
    response_text(out, request, 200, text, (size_t)length);
}
