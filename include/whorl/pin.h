/* SPDX-License-Identifier: MIT */
/* Keeping a task on its worker, and keeping it from waiting.
 *
 * After a call that suspends a task may be on another worker, that is on another OS thread. What belongs to one thread (a context of
 * OpenGL or of a GPU, a library that keeps things in thread-local variables) needs a task that stays where it is: for good, by
 * whorl_spawn_options.pinned, or for the length of a pin region.
 *
 * A pinned task waits as others do, and others run on its worker meanwhile. It goes on there only: while that worker is kept by a
 * task that computes or blocks, it waits for it to end. Tasks that it spawns are free. Its forks share its pin, being part of it: they
 * run on its worker, at their sync or while it waits. So whorl_parallel_for, whorl_reduce and whorl_sort use one worker only; to
 * have them use all, spawn a task for it and join that.
 *
 * A no-suspend region is for what other tasks of the worker must not come between, and what must not move: a pthread mutex that is
 * held, the address of a thread-local variable that is kept.
 *
 * Regions nest, and the outermost counts. A region belongs to the task that began it, or to the fork, if another worker has
 * taken it or its task was waiting: then it is in no region when it begins, though it may have to stay where its task is pinned to.
 * Who ends inside a region aborts. */
#ifndef WHORL_PIN_H
#define WHORL_PIN_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* Begins a pin region: the calling task stays on the worker that it is on now, until whorl_unpin has been called as often as this.
 * `where` is kept and must live as long as the program (WHORL_HERE). Never suspends. Aborts outside a task. */
#define whorl_pin() whorl_pin_at(WHORL_HERE)
WHORL_API void whorl_pin_at(const char *where);

/* Ends the pin region that the calling task began last. It is still on the same worker when this returns; after the next call
 * that suspends it may be elsewhere, if this was the outermost region and it was not spawned pinned. Never suspends. Aborts when the
 * task is in none, and outside a task. */
#define whorl_unpin() whorl_unpin_at(WHORL_HERE)
WHORL_API void whorl_unpin_at(const char *where);

/* Begins a no-suspend region: until whorl_no_suspend_end has been called as often as this, a call by this task that may suspend
 * aborts, and says which call it was, from where, and where the region began. That is each call of which it is said that it suspends, be
 * it only at times (whorl_join, whorl_send, whorl_close, whorl_fork, whorl_checkpoint), and whether or not it would have had to
 * wait: so the mistake is seen the first time, not on a bad day. What never suspends (whorl_spawn, whorl_result, whorl_cancel) is
 * allowed.
 * `where` is kept and must live as long as the program (WHORL_HERE). Never suspends. Aborts outside a task. */
#define whorl_no_suspend_begin() whorl_no_suspend_begin_at(WHORL_HERE)
WHORL_API void whorl_no_suspend_begin_at(const char *where);

/* Ends the no-suspend region that the calling task began last. Never suspends. Aborts when the task is in none, and outside a task. */
#define whorl_no_suspend_end() whorl_no_suspend_end_at(WHORL_HERE)
WHORL_API void whorl_no_suspend_end_at(const char *where);

WHORL_END_DECLS

#endif
