/* SPDX-License-Identifier: MIT */
/* What is known of the test that runs: in memory that its forked children share, so that checks count there too, and what was found
 * is there when its process has died. */
#ifndef WHORL_TESTING_RECORD_H
#define WHORL_TESTING_RECORD_H

#include <stdbool.h>
#include <stdint.h>

enum { WHORL__TEST_MESSAGES_MAX = 20, WHORL__TEST_MESSAGE_SIZE = 1024 };

/* Begins a test: nothing has failed. */
void whorl__test_reset(void);

/* Why it was skipped, or NULL. */
const char *whorl__test_skipped(void);
/* Message `index`, or NULL: there are no more. */
const char *whorl__test_message(unsigned index);

/* A message that counts as no failure. */
__attribute__((format(printf, 1, 2))) void whorl__test_note(const char *format, ...);

/* The run that begins has this seed. */
void whorl__test_begin_seed(uint64_t seed);

/* seed.c: the seed of this process, that of WHORL_SEED or a drawn one, which processes below it get by WHORL_DRAWN_SEED. Never 0. */
uint64_t whorl__test_first_seed(void);
/* Is it that of WHORL_SEED? */
bool whorl__test_replays(void);
/* The number in the environment variable `name`, or `usual` when it is not set; a typing error ends the program. */
uint64_t whorl__test_number(const char *name, uint64_t usual);

#endif
