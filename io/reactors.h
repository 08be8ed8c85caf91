/* SPDX-License-Identifier: MIT */
/* The reactors there are. */
#ifndef WHORL_IO_REACTORS_H
#define WHORL_IO_REACTORS_H

#include "runtime/config.h"
#include "runtime/reactor.h"

/* io/uring.c: the kernel's io_uring, a ring a worker. */
struct whorl__reactor *whorl__uring_new(const struct whorl__config *config);

/* io/null.c: no kernel. A virtual clock from 0, every choice drawn from config->seed; only nop operations do anything. */
struct whorl__reactor *whorl__null_new(const struct whorl__config *config);

/* Both: NULL without memory; freed by free(3) when all ports are closed. */

#endif
