/* SPDX-License-Identifier: MIT */
/* Permits, which callers take and give back, some at a time: what semaphores and read-write locks are made of. (A writer takes
 * all.)
 *
 * Who comes is served in turn: while somebody waits, nobody passes, even one who wants less. So nobody starves who wants many.
 * Whoever gives some, and whoever leaves the line, serves those at its head who can be: what somebody waits for is there only while
 * the first in line wants more. */
#ifndef WHORL_RUNTIME_PERMITS_H
#define WHORL_RUNTIME_PERMITS_H

#include <stdbool.h>
#include <whorl/waiters.h>

/* Between what `free` may be. Constant for an object. */
struct whorl__limits {
    int64_t least, most;
};

/* Takes `n` permits, if nobody waits. False: they are not there. */
bool whorl__permits_try(struct whorl__permits *p, struct whorl__limits limits, int64_t n);

/* Takes `n`, waiting for them. 0, or the error that the wait ended with. `call` and `reason` as in waiter.h. Suspends. */
int whorl__permits_take(struct whorl__permits *p, struct whorl__limits limits, int64_t n, const char *call, const char *reason);

/* Gives `n` back. False: there would be too many; nothing is changed. */
bool whorl__permits_give(struct whorl__permits *p, struct whorl__limits limits, int64_t n);

#endif
