/* SPDX-License-Identifier: MIT */
/* OS threads that are no workers: they may spawn into a runtime and wait for a task. */
#ifndef WHORL_RUNTIME_FOREIGN_H
#define WHORL_RUNTIME_FOREIGN_H

#include "runtime/worker.h"

/* Wakes the thread that waits on the latch, that of a task of this runtime. The latch may have become another's: waking a thread in vain is harmless. */
void whorl__foreign_wake(struct whorl__runtime *rt, uintptr_t *latch);

/* whorl_runtime_spawn; for NULL the error is in *err, -ENOMEM or -ECANCELED. */
struct whorl_task *whorl__foreign_spawn(struct whorl__runtime *rt, whorl_fn fn, void *arg,
                                        const struct whorl_spawn_options *options, const char *where, int *err);

/* Queues a new task, on a thread that is no worker, and refuses others from now on. */
void whorl__foreign_start_last(struct whorl__runtime *rt, struct whorl_task *t);

/* Aborts: `call`, a public function, was called in a task, or with what is no runtime (any more). */
void whorl__foreign_check(const struct whorl__runtime *rt, const char *call);

/* Refuses tasks from other threads from now on. */
void whorl__foreign_close(struct whorl__runtime *rt);

/* Waits until no other thread is inside a call on this runtime, or is about to wake a task of it. */
void whorl__foreign_drain(struct whorl__runtime *rt);

#endif
