/* SPDX-License-Identifier: MIT */
/* The monitor looks at each worker LOOKS times in the time that a slice may take. A worker that has had the same task all the time, which has
 * neither waited nor looked up meanwhile, has been in that slice for at least as long: so no clock is read, neither here nor where tasks are
 * switched. Each slice is told once.
 *
 * The monitor writes nothing that a worker reads. What it reads are fields for dumps, and the counters by which it knows that a worker has gone on. */
#include "runtime/monitor.h"
#include "runtime/deadlock.h"
#include "runtime/scheduler.h"
#include "runtime/trace.h"
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOKS 4

/* What a worker was in when it was looked at last. */
struct slice {
    uint64_t switches;
    whorl_ns looked;
    int seen; /* in a row, without a change */
};

struct whorl__monitor {
    struct whorl__runtime *rt;
    pthread_t thread;
    uint32_t stop;     /* atomic, a futex */
    uint64_t switches; /* of all workers, at the last look */
    int seen;          /* looks in a row at which everything stood still, with that number */
    struct slice slices[];
};

static bool same_slice(const struct whorl__worker *w, const struct slice *s)
{
    return whorl__load_relaxed(&w->current) && whorl__load_relaxed(&w->stats.switches) == s->switches &&
           whorl__load_relaxed(&w->looked) == s->looked;
}

/* How long a slice may be, as a text. */
static const char *limit_text(const struct whorl__runtime *rt, char *text, size_t size)
{
    whorl_ns limit = rt->config.slice_ns;

    if (limit % WHORL_MS(1) == 0)
        snprintf(text, size, "%lld ms", (long long)(limit / WHORL_MS(1)));
    else
        snprintf(text, size, "%lld us", (long long)(limit / WHORL_US(1)));
    return text;
}

static void say_slice(const struct whorl__worker *w, const struct slice *s)
{
    const struct whorl_task *t = whorl__load_relaxed(&w->current);
    int tid = whorl__load_relaxed(&w->tid);
    struct whorl__thread thread;
    struct whorl__trace trace;
    char name[WHORL__NAME_SIZE], limit[32];
    const char *where;

    if (!t)
        return;
    whorl__copy_name(t, name);
    where = whorl__load_relaxed(&t->where);
    whorl__thread_look(tid, &thread);
    if (!same_slice(w, s))
        return; /* over, just now; what was read may be of the next */
    whorl__trace_thread(tid, &thread, &trace);
    if (!same_slice(w, s))
        trace.count = 0;
    limit_text(w->runtime, limit, sizeof limit);
    if (thread.blocked)
        whorl__say("task \"%s\" (spawned at %s) has kept worker %d for more than %s and is blocked in %s: %s%s%scall it by "
                   "whorl_blocking",
                   name, where, w->index, limit, thread.call, thread.instead ? "use " : "", thread.instead ? thread.instead : "",
                   thread.instead ? " instead, or " : "");
    else
        whorl__say("task \"%s\" (spawned at %s) has run on worker %d for more than %s without letting others run: call "
                   "whorl_checkpoint in "
                   "its loops, take it apart with whorl_fork, or call it by whorl_blocking",
                   name, where, w->index, limit);
    whorl__trace_say(&trace);
}

static void look_at_worker(struct whorl__worker *w, struct slice *s)
{
    if (!same_slice(w, s)) {
        s->switches = whorl__load_relaxed(&w->stats.switches);
        s->looked = whorl__load_relaxed(&w->looked);
        s->seen = 0;
    } else if (++s->seen == LOOKS) {
        say_slice(w, s);
    }
}

/* Once: it does not go away, or comes again and again where a thread outside wakes somebody now and then. */
static void look_for_deadlock(struct whorl__monitor *m)
{
    struct whorl__runtime *rt = m->rt;
    uint64_t switches = 0;

    if (m->seen > LOOKS)
        return;
    for (int i = 0; i < rt->worker_count; i++)
        switches += whorl__load_relaxed(&rt->workers[i].stats.switches);
    if (switches != m->switches || !whorl__stands_still(rt))
        m->seen = 0;
    else if (m->seen < LOOKS)
        m->seen++;
    else if (whorl__say_standstill(rt))
        m->seen++;
    m->switches = switches;
}

/* Sleeps until it is time to look again. False: the runtime ends. */
static bool nap(struct whorl__monitor *m)
{
    whorl_ns pause = m->rt->config.slice_ns / LOOKS;
    struct timespec t = {.tv_sec = pause / WHORL_SEC(1), .tv_nsec = pause % WHORL_SEC(1)};

    /* Woken for nothing it would look too early. */
    while (!whorl__load_acquire(&m->stop))
        if (syscall(SYS_futex, &m->stop, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0) < 0 && errno == ETIMEDOUT)
            return true;
    return false;
}

static void *watch(void *arg)
{
    struct whorl__monitor *m = arg;

    while (nap(m)) {
        for (int i = 0; i < m->rt->worker_count; i++)
            look_at_worker(&m->rt->workers[i], &m->slices[i]);
        look_for_deadlock(m);
    }
    return NULL;
}

void whorl__monitor_start(struct whorl__runtime *rt)
{
    size_t slices = (size_t)rt->worker_count * sizeof(struct slice);
    struct whorl__monitor *m;
    sigset_t all, before;
    int err;

    if (!rt->config.debug || rt->ops->simulated)
        return;
    m = calloc(1, sizeof *m + slices);
    if (!m) {
        whorl__say("no memory for the monitor of debug mode: no alarms of long slices and deadlocks");
        return;
    }
    m->rt = rt;
    whorl__trace_install();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the program's signals are for its own threads */
    err = pthread_create(&m->thread, NULL, watch, m);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err) {
        whorl__say("cannot start the monitor of debug mode: %s; no alarms of long slices and deadlocks", strerror(err));
        whorl__trace_uninstall();
        free(m);
        return;
    }
    rt->monitor = m;
}

void whorl__monitor_stop(struct whorl__runtime *rt)
{
    struct whorl__monitor *m = rt->monitor;

    if (!m)
        return;
    rt->monitor = NULL;
    whorl__store_release(&m->stop, 1u); /* pairs with the acquire in nap */
    syscall(SYS_futex, &m->stop, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    pthread_join(m->thread, NULL);
    whorl__trace_uninstall();
    free(m);
}
