/* SPDX-License-Identifier: MIT */
/* The list of those who wait for something: a part of a mutex, an event, a channel. All zeros: nobody does. For whorl's own use. */
#ifndef WHORL_WAITERS_H
#define WHORL_WAITERS_H

#include <whorl/base.h>

struct whorl__waiter;

struct whorl__waiters {
    uint32_t locked;
    struct whorl__waiter *first, *last;
};

#endif
