/* SPDX-License-Identifier: MIT */
/* The mutex (whorl/mutex.h): a word, and behind it the list of waiter.h.
 *
 * The word is 0, or who holds it, with WAITED when somebody may stand in the list. As numbered steps (L locks, U unlocks):
 *
 *   L1  the word 0 becomes L's: it has the mutex        U1  L's word without WAITED becomes 0: the last touch
 *   L2  under the list's lock: as L1, or sets WAITED,   U2  under the list's lock: takes the first waiter off the list, and makes the
 *       and is put on the list                              word that one's, with WAITED if there are others; or there is none:
 *   L3  waits until it has been made the holder, or is      takes WAITED out of the word, and goes on with U1, without the lock
 *       interrupted and takes itself off the list       U3  opens the waiter's gate
 *
 * WAITED is set and taken away under the list's lock only, and is set whenever somebody is on the list; so a word that is 0 has an empty
 * one. Who withdraws leaves WAITED alone: the next U2 finds nobody.
 *
 * The memory may be freed once the word is 0 and nobody else is about to lock it. So U2 must not make it 0 before it has given the
 * list's lock back: another one could lock, unlock by U1 and free it in between.
 *
 * Rejected: to make the word 0 in U2, so that whoever comes first has it (barging), as pthread mutexes do. It is not faster here. The
 * waiter becomes ready on the worker of who unlocks, so those who contend gather on one worker and take turns by switches, which are
 * cheap. From one unlock to the next, two workers of a busy machine, medians of 5, handed over / barging / pthread mutex: one task
 * each, short work 129 / 99 / 126 ns; longer work outside of it 553 / 495 / 494, as long inside 792 / 1,139 / 826; 8 tasks each
 * 65 / 65 / 76; each varied by half from run to run. And who is woken need not take it, starves, and has to wake the next one when it
 * is cancelled. Rejected: looking at the word for a while (40 or 300 pauses) before L2: 158 or 150 ns where 129 were. */
#include "runtime/mutex.h"
#include "runtime/holder.h"
#include <errno.h>

#define WAITED ((uintptr_t)WHORL__LOCK_WAITED)

static _Noreturn __attribute__((noinline)) void locked_twice(const struct whorl_mutex *m)
{
    whorl__misuse(
        "whorl_mutex_lock was given a mutex that the caller has locked already, at %s: unlock it before it is locked again",
        whorl__load_relaxed(&m->where));
}

static _Noreturn __attribute__((noinline)) void not_the_holder(const struct whorl_mutex *m, uintptr_t word, const char *call)
{
    if (!word)
        whorl__misuse("%s was given a mutex that is not locked", call);
    whorl__misuse("%s was given a mutex that another %s has locked, at %s: who locks it is to unlock it", call,
                  word & WHORL__LOCK_THREAD ? "thread" : "task", whorl__load_relaxed(&m->where));
}

/* L1 */
static inline bool take(struct whorl_mutex *m, uintptr_t me)
{
    uintptr_t nobody = 0;

    /* Acquire: pairs with the release in U1; what the last holder wrote is visible. */
    return whorl__cas_acq_rel(&m->word, &nobody, me);
}

/* L2, with the lock: has the mutex, or is about to wait. */
static bool take_or_mark(struct whorl_mutex *m, uintptr_t me)
{
    uintptr_t seen = whorl__load_relaxed(&m->word);

    for (;;)
        if (seen == 0) {
            if (whorl__cas_acq_rel(&m->word, &seen, me)) /* as L1 */
                return true;
        } else if ((seen & ~WAITED) == me) {
            locked_twice(m);
        } else if (seen & WAITED || whorl__cas_acq_rel(&m->word, &seen, seen | WAITED)) {
            return false;
        }
}

/* L2. True: `waiter` is on the list, and its lock is held. */
static bool must_wait(struct whorl_mutex *m, struct whorl__waiter *waiter, uintptr_t me)
{
    waiter->item = (void *)me;
    whorl__pause_at(MUTEX_L2);
    whorl__waiters_lock(&m->waiters);
    if (take_or_mark(m, me)) {
        whorl__waiters_unlock(&m->waiters);
        return false;
    }
    whorl__waiters_append(&m->waiters, waiter);
    return true;
}

