/* SPDX-License-Identifier: MIT */
#include "runtime/current.h"
#include "runtime/worker.h"
#include <stddef.h>

/* initial-exec: one load at a fixed offset, no call, also in the shared library; it costs 8 bytes of the static TLS block. */
static _Thread_local struct whorl__worker *current __attribute__((tls_model("initial-exec")));

static struct whorl_fork *nothing[1];
struct whorl__forks whorl__forks_nobody = {.tail = nothing + 1, .low = WHORL__ALWAYS_LOW, .credit = 1, .head = nothing + 1};

/* Read by the assembly of whorl/fork.h, which no compiler sees: `used` keeps it, under this name, whatever else is optimised away. */
WHORL_API extern _Thread_local struct whorl__forks *whorl__forks_current;
_Thread_local struct whorl__forks *whorl__forks_current __attribute__((used, tls_model("initial-exec"))) = &whorl__forks_nobody;

WHORL__OPAQUE struct whorl__worker *whorl__worker(void)
{
    __asm__ volatile("" ::: "memory");
    return current;
}

WHORL__OPAQUE void whorl__set_worker(struct whorl__worker *w)
{
    __asm__ volatile("" ::: "memory");
    current = w;
    whorl__forks_current = w ? &w->none : &whorl__forks_nobody;
}

WHORL__OPAQUE void whorl__set_forks(struct whorl__forks *forks)
{
    __asm__ volatile("" ::: "memory");
    whorl__forks_current = forks;
}
