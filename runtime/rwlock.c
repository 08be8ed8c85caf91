/* SPDX-License-Identifier: MIT */
#include "runtime/mutex.h"
#include "runtime/permits.h"
#include <errno.h>
#include <whorl/rwlock.h>

/* More than any machine has tasks and threads. */
#define READERS_MAX INT32_MAX

static const struct whorl__limits limits = {-READERS_MAX, 0};

static uintptr_t caller(void)
{
    return whorl__lock_holder(whorl__task_here());
}

/* Only who has stored itself there can find itself there. */
static void check_not_writer(const struct whorl_rwlock *l, const char *call)
{
    if (__builtin_expect(whorl__load_relaxed(&l->writer) == caller(), 0))
        whorl__misuse("%s was given a lock that the caller has locked to write already, at %s: unlock it before", call,
                      whorl__load_relaxed(&l->where));
}

static void be_writer(struct whorl_rwlock *l, const char *where)
{
    whorl__store_relaxed(&l->where, where);
    whorl__store_relaxed(&l->writer, caller());
}

int whorl_rwlock_lock_read(struct whorl_rwlock *l)
{
    check_not_writer(l, "whorl_rwlock_lock_read");
    return whorl__permits_take(&l->permits, limits, 1, "whorl_rwlock_lock_read", "rwlock to read");
}

int whorl_rwlock_try_lock_read(struct whorl_rwlock *l)
{
    return whorl__permits_try(&l->permits, limits, 1) ? 0 : -EBUSY;
}

void whorl_rwlock_unlock_read(struct whorl_rwlock *l)
{
    /* Who has locked it to read reads the NULL that the last writer left. */
    if (whorl__load_relaxed(&l->writer) || !whorl__permits_give(&l->permits, limits, 1))
        whorl__misuse("whorl_rwlock_unlock_read was given a lock that nobody has locked to read");
}

int whorl_rwlock_lock_write_at(struct whorl_rwlock *l, const char *where)
{
    int err;

    check_not_writer(l, "whorl_rwlock_lock_write");
    err = whorl__permits_take(&l->permits, limits, READERS_MAX, "whorl_rwlock_lock_write", "rwlock to write");
    if (!err)
        be_writer(l, where);
    return err;
}

int whorl_rwlock_try_lock_write_at(struct whorl_rwlock *l, const char *where)
{
    if (!whorl__permits_try(&l->permits, limits, READERS_MAX))
        return -EBUSY;
    be_writer(l, where);
    return 0;
}

void whorl_rwlock_unlock_write(struct whorl_rwlock *l)
{
    uintptr_t writer = whorl__load_relaxed(&l->writer);

    if (!writer)
        whorl__misuse("whorl_rwlock_unlock_write was given a lock that nobody has locked to write");
    if (writer != caller())
        whorl__misuse("whorl_rwlock_unlock_write was given a lock that another %s has locked, at %s: who locks it is to unlock it",
                      writer & WHORL__LOCK_THREAD ? "thread" : "task", whorl__load_relaxed(&l->where));
    whorl__store_relaxed(&l->writer, (uintptr_t)0);
    whorl__permits_give(&l->permits, limits, READERS_MAX);
}
