/* SPDX-License-Identifier: MIT */
#include "runtime/scheduler.h"
#include <whorl/interval.h>
#include <whorl/time.h>

/* The clock's range does not end in an overflow: what lies beyond is never. */
static whorl_ns later(whorl_ns when, whorl_ns period)
{
    return period > WHORL_NEVER - when ? WHORL_NEVER : when + period;
}

ssize_t whorl_interval_tick(struct whorl_interval *i)
{
    struct whorl__worker *w;
    whorl_ns due, now, late;
    int err;

    whorl__self_may_suspend("whorl_interval_tick", &w);
    if (i->period <= 0)
        whorl__misuse("whorl_interval_tick was given an interval with a period of %lld ns: set it to more than 0",
                      (long long)i->period);
    due = i->next ? i->next : whorl_now();
    err = whorl_sleep_until(due);
    if (err) {
        i->next = due;
        return err;
    }
    now = whorl_now();
    late = now > due ? (now - due) / i->period : 0;
    switch (i->missed) {
    case WHORL_MISSED_SKIP:
        i->next = later(due + late * i->period, i->period);
        break;
    case WHORL_MISSED_BURST:
        i->next = later(due, i->period);
        break;
    case WHORL_MISSED_DELAY:
        i->next = later(late ? now : due, i->period);
        break;
    }
    return late;
}