static __attribute__((noinline)) int lock_slowly(struct whorl_mutex *m, uintptr_t me, const char *where)
{
    struct whorl__waiter waiter;
    int err;

    whorl__waiter_init(&waiter, "whorl_mutex_lock");
    if (must_wait(m, &waiter, me)) {
        err = whorl__waiter_wait(&m->waiters, &waiter, "mutex", m);
        if (err)
            return err;
    }
    whorl__store_relaxed(&m->where, where);
    return 0;
}

int whorl_mutex_lock_at(struct whorl_mutex *m, const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__caller_may_suspend("whorl_mutex_lock", &w);
    uintptr_t me = whorl__lock_holder(t);

    whorl__went_on(w); /* before it has what others may want */
    if (__builtin_expect(!take(m, me), 0))
        return lock_slowly(m, me, where);
    whorl__store_relaxed(&m->where, where);
    return 0;
}

void whorl__mutex_lock_surely(struct whorl_mutex *m, const char *where)
{
    struct whorl_task *t = whorl__task_here();
    uintptr_t me = whorl__lock_holder(t);
    struct whorl__waiter waiter;

    if (!take(m, me)) {
        whorl__waiter_init(&waiter, "whorl_mutex_lock");
        if (must_wait(m, &waiter, me)) {
            whorl__waiters_unlock(&m->waiters);
            whorl__waiter_wait_surely(&waiter, "mutex", m);
        }
    }
    whorl__store_relaxed(&m->where, where);
}

int whorl_mutex_try_lock_at(struct whorl_mutex *m, const char *where)
{
    if (whorl__load_relaxed(&m->word) || !take(m, whorl__lock_holder(whorl__task_here())))
        return -EBUSY;
    whorl__store_relaxed(&m->where, where);
    return 0;
}

/* U2: hands it over. False: nobody waits any more. */
static bool hand_over(struct whorl_mutex *m, uintptr_t me)
{
    struct whorl__waiter *chain = NULL, **end = &chain, *next;

    whorl__pause_at(MUTEX_U2);
    whorl__waiters_lock(&m->waiters);
    next = whorl__waiters_claim(&m->waiters, &end);
    /* Nobody else writes a word with WAITED: U1 and L1 fail, L2 needs the lock. What we wrote is visible to `next` by its gate. */
    whorl__store_relaxed(&m->word, next ? (uintptr_t)next->item | (m->waiters.first ? WAITED : 0) : me);
    whorl__waiters_unlock(&m->waiters);
    whorl__waiters_open(chain);
    return next;
}

static __attribute__((noinline)) void unlock_slowly(struct whorl_mutex *m, uintptr_t me, uintptr_t seen)
{
    do {
        if ((seen & ~WAITED) != me)
            not_the_holder(m, seen, "whorl_mutex_unlock");
        if (hand_over(m, me))
            return;
        whorl__pause_at(MUTEX_U1);
        seen = me;
    } while (!whorl__cas_acq_rel(&m->word, &seen, (uintptr_t)0)); /* U1 */
}

void whorl_mutex_unlock(struct whorl_mutex *m)
{
    uintptr_t me = whorl__lock_holder(whorl__task_here()), seen = me;

    /* U1. Release: pairs with the acquire in L1. */
    if (__builtin_expect(!whorl__cas_acq_rel(&m->word, &seen, (uintptr_t)0), 0))
        unlock_slowly(m, me, seen);
}

void whorl__mutex_check(const struct whorl_mutex *m, const char *call)
{
    uintptr_t word = whorl__load_relaxed(&m->word);

    if ((word & ~WAITED) != whorl__lock_holder(whorl__task_here()))
        not_the_holder(m, word, call);
}

static struct whorl_task *holder(uintptr_t object)
{
    uintptr_t word = whorl__load_relaxed(&((struct whorl_mutex *)object)->word);

    return word & WHORL__LOCK_THREAD ? NULL : (struct whorl_task *)(word & ~WAITED);
}

WHORL__HOLDER("mutex", holder);
