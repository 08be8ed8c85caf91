/* SPDX-License-Identifier: MIT */
/* The kinds of things that can be selected over. A new one is a table of three functions, and a function that makes its case.
 *
 * A task that selects (runtime/select.c) has one gate for all its cases. Where a case stands, whoever makes it come true claims the gate for
 * it, by whorl__gate_claim with the case's waiter, or by whorl__waiters_claim, which does so; who loses leaves the case alone. */
#ifndef WHORL_RUNTIME_SELECT_H
#define WHORL_RUNTIME_SELECT_H

#include "runtime/waiter.h"
#include <whorl/select.h>

struct whorl__case_kind {
    /* Does it, if it can be done now: true, and `result` is set. The task stands nowhere. Does not suspend. */
    bool (*attempt)(struct whorl_case *c);
    /* Takes a place with c->waiter, whose task and claim are set. 0; 1: it can be done now, or might: no place was taken; -errno, likewise.
     * Does not suspend. */
    int (*stand)(struct whorl_case *c);
    /* Gives the place up. After that nobody touches the case. With `chosen` it was claimed: sets `result`. May suspend, but cannot fail. */
    void (*leave)(struct whorl_case *c, bool chosen);
};

/* For kinds of objects with a wait list, what `stand` returns. Called with the lock, after a look whether it can be done; leaves the lock. */
int whorl__case_stand(struct whorl__waiters *lock, struct whorl__waiters *l, struct whorl_case *c, bool possible);
/* … and their `leave`. If it was claimed, what was handed over is there. */
void whorl__case_leave(struct whorl__waiters *lock, struct whorl__waiters *l, struct whorl_case *c);

/* For kinds that stand by the end of a task: it claims the gate. False: it has ended. */
bool whorl__case_watch(struct whorl_case *c, struct whorl_task *t);
/* Ends that. Once it is done nobody touches the case. */
void whorl__case_unwatch(struct whorl_case *c, struct whorl_task *t);

/* What claims the gate when the time has come (runtime/wait.c): the earliest of the cases that wait for one. */
#define WHORL__CLAIM_TIME WHORL__CLAIM(WHORL_CASES_MAX)

_Static_assert((uint64_t)WHORL_CASES_MAX * 4 + 5 <= UINT16_MAX, "each case has a claim of its own");

#endif
