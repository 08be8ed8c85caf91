/* SPDX-License-Identifier: MIT */
/* fork(2) copies the memory of a process, and of its threads only the one that calls it. So in the child the runtimes are dead: their
 * workers are gone, and what their rings do is done for the parent. The child finds
 *
 * - no worker: the thread that has forked, in a task perhaps, is none any more. Whatever needs a task finds that it is outside of one,
 *   at no cost to those who are inside;
 * - no records of tasks: their pages are zeros there (MADV_WIPEONFORK, record.c). So each handle is one that no task belongs to, which
 *   who is given it looks for in any case; and a fork copies less;
 * - no rings: their memory is not inherited, and their descriptors are closed;
 * - no runtime in the list of those that there are (inspect.c); the dead ones are kept in a list of their own, to be told from others;
 * - nothing locked or counted by threads that are not there: a fork waits while a runtime starts or ends.
 *
 * A new runtime can be started in the child, also in the body of what was a task. */
#include "runtime/fork_child.h"
#include "runtime/current.h"
#include "runtime/fatal.h"
#include "runtime/inspect.h"
#include "runtime/overflow.h"
#include "runtime/record.h"
#include "runtime/sigint.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct whorl__runtime *dead; /* written in a child that has one thread yet */

void whorl__forks_lock(void)
{
    pthread_mutex_lock(&lock);
}

void whorl__forks_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static void die(struct whorl__runtime *rt)
{
    rt->ops->forked(rt->reactor);
    rt->next_dead = dead;
    dead = rt;
}

void whorl__forked(void)
{
    struct whorl__worker *w = whorl__worker();

    if (w && w->current)
        whorl__add_trait(w->current, WHORL__NO_SUSPEND); /* any will do: drop_traits (task.c) looks at tasks that end with one */
    whorl__set_worker(NULL);
    whorl__inspect_forked(die);
    whorl__overflow_forked();
    whorl__sigint_forked();
}

bool whorl__is_dead(const struct whorl__runtime *rt)
{
    const struct whorl__runtime *d = dead;

    while (d && d != rt)
        d = d->next_dead;
    return d != NULL;
}

bool whorl__all_dead(void)
{
    return dead && !whorl__inspect_any();
}

_Noreturn void whorl__dead(const char *call)
{
    whorl__fatal(
        "%s in a child of fork(2): what it has of its parent's runtime is a dead copy, without threads and rings. Let such a "
        "child only call exec or _exit (posix_spawn does all in one), or start a new runtime there, with whorl_run",
        call ? call : "a task returned");
}
