/* SPDX-License-Identifier: MIT */
/* Signals, as something a task waits for. */
#ifndef WHORL_SIGNAL_H
#define WHORL_SIGNAL_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* Waits until one of the `count` signals in `signals` (SIGINT, SIGTERM …; borrowed during the call) reaches the process; returns
 * its number, -ECANCELED, -ETIMEDOUT, or -EINVAL for something that is no signal. They must be blocked in every thread
 * (sigprocmask before whorl_run does it), or they keep their usual effect. One that came before the call counts. Suspends. */
WHORL_API WHORL_MUST_USE int whorl_signal_wait(const int *signals, size_t count);

WHORL_END_DECLS

#endif
