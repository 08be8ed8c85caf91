/* SPDX-License-Identifier: MIT */
/* A queue is the core of a channel with an order, and with those who wait until all is done. */
#ifndef WHORL_RUNTIME_QUEUE_H
#define WHORL_RUNTIME_QUEUE_H

#include "runtime/channel.h"
#include <whorl/queue.h>

struct whorl_queue {
    struct whorl_channel core;     /* its lock guards the rest */
    struct whorl__waiters joiners; /* those who wait for `unfinished` to become 0 */
    whorl_queue_compare compare;   /* NULL: not sorted; constant */
    uint64_t puts;                 /* of a sorted one: numbers its items */
};

#endif
