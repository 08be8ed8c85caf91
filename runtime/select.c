/* SPDX-License-Identifier: MIT */
/* Selecting (whorl/select.h), as numbered steps.
 *
 *   S1  standing nowhere, attempts each case in a random order; the first that can be done is
 *   S2  closes the gate, and takes a place for each case: from here on others may claim the gate for one of them. If it turns out that a case
 *       can be done now, claims the gate itself, gives all places up, and begins again
 *   S3  waits at the gate
 *   S4  gives all places up; the case that the gate shows has been done, or has come true
 *
 * So a select never does anything by itself while others may do it for another case: it would have to decide for both sides of a
 * rendezvous at once. Of two selects that meet the one that comes later finds the other's place, at S1, and claims the other's gate, or,
 * if both came at the same time, at S2, and both may begin again; as the order is random they do not go on so. Nothing is lost by that,
 * since what makes a case come true stays true until somebody does it.
 *
 * S3 that is to end early claims the gate, too: if another was faster, its case has been done, and counts. */
#include "runtime/select.h"
#include <errno.h>

static bool claim_self(struct whorl_task *t)
{
    uintptr_t seen = 0;

    return whorl__cas_seq_cst(&t->gate, &seen, (uintptr_t)WHORL__LATCH_OPEN);
}

/* S1. Each case is as likely to be the next as any other that is left. */
static int attempt_any(struct whorl__worker *w, struct whorl_case *cases, uint32_t count)
{
    const struct whorl__reactor_ops *ops = w->runtime->ops;

    for (uint32_t i = 0; i < count; i++)
        cases[i].turn = i;
    for (uint32_t left = count; left > 0; left--) {
        uint32_t at = left > 1 ? ops->choose(w->runtime->reactor, w->port, left) : 0;
        uint32_t i = cases[at].turn;

        cases[at].turn = cases[left - 1].turn;
        if (cases[i].kind->attempt(&cases[i]))
            return (int)i;
    }
    return -EAGAIN;
}

/* The earliest time among the cases; NULL: there is none. */
static struct whorl_case *earliest(struct whorl_case *cases, uint32_t count)
{
    struct whorl_case *first = NULL;

    for (uint32_t i = 0; i < count; i++)
        if (cases[i].kind == &whorl__case_kind_at && cases[i].when != WHORL_NEVER && (!first || cases[i].when < first->when))
            first = &cases[i];
    return first;
}

/* The task's own timer, which then claims the gate when it is due. */
static int set_alarm(struct whorl__worker *w, struct whorl_task *t, whorl_ns when)
{
    t->sleep.kind = WHORL__TIMER_GATE;
    return whorl__timer_start(&w->timers, &t->sleep, when);
}

/* S2. How many have a place in *standing. As a case's `stand`: 0, 1, -errno. */
static int stand(struct whorl__worker *w, struct whorl_task *t, struct whorl_case *cases, uint32_t count, uint32_t *standing)
{
    const struct whorl_case *first = earliest(cases, count);
    int err = 0;

    whorl__store_relaxed(&t->gate, (uintptr_t)0);
    for (*standing = 0; *standing < count; ++*standing) {
        struct whorl_case *c = &cases[*standing];

        whorl__pause_at(SELECT_S2);
        c->waiter = (struct whorl__waiter){.task = t, .claim = WHORL__CLAIM(*standing)};
        err = c->kind->stand(c);
        if (err)
            return err;
    }
    return first ? set_alarm(w, t, first->when) : 0;
}

/* S4. Returns the index of the case that the gate shows; -EAGAIN: the task itself has claimed it. */
static int leave(struct whorl_task *t, struct whorl_case *cases, uint32_t count, uint32_t standing)
{
    uintptr_t gate = whorl__load_acquire(&t->gate); /* pairs with the claim */
    uint32_t chosen = gate == WHORL__LATCH_OPEN ? UINT32_MAX : WHORL__CLAIM_INDEX(gate);

    whorl__pause_at(SELECT_S4);
    if (t->sleep.kind == WHORL__TIMER_GATE) {
        whorl__timer_stop(&t->sleep);
        t->sleep.kind = WHORL__TIMER_RECORD;
        if (gate == WHORL__CLAIM_TIME)
            chosen = (uint32_t)(earliest(cases, count) - cases);
    }
    for (uint32_t i = 0; i < standing; i++)
        cases[i].kind->leave(&cases[i], i == chosen);
    return gate == WHORL__LATCH_OPEN ? -EAGAIN : (int)chosen;
}

static bool too_many(size_t count)
{
    return count > WHORL_CASES_MAX;
}

int whorl_try_select(struct whorl_case *cases, size_t count)
{
    struct whorl__worker *w;

    whorl__self("whorl_try_select", &w);
    return too_many(count) ? -EINVAL : attempt_any(w, cases, (uint32_t)count);
}

int whorl_select(struct whorl_case *cases, size_t count)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self_may_suspend("whorl_select", &w);
    uint32_t standing;
    int chosen, err;

    if (too_many(count))
        return -EINVAL;
    for (;;) {
        chosen = attempt_any(whorl__worker(), cases, (uint32_t)count);
        if (chosen >= 0) {
            whorl__went_on(whorl__worker());
            return chosen;
        }
        err = stand(whorl__worker(), t, cases, (uint32_t)count, &standing);
        if (err)
            claim_self(t);
        /* Acquire: pairs with the claim. */
        while (!(whorl__load_acquire(&t->gate) & 1))
            if (!whorl__gate_wait(whorl__worker(), t, "select", (uintptr_t)cases) && whorl__cancel_pending(t) && claim_self(t))
                err = -ECANCELED;
        chosen = leave(t, cases, (uint32_t)count, standing);
        if (chosen >= 0)
            return chosen;
        if (err == -ECANCELED)
            err = whorl__cancel_take(t);
        if (err < 0)
            return err;
    }
}

/* A point in time. */

static bool has_come(struct whorl_case *c)
{
    struct whorl__worker *w = whorl__worker();

    c->result = 0;
    return c->when != WHORL_NEVER && c->when <= w->runtime->ops->now(w->runtime->reactor);
}

static int stand_in_time(struct whorl_case *c)
{
    (void)c; /* the task has one timer for all */
    return 0;
}

static void leave_time(struct whorl_case *c, bool chosen)
{
    (void)chosen;
    c->result = 0;
}

const struct whorl__case_kind whorl__case_kind_at = {.attempt = has_come, .stand = stand_in_time, .leave = leave_time};
