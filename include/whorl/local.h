/* SPDX-License-Identifier: MIT */
/* Values that go with a task and are inherited by those that it spawns: who is served, what a log line is to begin with, in which
 * language to answer. So they need not be passed through every call in between.
 *
 *     static const struct whorl_local user = {free};
 *
 *     whorl_local_set(&user, strdup(name));
 *     …
 *     printf("%s: done\n", (const char *)whorl_local_get(&user));
 *
 * A task begins with the values that the task which spawned it had at that moment, in whatever way it was spawned (whorl_spawn, a scope,
 * whorl_gather …). Setting one later changes it for this task, and for those that it spawns from then on, and for nobody else. Main
 * begins with none; so do tasks that are spawned by OS threads, and by whorl_runtime_spawn.
 *
 * Forks (fork.h) read the values of their task: one that is taken those of when it was taken. They do not set any.
 *
 * Spawning costs one increment more when there are values, and nothing when there are none. Reading one takes longer the more there
 * are: this is for a handful. */
#ifndef WHORL_LOCAL_H
#define WHORL_LOCAL_H

#include <whorl/base.h>

/* A key: what tells one kind of value from the others is its address. Static or made at run time; all zeros is ready to be used.
 * It must stay as long as any task has a value under it. */
struct whorl_local {
    /* Called with each value that was set, once the last task that has it has ended or set another one; NULL: nothing is. It may be
     * called on any worker, in one of these tasks or outside of all, and must not suspend, which aborts. */
    void (*drop)(void *value);
};

WHORL_BEGIN_DECLS

/* The calling task's value under `key`, NULL when there is none. It is there at least until the task sets another one, or ends.
 * Never suspends. Aborts outside a task. */
WHORL_API void *whorl_local_get(const struct whorl_local *key);

/* Makes `value` the calling task's value under `key`, NULL: none. With a `drop` the value is taken; setting the one that is set already
 * changes nothing.
 * Returns 0, or -ENOMEM: all is as before, and `value` still the caller's. Never suspends. Aborts outside a task, and in a fork that was
 * taken. */
WHORL_API WHORL_MUST_USE int whorl_local_set(const struct whorl_local *key, void *value);

WHORL_END_DECLS

#endif
