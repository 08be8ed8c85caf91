/* SPDX-License-Identifier: MIT */
/* Which task holds what another one waits for. So that a deadlock can be told as "A waits for what B holds", whatever the thing is: a kind
 * of wait that has a holder says so in the file that it is made in, by
 *
 *     static struct whorl_task *holder(uintptr_t object)
 *     {
 *         return whorl__load_relaxed(&((struct whorl_mutex *)object)->owner);
 *     }
 *     WHORL__HOLDER("mutex", holder);
 *
 * The linker gathers these into one table; nothing is to be registered when the program starts. */
#ifndef WHORL_RUNTIME_HOLDER_H
#define WHORL_RUNTIME_HOLDER_H

#include "runtime/task.h"

struct whorl__holder {
    const char *reason; /* as given to the wait */
    /* Of the object given to the wait: its holder; NULL: nobody holds it, or no task does. Called while no task runs; a
     * thread outside may change it meanwhile, so it is to be read atomically. */
    struct whorl_task *(*of)(uintptr_t object);
};

/* Aligned to its size, so that all of them are an array. */
#define WHORL__HOLDER(reason, of)                                                                                                  \
    static struct whorl__holder whorl__holder_here                                                                                 \
        __attribute__((used, section("whorl__holders"), aligned(sizeof(struct whorl__holder)))) = {reason, of}

/* The task that holds what `t` waits for, or that it joins; NULL: `t` waits for nothing that one task can give. Only while no task runs. */
struct whorl_task *whorl__holder_of(const struct whorl_task *t);

#endif
