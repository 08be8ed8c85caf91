/* SPDX-License-Identifier: MIT */
#include "seeds.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* The number in the environment variable `name`, or `usual` when it is not set. A typing error must not pass for a number. */
static uint64_t number_from(const char *name, uint64_t usual)
{
    const char *text = getenv(name);
    char *end;
    uint64_t number;

    if (!text || !*text)
        return usual;
    errno = 0;
    number = strtoull(text, &end, 0);
    if (errno || *end || *text == '-' || number == 0) {
        fprintf(stderr, "%s=%s: a positive number is needed\n", name, text);
        exit(2);
    }
    return number;
}

static uint64_t draw(void)
{
    uint64_t seed = 0;

    /* Short, so that it can be typed. */
    if (getrandom(&seed, 4, 0) != 4 || seed == 0)
        seed = (uint64_t)(uintptr_t)&seed >> 4;
    return seed;
}

uint64_t test_seed(void)
{
    static _Atomic uint64_t seed;
    uint64_t none = 0, mine;

    if (atomic_load(&seed))
        return atomic_load(&seed);
    mine = number_from("WHORL_SEED", number_from("WHORL_DRAWN_SEED", 0));
    if (mine == 0)
        mine = draw();
    atomic_compare_exchange_strong(&seed, &none, mine); /* the first of several threads wins */
    return atomic_load(&seed);
}

/* SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

unsigned test_seeds(unsigned usual)
{
    return (unsigned)number_from("WHORL_TEST_SEEDS", usual);
}

unsigned test_seconds(unsigned usual)
{
    return (unsigned)number_from("WHORL_TEST_SECONDS", usual);
}
