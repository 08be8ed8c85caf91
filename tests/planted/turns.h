/* SPDX-License-Identifier: MIT */
/*
 * Two threads that write one variable by turns, with nothing that orders them: the turn is relaxed, which a race detector
 * does not count. By turns, since a detector can miss two accesses at the very same moment; a hundred of them, since it
 * forgets old ones.
 */
#ifndef WHORL_TESTS_PLANTED_TURNS_H
#define WHORL_TESTS_PLANTED_TURNS_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

static int shared;
static atomic_int turn;

/* `who` is 0 for one of them and 1 for the other; false: the other one did not come within ten seconds. */
static bool write_by_turns(int who)
{
    time_t end = time(NULL) + 10;

    for (int i = 0; i < 100; i++) {
        while (atomic_load_explicit(&turn, memory_order_relaxed) != who) {
            if (time(NULL) > end)
                return false;
            sched_yield();
        }
        shared++;
        atomic_store_explicit(&turn, !who, memory_order_relaxed);
    }
    return true;
}

#endif
