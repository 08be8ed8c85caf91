/* SPDX-License-Identifier: MIT */
/* Telling a deadlock: who waits for what, and who for each other. */
#ifndef WHORL_RUNTIME_DEADLOCK_H
#define WHORL_RUNTIME_DEADLOCK_H

#include "runtime/worker.h"

/* No task can ever run again: says so and aborts. For the simulated runtime. */
_Noreturn void whorl__deadlock(struct whorl__runtime *rt);

/* In a real runtime: if nothing that is within it goes on, nor ever will, says so. False: it does go on. Any thread. */
bool whorl__say_standstill(struct whorl__runtime *rt);

#endif
