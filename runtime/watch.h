/* SPDX-License-Identifier: MIT */
/* Being told of the end of a task, without joining it. A watch stands in the task's latch, in the place of a joiner. */
#ifndef WHORL_RUNTIME_WATCH_H
#define WHORL_RUNTIME_WATCH_H

#include "runtime/scheduler.h"
#include <whorl/waiters.h>

/* What tells a watch in a latch from a task; both are aligned. */
#define WHORL__LATCH_WATCH ((uintptr_t)4)

/* Begins to watch `t`. False: it has ended. Aborts when somebody else waits for it or it was detached. */
bool whorl__watch(struct whorl_task *t, struct whorl__watch *watch, const char *call);

/* Ends it. False: `ended` has been called, or is about to be. */
bool whorl__unwatch(struct whorl_task *t, struct whorl__watch *watch);

#endif
