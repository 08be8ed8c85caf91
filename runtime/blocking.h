/* SPDX-License-Identifier: MIT */
/* What a runtime has to do with the jobs that its tasks wait for. */
#ifndef WHORL_RUNTIME_BLOCKING_H
#define WHORL_RUNTIME_BLOCKING_H

#include "runtime/worker.h"

/* In a simulated runtime where nothing can happen any more but that a job ends: waits until one has ended, or none is left. The clock stands
 * still, and nothing is drawn. */
void whorl__blocking_stand_by(struct whorl__runtime *rt);

/* Main has returned, and the calling worker has nothing to do: says now and then which jobs keep the runtime from ending, and gives them up after
 * the grace. `now`: by any clock that runs. To be called again when that shows rt->overdue. */
void whorl__blocking_overdue(struct whorl__runtime *rt, whorl_ns now);

#endif
