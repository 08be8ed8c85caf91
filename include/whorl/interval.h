/* SPDX-License-Identifier: MIT */
/* Intervals: something to be done again and again at fixed times, without drift.
 *
 *     struct whorl_interval beat = {.period = WHORL_SEC(1)};
 *
 *     while ((missed = whorl_interval_tick(&beat)) >= 0)
 *         report(missed);
 *
 * The times are those of the first tick and multiples of the period after it, however long what is done between two ticks takes. When it
 * takes longer than a period, ticks are missed; what then happens is the policy. */
#ifndef WHORL_INTERVAL_H
#define WHORL_INTERVAL_H

#include <whorl/base.h>

/* What to do about ticks that were missed. */
enum whorl_missed {
    WHORL_MISSED_SKIP = 0, /* they are left out: the one that is late comes at once, the next at its own time */
    WHORL_MISSED_BURST,    /* they are made up for: each comes at once, until all have */
    WHORL_MISSED_DELAY     /* from the late one on all are later: at least a period lies between any two */
};

/* The caller's, in one task at a time. Any field may be changed between two ticks. */
struct whorl_interval {
    whorl_ns period;          /* more than 0 */
    whorl_ns next;            /* when the next tick is due; 0, as at first: now */
    enum whorl_missed missed; /* the policy */
};

WHORL_BEGIN_DECLS

/* Waits for the next tick. Returns how many periods late it is: 0 when it is on time; more: so many further ticks have been missed, and are
 * left out, with WHORL_MISSED_BURST are still to come. Or -ECANCELED, -ETIMEDOUT, -ENOMEM: the tick is still to come.
 * Suspends. Aborts outside a task, and when the period is not more than 0. */
WHORL_API ssize_t whorl_interval_tick(struct whorl_interval *interval);

WHORL_END_DECLS

#endif
