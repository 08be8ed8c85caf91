/* SPDX-License-Identifier: MIT */
/* A lock that many may hold to read, or one to write.
 *
 * Tasks of any worker and plain OS threads may use one together, and hold it over calls that suspend. Who waits gets it in the
 * order of coming: readers who come one after the other together, and a reader who comes after a waiting writer after that writer.
 * So neither starves; and a reader must not lock it again, or a writer that has come in between and the reader wait for each other.
 *
 * All zeros is an unlocked one. Its memory may be given back as soon as the last who had locked it has unlocked it, and nobody is
 * about to lock it. */
#ifndef WHORL_RWLOCK_H
#define WHORL_RWLOCK_H

#include <whorl/base.h>
#include <whorl/waiters.h>

/* All zeros: ready to use, unlocked. */
struct whorl_rwlock {
    struct whorl__permits permits; /* each reader has one, a writer all */
    uintptr_t writer;              /* who has locked it to write; anyone, atomic */
    const char *where;             /* … and where; for messages, atomic and relaxed */
};

WHORL_BEGIN_DECLS

/* Locks `lock` to read.
 * Returns 0; -ECANCELED or -ETIMEDOUT: the caller is to stop waiting, and has not got it. One that can be had is locked even then.
 * Suspends, unless it can, and now and then to let others run. On an OS thread it blocks that, and always returns 0. Aborts when
 * the caller has locked it to write. */
WHORL_API WHORL_MUST_USE int whorl_rwlock_lock_read(struct whorl_rwlock *lock);

/* Locks `lock` to read if that can be had at once, and nobody waits. Returns 0, or -EBUSY. Never suspends. Callable from any
 * thread. */
WHORL_API WHORL_MUST_USE int whorl_rwlock_try_lock_read(struct whorl_rwlock *lock);

/* Gives back what the two above have locked. Never suspends. Aborts unless some reader has locked it. */
WHORL_API void whorl_rwlock_unlock_read(struct whorl_rwlock *lock);

/* Locks `lock` to write. `where` is kept and must live as long as the program (WHORL_HERE). Returns as whorl_rwlock_lock_read.
 * Suspends, unless it can be had. On an OS thread it blocks that. Aborts when the caller has locked it to write already. */
#define whorl_rwlock_lock_write(lock) whorl_rwlock_lock_write_at((lock), WHORL_HERE)
WHORL_API WHORL_MUST_USE int whorl_rwlock_lock_write_at(struct whorl_rwlock *lock, const char *where);

/* Locks `lock` to write if nobody has locked it. Returns 0, or -EBUSY. Never suspends. Callable from any thread. */
#define whorl_rwlock_try_lock_write(lock) whorl_rwlock_try_lock_write_at((lock), WHORL_HERE)
WHORL_API WHORL_MUST_USE int whorl_rwlock_try_lock_write_at(struct whorl_rwlock *lock, const char *where);

/* Gives back what the two above have locked. Never suspends. Aborts unless it was the caller. */
WHORL_API void whorl_rwlock_unlock_write(struct whorl_rwlock *lock);

WHORL_END_DECLS

#endif
