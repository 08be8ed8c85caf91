/* SPDX-License-Identifier: MIT */
/* Looking after workers that do not look after themselves: theirs is a task that computes on and on, or that blocks in the kernel.
 *
 * What would wait for such a worker is taken over by one that looks: operations that have finished on its port, those it has not yet
 * given to the kernel, and timers that are due. (Its ready tasks and forks are stolen anyway.) The tasks go on here, and their next
 * operations begin here: a connection waits for a hog once at most.
 *
 * Who looks: the watcher (idle.c), at all; a busy worker, each time it looks around and at one other in turn, so that it does not
 * read everybody's cache lines for nothing.
 *
 * A finished operation may show only as a flag: the kernel completes it on the thread that submitted it, when that next enters the
 * kernel, and one that spins does not. The interrupt of a membarrier(2) is such an entry. A thread that sleeps in the kernel is woken
 * by the completion itself, and its system call is restarted. */
#include "runtime/scheduler.h"

/* A worker that has looked neither around nor up for this long neglects what is there. */
#define NEGLECT WHORL_US(200)
/* How often a busy worker looks at another one. */
#define LOOK_AFTER_EVERY WHORL_US(50)
/* Looks at a port after the interrupt, until its completions show. */
#define KICK_LOOKS 1000

/* An old view, for the question whether to take the locks. */
static bool neglects(const struct whorl__worker *v, whorl_ns now)
{
    if (now - whorl__load_relaxed(&v->now) < NEGLECT || now - whorl__load_relaxed(&v->looked) < NEGLECT ||
        !whorl__load_relaxed(&v->current))
        return false;
    return whorl__port_ready(v->port) || whorl__load_relaxed(&v->port->pending) || whorl__load_relaxed(&v->timers.next) <= now;
}

bool whorl__anyone_neglects(const struct whorl__worker *w, whorl_ns now)
{
    const struct whorl__runtime *rt = w->runtime;

    for (int i = 0; rt->watch && i < rt->worker_count; i++)
        if (&rt->workers[i] != w && neglects(&rt->workers[i], now))
            return true;
    return false;
}

/* Makes the kernel complete what it holds back until the worker enters it. */
static void kick(struct whorl__runtime *rt, const struct whorl__port *port)
{
    if (!(whorl__load_relaxed(port->flags) & port->flags_mask))
        return;
    whorl__fence_others(rt);
    for (int i = 0; i < KICK_LOOKS && whorl__load_relaxed(port->flags) & port->flags_mask; i++)
        whorl__cpu_relax();
}

static void take_over(struct whorl__worker *w, struct whorl__worker *v)
{
    struct whorl__runtime *rt = w->runtime;
    uint32_t moved = 0;
    struct whorl__op *next;

    whorl__pause_at(TAKE_KICK);
    kick(rt, v->port);
    for (struct whorl__op *op = rt->ops->take_over(rt->reactor, v->port, w->port, &moved); op; op = next) {
        next = op->next;
        moved++;
        whorl__op_done(w, op);
    }
    whorl__pause_at(TAKE_TIMERS);
    whorl__timers_expire(w, &v->timers);
    whorl__count(&w->stats.taken_over, moved);
}

void whorl__look_after_others(struct whorl__worker *w, bool all)
{
    struct whorl__runtime *rt = w->runtime;

    if (!rt->watch || (!all && w->now - w->looked_after < LOOK_AFTER_EVERY))
        return;
    w->looked_after = w->now;
    for (int others = all ? rt->worker_count - 1 : 1; others > 0;) {
        struct whorl__worker *v = &rt->workers[w->look_after_next++ % (uint32_t)rt->worker_count];

        if (v == w)
            continue;
        others--;
        if (neglects(v, w->now))
            take_over(w, v);
    }
}
