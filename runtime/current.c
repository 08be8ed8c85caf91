/* SPDX-License-Identifier: MIT */
#include "runtime/current.h"
#include <stddef.h>

/* initial-exec: one load at a fixed offset, no call, also in the shared library; it costs 8 bytes of the static TLS block. */
static _Thread_local struct whorl__worker *current __attribute__((tls_model("initial-exec")));

WHORL__OPAQUE struct whorl__worker *whorl__worker(void)
{
    __asm__ volatile("" ::: "memory");
    return current;
}

WHORL__OPAQUE void whorl__set_worker(struct whorl__worker *w)
{
    __asm__ volatile("" ::: "memory");
    current = w;
}
