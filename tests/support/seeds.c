/* SPDX-License-Identifier: MIT */
#include "seeds.h"

#include "testing/record.h"
#include <whorl/test.h>

uint64_t test_seed(void)
{
    return whorl_test_seed();
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
    return (unsigned)whorl__test_number("WHORL_TEST_SEEDS", usual);
}

unsigned test_seconds(unsigned usual)
{
    return (unsigned)whorl__test_number("WHORL_TEST_SECONDS", usual);
}
