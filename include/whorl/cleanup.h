/* SPDX-License-Identifier: MIT */
/* For C: what is undone when the block is left, by whatever way but longjmp, in which it was done.
 *
 *     WHORL_AUTO_LOCK(held, &account->mutex);
 *     if (held.error)
 *         return held.error;
 *     account->sum += n;
 *     return 0;                                unlocks it
 *
 * A lock's macro declares a variable, `name`, with an `error`: 0, or why it was not done; then there is nothing to undo. The last that
 * was done is undone first: a descriptor declared before a scope is closed once the tasks of the scope have ended. (C++ has destructors for
 * this; for the end of the task instead of that of a block see defer.h.) */
#ifndef WHORL_CLEANUP_H
#define WHORL_CLEANUP_H

#ifndef __cplusplus

#include <whorl/mutex.h>
#include <whorl/net.h>
#include <whorl/rwlock.h>
#include <whorl/scope.h>

#define WHORL__AUTO(undo) __attribute__((cleanup(undo)))

struct whorl__auto_lock {
    struct whorl_mutex *mutex;
    int error;
};

struct whorl__auto_rwlock {
    struct whorl_rwlock *lock;
    int error;
};

/* Locks `mutex` until the end of the block, as whorl_mutex_lock does. Suspends, unless it is free. */
#define WHORL_AUTO_LOCK(name, mutex)                                                                                               \
    WHORL__AUTO(whorl__auto_unlock) struct whorl__auto_lock name = whorl__auto_lock((mutex), WHORL_HERE)

/* Locks `lock` to read, or to write, until the end of the block, as whorl_rwlock_lock_read and whorl_rwlock_lock_write do.
 * Suspends, unless it can be had. */
#define WHORL_AUTO_LOCK_READ(name, lock)                                                                                           \
    WHORL__AUTO(whorl__auto_unlock_read) struct whorl__auto_rwlock name = whorl__auto_lock_read((lock))
#define WHORL_AUTO_LOCK_WRITE(name, lock)                                                                                          \
    WHORL__AUTO(whorl__auto_unlock_write) struct whorl__auto_rwlock name = whorl__auto_lock_write((lock), WHORL_HERE)

static inline struct whorl__auto_lock whorl__auto_lock(struct whorl_mutex *mutex, const char *where)
{
    struct whorl__auto_lock held = {mutex, whorl_mutex_lock_at(mutex, where)};

    return held;
}

static inline void whorl__auto_unlock(struct whorl__auto_lock *held)
{
    if (!held->error)
        whorl_mutex_unlock(held->mutex);
}

static inline struct whorl__auto_rwlock whorl__auto_lock_read(struct whorl_rwlock *lock)
{
    struct whorl__auto_rwlock held = {lock, whorl_rwlock_lock_read(lock)};

    return held;
}

static inline void whorl__auto_unlock_read(struct whorl__auto_rwlock *held)
{
    if (!held->error)
        whorl_rwlock_unlock_read(held->lock);
}

static inline struct whorl__auto_rwlock whorl__auto_lock_write(struct whorl_rwlock *lock, const char *where)
{
    struct whorl__auto_rwlock held = {lock, whorl_rwlock_lock_write_at(lock, where)};

    return held;
}

static inline void whorl__auto_unlock_write(struct whorl__auto_rwlock *held)
{
    if (!held->error)
        whorl_rwlock_unlock_write(held->lock);
}

/* Declares the scope `name`, and opens it (whorl_scope_open). If it is still open when the block is left it is closed (whorl_scope_close),
 * which waits for its children; to stop them cancel it before (whorl_scope_cancel, whorl_scope_fail). Where the outcome matters
 * close it yourself. */
#define WHORL_AUTO_SCOPE(name)                                                                                                     \
    WHORL__AUTO(whorl__scope_cleanup) struct whorl_scope name;                                                                     \
    whorl_scope_open(&name)

/* Declares the descriptor `name`, an int, with the value `fd`; if that is not negative it is closed (whorl_close) when the block is
 * left. To keep it open set it to -1 before; after closing it yourself too. */
#define WHORL_AUTO_FD(name, fd) WHORL__AUTO(whorl__fd_cleanup) int name = (fd)

static inline void whorl__scope_cleanup(struct whorl_scope *scope)
{
    if (scope->opener)
        whorl_scope_close(scope);
}

static inline void whorl__fd_cleanup(const int *fd)
{
    if (*fd >= 0)
        whorl_close(*fd);
}

#endif

#endif
