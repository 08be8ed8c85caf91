/* SPDX-License-Identifier: MIT */
/* What is left of runtimes in the child of a fork(2): nothing, and whoever uses them is told. */
#ifndef WHORL_RUNTIME_FORK_CHILD_H
#define WHORL_RUNTIME_FORK_CHILD_H

#include "runtime/worker.h"

/* A runtime starts or ends: no fork comes in between. */
void whorl__forks_lock(void);
void whorl__forks_unlock(void);

/* In the child, with that lock: all runtimes are dead. */
void whorl__forked(void);

/* Was it the parent's? */
bool whorl__is_dead(const struct whorl__runtime *rt);

/* Are there such, and no others? */
bool whorl__all_dead(void);

/* Aborts: the public function `call` was called in such a child for what was the parent's. NULL: a task's function returned. */
_Noreturn void whorl__dead(const char *call);

#endif
