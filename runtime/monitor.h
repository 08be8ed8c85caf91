/* SPDX-License-Identifier: MIT */
/* The thread of debug mode that looks at the workers from outside. */
#ifndef WHORL_RUNTIME_MONITOR_H
#define WHORL_RUNTIME_MONITOR_H

#include "runtime/worker.h"

/* Starts it, if the runtime is in debug mode and real. Without it the runtime is as good, which is then said. */
void whorl__monitor_start(struct whorl__runtime *rt);
/* Ends it, if it was started. */
void whorl__monitor_stop(struct whorl__runtime *rt);

#endif
