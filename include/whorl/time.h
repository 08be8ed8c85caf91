/* SPDX-License-Identifier: MIT */
/* The clock, sleeping, and deadlines. Times are nanoseconds on a monotonic clock: CLOCK_MONOTONIC, or the null reactor's
 * virtual clock, which starts at 0 and moves only when every task waits. */
#ifndef WHORL_TIME_H
#define WHORL_TIME_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* Now. Never suspends. Aborts outside a task. */
WHORL_API whorl_ns whorl_now(void);

/* The point in time `duration` from now: WHORL_NEVER when that is beyond the clock's range. Never suspends. */
WHORL_API whorl_ns whorl_after(whorl_ns duration);

/* Waits for `duration`; zero or less is like whorl_yield.
 * Returns 0, -ECANCELED, -ETIMEDOUT (the task's deadline, see below, came first) or -ENOMEM. Suspends. */
WHORL_API int whorl_sleep(whorl_ns duration);

/* Waits until the clock shows `when`; the past is like whorl_yield. Returns as whorl_sleep. Suspends. */
WHORL_API int whorl_sleep_until(whorl_ns when);

/* Sets the calling task's deadline: once the clock shows `when`, every wait of this task ends with -ETIMEDOUT until another
 * deadline is set. WHORL_NEVER: none, as for a new task. Cheap enough to be moved for each request: a later deadline only
 * stores a number. Without memory to arm it the next wait ends with -ENOMEM. Returns the one that was set before, so that a callee
 * can put it back. Never suspends. */
WHORL_API whorl_ns whorl_deadline(whorl_ns when);

WHORL_END_DECLS

#endif
