/* SPDX-License-Identifier: MIT */
/* Mutual exclusion, between tasks on whatever worker and OS threads.
 *
 *     static struct whorl_mutex m;
 *
 *     if ((err = whorl_mutex_lock(&m)) < 0)
 *         return err;
 *     …                                        may suspend
 *     whorl_mutex_unlock(&m);
 *
 * Unlike a pthread mutex it may be held over calls that suspend. Who waits gets it in the order of coming. A part of a task that
 * another worker has taken (fork.h) counts as a task of its own here.
 *
 * All zeros is an unlocked mutex. Its memory may be given back as soon as the last who had locked it has unlocked it, and nobody is
 * about to lock it: who got it from another need not wait until that one's unlock has returned. */
#ifndef WHORL_MUTEX_H
#define WHORL_MUTEX_H

#include <whorl/base.h>
#include <whorl/waiters.h>

/* All zeros: ready to use, unlocked. */
struct whorl_mutex {
    uintptr_t word;    /* who holds it, and whether others wait; anyone, atomic: runtime/mutex.c */
    const char *where; /* it was locked; for messages, atomic and relaxed */
    struct whorl__waiters waiters;
};

WHORL_BEGIN_DECLS

/* Locks `mutex`. `where` is kept and must live as long as the program (WHORL_HERE).
 * Returns 0; -ECANCELED or -ETIMEDOUT: the caller is to stop waiting, and has not got it. One that is free is locked even then.
 * Suspends, unless it is free, and now and then to let others run. On an OS thread it blocks that, and always returns 0. Aborts
 * when the caller holds it already. */
#define whorl_mutex_lock(mutex) whorl_mutex_lock_at((mutex), WHORL_HERE)
WHORL_API WHORL_MUST_USE int whorl_mutex_lock_at(struct whorl_mutex *mutex, const char *where);

/* Locks `mutex` if it is free. Returns 0, or -EBUSY. Never suspends. Callable from any thread. */
#define whorl_mutex_try_lock(mutex) whorl_mutex_try_lock_at((mutex), WHORL_HERE)
WHORL_API WHORL_MUST_USE int whorl_mutex_try_lock_at(struct whorl_mutex *mutex, const char *where);

/* Unlocks `mutex`; who has waited longest has it then. Never suspends. Aborts unless the caller holds it. */
WHORL_API void whorl_mutex_unlock(struct whorl_mutex *mutex);

WHORL_END_DECLS

#endif
