/* SPDX-License-Identifier: MIT */
/* Which runtimes there are, for dumps that are asked for from outside, and for who is given one. */
#ifndef WHORL_RUNTIME_INSPECT_H
#define WHORL_RUNTIME_INSPECT_H

#include "runtime/worker.h"

/* From here on dumps show the runtime; with config.dump_on_sigquit SIGQUIT writes one. */
void whorl__inspect_register(struct whorl__runtime *rt);
/* Is it one that is registered? An address that is used again is. */
bool whorl__inspect_knows(const struct whorl__runtime *rt);
/* Are there any? */
bool whorl__inspect_any(void);
/* In the child of a fork(2): calls `die` with each, and forgets them and all who used them. */
void whorl__inspect_forked(void (*die)(struct whorl__runtime *rt));
/* Returns when no dump looks at it any more. */
void whorl__inspect_unregister(struct whorl__runtime *rt);

/* Writes what whorl_dump does of this runtime, and also who holds what tasks wait for. Only while none of them runs. */
void whorl__dump_still(struct whorl__runtime *rt, int fd);

/* leaks.c: a runtime that ends had so many left over. */
void whorl__leaks_add(uint64_t tasks, uint64_t stacks);

#endif
