/* SPDX-License-Identifier: MIT */
/* Workers without work: looking for some, sleeping, being woken. The steps (P, S, F) are those of the essay in scheduler.c. */
#include "runtime/blocking.h"
#include "runtime/scheduler.h"
#include <errno.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An idle period up to this much longer than the spin would have been shorter, had the worker not had to be woken. */
#define WAKE_LATENCY WHORL_US(30)
#define SCORE_MAX    8
/* How long the watcher sleeps: this much while somebody has forks, else up to twenty times as long. */
#define WATCH_MIN WHORL_US(50)
#define WATCH_MAX WHORL_MS(1)

bool whorl__membarrier_register(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* S4. Partner: P2 in whorl__notify, or in whorl__notify_outside. */
void whorl__fence_others(struct whorl__runtime *rt)
{
    if (rt->asymmetric && rt->worker_count > 1)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    whorl__fence_seq_cst();
}

/* P3: the last that fell asleep, whose cache is the warmest. False: nobody needs to be woken. */
static bool wake_one(struct whorl__runtime *rt)
{
    struct whorl__worker *w = NULL;

    whorl__pause_at(WAKE_P3_LOCK);
    whorl__spin_lock(&rt->idle_lock);
    if (whorl__wanted(rt)) {
        w = &rt->workers[rt->sleepers[rt->sleeping - 1]];
        whorl__store_relaxed(&rt->sleeping, rt->sleeping - 1);
        whorl__store_relaxed(&w->asleep, false);
        whorl__add_seq_cst(&rt->searching, 1);
    }
    whorl__spin_unlock(&rt->idle_lock);
    whorl__pause_at(WAKE_P3_WAKE);
    if (w)
        rt->ops->wake(rt->reactor, w->port);
    return w != NULL;
}

void whorl__wake_one(struct whorl__worker *w)
{
    if (wake_one(w->runtime))
        whorl__count(&w->stats.wakes, 1);
}

void whorl__notify_outside(struct whorl__runtime *rt)
{
    whorl__pause_at(WAKE_P2);
    whorl__fence_seq_cst(); /* P2; not a worker's hot path, so always a full one */
    whorl__pause_at(WAKE_P3);
    if (whorl__wanted(rt))
        wake_one(rt);
}

static void enlist(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;

    whorl__spin_lock(&rt->idle_lock);
    rt->sleepers[rt->sleeping] = w->index;
    whorl__store_relaxed(&rt->sleeping, rt->sleeping + 1);
    whorl__store_relaxed(&w->asleep, true);
    whorl__spin_unlock(&rt->idle_lock);
}

/* False: somebody has taken it off already. */
static bool delist(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;
    bool listed;

    whorl__spin_lock(&rt->idle_lock);
    listed = w->asleep;
    if (listed) {
        uint32_t i = 0;

        while (rt->sleepers[i] != w->index)
            i++;
        for (; i + 1 < rt->sleeping; i++)
            rt->sleepers[i] = rt->sleepers[i + 1];
        whorl__store_relaxed(&rt->sleeping, rt->sleeping - 1);
        whorl__store_relaxed(&w->asleep, false);
    }
    whorl__spin_unlock(&rt->idle_lock);
    return listed;
}

bool whorl__wake_worker(struct whorl__runtime *rt, int index)
{
    bool woken;

    whorl__pause_at(WAKE_MAILBOX);
    whorl__fence_seq_cst(); /* P2 for a mailbox. Partner: S4 */
    woken = delist(&rt->workers[index]);
    if (woken) {
        whorl__add_seq_cst(&rt->searching, 1);
        whorl__pause_at(WAKE_P3_WAKE);
        rt->ops->wake(rt->reactor, rt->workers[index].port);
    }
    return woken;
}

void whorl__wake_all(struct whorl__runtime *rt)
{
    for (int i = 0; i < rt->worker_count; i++)
        whorl__wake_worker(rt, i);
}

/* S1: at most half of the workers that are up search, so that they do not fight over the queues; one always may. */
static bool may_search(struct whorl__runtime *rt)
{
    uint32_t up = (uint32_t)rt->worker_count - whorl__load_relaxed(&rt->sleeping);

    return rt->worker_count > 1 && whorl__load_relaxed(&rt->searching) * 2 < up;
}

static void start_searching(struct whorl__worker *w)
{
    whorl__add_seq_cst(&w->runtime->searching, 1);
    w->searching = true;
}

/* How many still search. */
static uint32_t stop_searching(struct whorl__worker *w)
{
    w->searching = false;
    return whorl__add_seq_cst(&w->runtime->searching, (uint32_t)-1) - 1;
}

static void score_idle_period(struct whorl__worker *w)
{
    bool brief = w->now - w->idle_since <= w->runtime->config.spin_ns + WAKE_LATENCY;

    if (brief && w->spin_score < SCORE_MAX)
        w->spin_score++;
    else if (!brief && w->spin_score > -SCORE_MAX)
        w->spin_score--;
    w->idle_since = WHORL_NEVER;
}

void whorl__end_idle(struct whorl__worker *w)
{
    if (w->idle_since != WHORL_NEVER)
        score_idle_period(w);
    whorl__pause_at(WAKE_F1);
    if (w->searching && stop_searching(w) == 0) { /* F1 */
        whorl__pause_at(WAKE_F1_NOTIFY);
        whorl__fence_seq_cst(); /* partner: S4. On x86 the exchange above is one already */
        whorl__notify(w);
    } else if (w->runtime->watch && !whorl__load_relaxed(&w->runtime->watched)) {
        whorl__notify(w); /* we may be busy for long: somebody is to watch */
    }
}

/* What only this worker would see, or can act upon without searching. */
static bool anything_of_ours(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;

    return whorl__port_ready(w->port) || whorl__bound_ready(w) || !whorl__fifo_empty(&w->mailbox) ||
           !whorl__fifo_empty(&rt->inbox) || whorl__load_relaxed(&rt->stop) || whorl__can_share_stacks(w) ||
           (whorl__forks_aside(w) && !w->poor);
}

/* Looks for work a while. True: there may be some. */
static bool spin(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;
    whorl_ns end = w->idle_since + rt->config.spin_ns;
    bool found = false;

    if (rt->config.spin_ns <= 0 || w->spin_score < 0)
        return false;
    do {
        for (int i = 0; i < 16 && !found; i++) {
            found = w->searching ? whorl__anything(w) : anything_of_ours(w);
            whorl__cpu_relax();
        }
        if (!found)
            sched_yield(); /* whoever else wants this CPU, our own client perhaps, gets it as if we slept already */
        whorl__store_relaxed(&w->now, rt->ops->now(rt->reactor));
        found = found || whorl__load_relaxed(&w->timers.next) <= w->now;
    } while (!found && w->now < end);
    whorl__count(found ? &w->stats.spins_won : &w->stats.spins_lost, 1);
    return found;
}

bool whorl__stands_still(const struct whorl__runtime *rt)
{
    uint64_t submitted = 0, completed = whorl__load_relaxed(&rt->withdrawn);

    if (whorl__load_relaxed(&rt->sleeping) < (uint32_t)rt->worker_count || whorl__load_relaxed(&rt->outside))
        return false;
    for (int i = 0; i < rt->worker_count; i++) {
        completed += whorl__load_relaxed(&rt->workers[i].stats.completed);
        if (whorl__load_relaxed(&rt->workers[i].timers.next) != WHORL_NEVER)
            return false;
    }
    for (int i = 0; i < rt->worker_count; i++)
        submitted += whorl__load_relaxed(&rt->workers[i].stats.submitted);
    return submitted == completed;
}

/* Nobody is going to wake anyone, and tasks still wait for a stack: none will come free. One of them ends; what that sets going may
 * free the others. */
static bool give_up_stackless(struct whorl__worker *w)
{
    return whorl__stands_still(w->runtime) && whorl__fail_stackless(w);
}

/* Does anybody else work, and may he have forks? */
static bool somebody_works(const struct whorl__runtime *rt)
{
    return whorl__load_relaxed(&rt->sleeping) < (uint32_t)rt->worker_count;
}

static bool somebody_forks(const struct whorl__runtime *rt)
{
    for (int i = 0; i < rt->worker_count; i++)
        if (whorl__load_relaxed(&rt->workers[i].deque))
            return true;
    return false;
}

static bool become_watcher(struct whorl__runtime *rt)
{
    uint32_t nobody = 0;

    return rt->watch && somebody_works(rt) && whorl__cas_acq_rel(&rt->watched, &nobody, 1u);
}

/* Is the runtime ending, and may it be jobs of other threads that keep it? */
static bool may_be_stuck(const struct whorl__runtime *rt)
{
    return __builtin_expect(whorl__load_relaxed(&rt->ending), 0) && whorl__load_relaxed(&rt->outside);
}

/* When the worker is to look up by itself. */
static whorl_ns next_look(const struct whorl__worker *w)
{
    whorl_ns timer = whorl__load_relaxed(&w->timers.next), overdue;

    if (!may_be_stuck(w->runtime))
        return timer;
    overdue = whorl__load_relaxed(&w->runtime->overdue);
    return overdue < timer ? overdue : timer;
}

/* Waits in the reactor. What a worker that is busy leaves to others without telling them is found by the watcher: while somebody
 * works, one of those that sleep looks up now and then. It stays on the list of sleepers meanwhile. */
static void wait_and_watch(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;
    bool watching = become_watcher(rt);
    whorl_ns pause = WATCH_MIN, timer, until;

    do {
        timer = next_look(w);
        until = watching && w->now + pause < timer ? w->now + pause : timer;
        whorl__count(&w->stats.sleeps, 1);
        whorl__pause_at(WAKE_S6_SLEEP);
        rt->ops->wait(rt->reactor, w->port, until);
        if (!watching)
            return;
        whorl__store_relaxed(&w->now, rt->ops->now(rt->reactor));
        pause = somebody_forks(rt) ? WATCH_MIN : 2 * pause < WATCH_MAX ? 2 * pause : WATCH_MAX;
        /* Before its time: something has come, or the loop has to do something first. */
    } while (w->now >= until && w->now < timer && whorl__load_relaxed(&w->asleep) && somebody_works(rt) && !whorl__anything(w) &&
             !whorl__anyone_neglects(w, w->now));
    whorl__pause_at(WAKE_UNWATCH);
    whorl__store_release(&rt->watched, 0u); /* pairs with the exchange above */
}

static void sleep_in_reactor(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;

    if (may_be_stuck(rt) && w->now >= whorl__load_relaxed(&rt->overdue))
        whorl__blocking_overdue(rt, w->now);
    whorl__pause_at(WAKE_S2);
    if (w->searching)
        stop_searching(w); /* S2 */
    whorl__pause_at(WAKE_S3);
    enlist(w); /* S3 */
    whorl__pause_at(WAKE_S4);
    whorl__fence_others(rt); /* S4 */
    whorl__pause_at(WAKE_S5);
    if (whorl__load_relaxed(&rt->ending) && whorl__quiet(rt)) {
        whorl__store_relaxed(&rt->stop, 1);
        whorl__wake_all(rt);
    } else if (!whorl__anything(w) && !give_up_stackless(w)) { /* S5 */
        wait_and_watch(w);
        whorl__pause_at(WAKE_S6_UP);
        w->searching = !delist(w); /* whoever woke it has counted it */
        w->budget = 0;
        return;
    }
    whorl__pause_at(WAKE_S6);
    /* S6: something is there. It may be another worker's, so this one searches. */
    if (delist(w))
        start_searching(w);
    else
        w->searching = true;
}

void whorl__idle(struct whorl__worker *w)
{
    if (w->idle_since == WHORL_NEVER)
        w->idle_since = w->now;
    whorl__pause_at(WAKE_S1);
    if (!w->searching && may_search(w->runtime)) {
        start_searching(w);
        return;
    }
    if (!whorl__stack_trim(&w->runtime->stacks) && !spin(w))
        sleep_in_reactor(w);
}
