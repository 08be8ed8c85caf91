/* SPDX-License-Identifier: MIT */
/* A runtime from its start to its end. */
#ifndef WHORL_RUNTIME_RUNTIME_H
#define WHORL_RUNTIME_RUNTIME_H

#include "runtime/worker.h"

/* Runs main_fn(arg) on a runtime with this configuration and this reactor, and stores its result in *result. 0, or -errno when it
 * could not start, the cause having been said on standard error. */
int whorl__runtime_run(const struct whorl__config *config, struct whorl__reactor *reactor, whorl_fn main_fn, void *arg,
                       intptr_t *result);

/* Starts a runtime whose workers have threads of their own, with this configuration and this reactor. Simulated ones are played by those
 * who wait for their tasks from outside. 0 or -errno, as above. */
int whorl__runtime_create(const struct whorl__config *config, struct whorl__reactor *reactor, struct whorl__runtime **out);

/* The calling thread, which is no worker, waits until the latch, that of a task, is open, NULL: until the runtime stops; and plays all
 * workers of such a simulated one meanwhile, unless another thread does. */
void whorl__runtime_play(struct whorl__runtime *rt, const uintptr_t *until);
/* There, a latch has been opened that a thread may wait for. */
void whorl__runtime_played(struct whorl__runtime *rt);

/* Ends what whorl__runtime_create started and frees it, but for its reactor, which it returns. */
struct whorl__reactor *whorl__runtime_close(struct whorl__runtime *rt);

/* Main has returned: no more tasks from other threads, and the exit policy takes hold. On a worker. */
void whorl__runtime_end(struct whorl__runtime *rt);

/* A task was spawned after that. On a worker. */
void whorl__runtime_spawned_late(struct whorl__runtime *rt, struct whorl_task *t);

#endif
