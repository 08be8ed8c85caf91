/* SPDX-License-Identifier: MIT */
/* Who holds a lock, and the half of the mutex that conditions need. */
#ifndef WHORL_RUNTIME_MUTEX_H
#define WHORL_RUNTIME_MUTEX_H

#include "runtime/waiter.h"
#include <pthread.h>
#include <whorl/mutex.h>

/* The two lowest bits of a holder. Records are aligned to cache lines, and so is what glibc tells threads by. */
enum {
    WHORL__LOCK_WAITED = 1, /* of a word: somebody may stand in the list */
    WHORL__LOCK_THREAD = 2, /* an OS thread, not a task */
};

/* The calling task, or thread, as a lock knows it. Not 0. */
static inline uintptr_t whorl__lock_holder(const struct whorl_task *t)
{
    return __builtin_expect(t != NULL, 1) ? (uintptr_t)t : (uintptr_t)pthread_self() | WHORL__LOCK_THREAD;
}

/* The running task, NULL on a thread that runs none. */
static inline struct whorl_task *whorl__task_here(void)
{
    struct whorl__worker *w = whorl__worker();

    return w ? w->current : NULL;
}

/* Aborts unless the caller holds `m`. `call` is the public function that was called. */
void whorl__mutex_check(const struct whorl_mutex *m, const char *call);

/* Locks it, whatever requests to stop there are. Suspends. */
void whorl__mutex_lock_surely(struct whorl_mutex *m, const char *where);

#endif
