/* SPDX-License-Identifier: MIT */
/* Chance in tests, which can be replayed, and how much of it is wanted. */
#ifndef WHORL_TESTS_SEEDS_H
#define WHORL_TESTS_SEEDS_H

#include <stdint.h>

/* The seed of this process: that of WHORL_SEED, or one drawn at the first call. Never 0. The plain runner shows it with each test
 * that fails, Criterion's front end once at the start; a drawn one reaches the tests' processes by WHORL_DRAWN_SEED. */
uint64_t test_seed(void);

/* The next number of a sequence that begins with *state = test_seed(). */
uint64_t test_random(uint64_t *state);

/* How many seeds a test is to try: WHORL_TEST_SEEDS, or `usual`. */
unsigned test_seeds(unsigned usual);

/* For how many seconds a stress test is to run: WHORL_TEST_SECONDS, or `usual`. */
unsigned test_seconds(unsigned usual);

#endif
