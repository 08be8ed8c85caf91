/* SPDX-License-Identifier: MIT */
/* Which worker is this thread? With the forks that the inline functions of whorl/fork.h see, and the pool of a thread that runs no
 * tasks (pool.c), that is all the library keeps in thread-local variables.
 *
 * Compilers keep the address of a thread-local over a call, and a task that is stolen during that call continues on another thread:
 * it would then read the first thread's variable. So the variable is reached only through these two functions, which are never
 * inlined nor analysed by callers, and nobody keeps its address. tests/tls shows both what goes wrong otherwise and that this is
 * right. */
#ifndef WHORL_RUNTIME_CURRENT_H
#define WHORL_RUNTIME_CURRENT_H

struct whorl__worker;

/* For functions that callers must know nothing of but their declaration. */
#if defined(__clang__)
#define WHORL__OPAQUE __attribute__((noinline))
#else
#define WHORL__OPAQUE __attribute__((noinline, noipa))
#endif

/* The worker that this thread is, or NULL. After anything that suspends the answer may differ. */
struct whorl__worker *whorl__worker(void);

void whorl__set_worker(struct whorl__worker *w);

#endif
