/* SPDX-License-Identifier: MIT */
/* Running tests of the scheduler on the null reactor, without liburing: what whorl_run does, and a look at the books at the end. */
#ifndef WHORL_TESTS_NULL_RUN_H
#define WHORL_TESTS_NULL_RUN_H

#include "runtime/context.h"
#include <whorl/whorl.h>

/* Sanitizers make stacks dear: tests with very many tasks take fewer there. */
#if defined(WHORL__ASAN) || defined(WHORL__TSAN)
#define MANY(plain, sanitized) (sanitized)
#else
#define MANY(plain, sanitized) (plain)
#endif

/* Runs main_fn(arg) as a task on the null reactor, one thread playing all workers. `options` may be NULL; in it `size` may be left
 * out, no workers are one, and no seed is that of the test. When all tasks have ended it checks that everything balances: tasks,
 * operations, timers, stacks, queues. Returns as whorl_run. */
intptr_t null_run(whorl_fn main_fn, void *arg, const struct whorl_options *options);

/* The same for one worker with the loop of a real one: tasks switch straight to each other, first in, first out, and the budget
 * counts. The clock is still the reactor's own, but each time the loop reads it it has moved by NULL_TICK. */
intptr_t null_run_real(whorl_fn main_fn, void *arg, const struct whorl_options *options);
#define NULL_TICK ((whorl_ns)100)

/* An operation that does nothing, finished after `latency`, a quarter more or less. Returns 0, -ECANCELED or -ETIMEDOUT. Suspends.
 */
int null_nop(whorl_ns latency);

/* The counters of all workers together. In a task. */
struct whorl_stats null_stats(void);

#endif
