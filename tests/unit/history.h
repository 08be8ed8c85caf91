/* SPDX-License-Identifier: MIT */
/* What programs of random tasks (seeds.c, fork_seeds.c) share: a hash of all that happens in a run, in its order, which tells whether
 * two runs were the same. */
#ifndef WHORL_TESTS_HISTORY_H
#define WHORL_TESTS_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

struct history {
    uint64_t hash, events;
};

void history_begin(struct history *h);
/* Something happened: to `id` (never an address, which would differ from run to run), now, on this worker. `when` is what the clock
 * shows, or 0 where it goes on by itself. In a task. */
void history_note(struct history *h, int id, int event, int64_t detail, int64_t when);

/* Says which seed failed if there are more failed checks than `before`. Returns whether there are not. */
bool history_passed(unsigned before, uint64_t seed, int workers);
/* Checks that the same seed is the same run and another one is not. run(seed) leaves its history in *h. */
void history_check(bool (*run)(uint64_t seed), const struct history *h);

#endif
