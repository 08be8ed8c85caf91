/* SPDX-License-Identifier: MIT */
/* The pause points of the owner's side of a sync, which is inline in a public header that knows nothing of them: included before all
 * else by the command line of the compiler, this puts them around the only fence there. */
#ifndef WHORL_TESTS_PAUSE_SYNC_H
#define WHORL_TESTS_PAUSE_SYNC_H

#include "runtime/atomic.h" /* whose fence is another one */
#include "runtime/pause.h"

#define __atomic_signal_fence(order) (whorl__pause_at(FORK_O2), __atomic_signal_fence(order), whorl__pause_at(FORK_O3))

#endif
