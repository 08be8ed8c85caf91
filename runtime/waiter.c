/* SPDX-License-Identifier: MIT */
#include "runtime/waiter.h"
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

bool whorl__gate_claim(struct whorl_task *t, uint16_t claim, bool *parked)
{
    uintptr_t seen;

    whorl__pause_at(SELECT_CLAIM);
    seen = whorl__load_relaxed(&t->gate);
    do
        if (seen & 1)
            return false;
    /* Release of what is to be read with it, acquire of the task's registers; partners: whorl__gate_wait, publish_gate. */
    while (!whorl__cas_seq_cst(&t->gate, &seen, (uintptr_t)claim));
    *parked = seen != 0;
    return true;
}

/* Of several: the gate is the decision. With the lock of the list, which the task takes before it goes on. */
static bool claim_gate(struct whorl__waiter *waiter)
{
    bool parked;

    if (!whorl__gate_claim(waiter->task, waiter->claim, &parked))
        return false;
    if (parked)
        whorl__ready(waiter->task);
    return true;
}

struct whorl__waiter *whorl__waiters_claim_of_several(struct whorl__waiters *l, struct whorl__waiter ***end)
{
    struct whorl__waiter *waiter;

    while ((waiter = l->first) != NULL && waiter->claim != 0) {
        whorl__waiters_remove(l, waiter);
        if (claim_gate(waiter))
            return waiter;
    }
    return whorl__waiters_claim(l, end);
}

static void open_thread(struct whorl__waiter *waiter)
{
    /* Release: pairs with the acquire in whorl__waiter_block. The futex may be gone then: waking nobody there does no harm. */
    whorl__store_release(&waiter->awake, 1u);
    syscall(SYS_futex, &waiter->awake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* As whorl__latch_open and whorl__ready, for those who wake somebody with every other call. */
static inline void open_gate(struct whorl__worker *w, struct whorl_task *t)
{
    /* Release of what the waiter will read, acquire of its saved registers; partners: whorl__gate_wait and publish_gate. */
    if (whorl__xchg_seq_cst(&t->gate, (uintptr_t)WHORL__LATCH_OPEN) == 0)
        return; /* it has yet to leave */
    if (w && w->runtime == whorl__runtime_of(t))
        whorl__ready_here(w, t);
    else
        whorl__ready(t);
}

void whorl__waiters_open(struct whorl__waiter *chain)
{
    struct whorl__worker *w = whorl__worker();
    struct whorl__waiter *next;

    for (; chain; chain = next) {
        next = chain->next;
        whorl__pause_at(WAITER_M2);
        if (chain->task)
            open_gate(w, chain->task);
        else
            open_thread(chain);
    }
}

void whorl__waiter_block(struct whorl__waiter *me)
{
    /* Acquire: pairs with the release in open_thread. */
    while (!whorl__load_acquire(&me->awake))
        syscall(SYS_futex, &me->awake, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

bool whorl__waiter_withdraw(struct whorl__waiters *lock, struct whorl__waiters *l, struct whorl__waiter *me)
{
    bool listed;

    whorl__pause_at(WAITER_W3);
    whorl__waiters_lock(lock);
    listed = me->listed;
    if (listed)
        whorl__waiters_remove(l, me);
    whorl__waiters_unlock(lock);
    return listed;
}

void whorl__waiter_wait_surely(struct whorl__waiter *me, const char *reason, const void *object)
{
    if (me->task)
        whorl__latch_wait(whorl__worker(), me->task, &me->task->gate, reason, (uintptr_t)object, WHORL__WAIT_SYNC);
    else
        whorl__waiter_block(me);
}
