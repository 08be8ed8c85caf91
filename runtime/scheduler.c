/* SPDX-License-Identifier: MIT */
/* The scheduler: which task runs next, on which worker.
 *
 * Goals: a switch between tasks of one worker costs little more than the switch of registers; no worker sleeps while a task
 * waits for one; nothing that is ready waits for ever; tasks that talk to each other stay on one core, since waking a sleeping core
 * costs more than most of what it would be woken for.
 *
 * What there is. A worker is an OS thread. It has a queue of ready tasks, first in, first out (runq.h), from which idle workers
 * steal half; a mailbox for tasks that others would like to see run here; a heap of timers; a port of the reactor. All workers
 * share an inbox for work from other threads. Each worker runs a loop on its thread's own stack, and tasks run on theirs.
 *
 * Switching. A task that leaves (to wait, to yield, for good) takes the next ready task from its worker's queue itself and switches
 * straight to it: one switch, not two by way of the loop. It goes to the loop when the queue is empty, or when its `budget` is
 * used up: after 61 switches, or a multiple of 8 if the reactor shows that it has something, the loop looks at the reactor, the
 * timers and the inbox, so that neither starves under tasks that wake each other.
 *
 * Commit. A task that leaves must not be seen by anyone who might run it before its registers are saved. So what makes it visible
 * (putting it in a queue, in a timer heap, submitting its operation) is not done by the task but owed: `worker->commit` is
 * run by whoever is switched to, first thing (whorl__after_switch). From then on it may run elsewhere at once, so the commit
 * function's last access to the task is the one that publishes it, but for the request to cancel below, where the record's
 * memory is known to stay of its type (task.h).
 *
 * The wake protocol. (P = a producer of work, S = a worker that finds none; `searching` and `sleeping` are counts in the runtime.)
 *
 *   P1  queues the task
 *   P2  fence
 *   P3  nobody searches and somebody sleeps? then, under idle_lock: takes the last sleeper off the list, counts it as
 *       searching; wakes it
 *
 *   S1  looks everywhere while counted in `searching` (at most half of the workers that are up, one at least); finds nothing
 *       for a while
 *   S2  leaves the count
 *   S3  under idle_lock: is put on the list of sleepers
 *   S4  fence
 *   S5  looks again at every queue, its port, its timers
 *   S6  found something: takes itself off the list if it is still on it; else sleeps in the reactor until an operation
 *       finishes, its first timer is due, or somebody wakes it
 *
 *   F1  a searcher that has found something leaves the count, and if it was the last, wakes another (as P3)
 *
 * Why no wake-up is lost: the fences P2 and S4 are in some order. If P2 is first, P1 is before S5, which finds the task. If S4 is
 * first, P3 sees S asleep and not searching. If P3 sees another searcher instead, that one has yet to pass S4, or F1, which wakes
 * somebody who has.
 *
 * P2 is on the path of every spawn, S4 only where a worker has nothing to do. So S4 is membarrier(2), which stands for a full fence
 * on each CPU that runs a thread of this process, and P2 is then a fence for the compiler only. Where the kernel refuses
 * membarrier, both are full fences. A push into a mailbox, or of a bound task, is for one worker only: it wakes that worker if it
 * is asleep, whoever else may be searching.
 *
 * Looking before sleeping (`spin`). A sleeping core takes 15 to 20 us to wake. A worker that has nothing to do therefore looks on
 * for up to 50 us, if that has lately been worth while: a score counts the idle periods that were shorter against those that were
 * longer, and the longer ones soon turn it off.
 *
 * Pinning. A task may be bound to a worker (pin.c, whorl/pin.h). Whichever worker makes it ready queues it there: its own in a list
 * that thieves do not see, in turn with the run queue (runq.h); others in a fifo that its own collects, and is woken for. So whatever
 * is to be queued passes whorl__queue or whorl__ready_here. The two ways past the queue, the hand-over to a joiner and the theft of a
 * fork, look whom they have before them.
 *
 * Forks (fork.h) are in no queue: each task that forks has a deque of its own, from which idle workers take when they find nothing
 * else. Nobody is told of a fork; whoever searches finds it, and the watcher (idle.c) does when nobody searches. The watcher, and busy
 * workers in turn, also take over what waits for a worker whose task keeps it (takeover.c).
 *
 * Ending. When main returns the runtime is closed to other threads. A worker that goes idle then sums the spawned and the finished
 * counters of all workers, the finished first: if they agree no task was alive between the two sums, none can come, and all
 * workers are told to stop.
 *
 * Simulation. With a simulated reactor one thread plays all workers in turn: a seeded choice says which one takes the next step. A
 * worker's budget is always used up there, so a task that leaves goes to the loop. Everything else is the same code.
 *
 * Rejected: the owner's pop without an atomic exchange (thieves would have to fence the owner by a membarrier at each steal: 9 us
 * against 4.5 ns a pop); LIFO order for tasks that a task wakes (they starve the rest). */
#include "runtime/scheduler.h"
#include "runtime/blocking.h"
#include "runtime/deadlock.h"
#include "runtime/fork_child.h"
#include "runtime/pool.h"
#include <errno.h>
#include <stddef.h>

/* A worker that never runs out of ready tasks submits what is pending after this time all the same. */
#define FLUSH_AFTER WHORL_US(200)
/* How often a busy worker gives memory of stacks back, which takes some 50 us. Idle ones do it all the time. */
#define TRIM_EVERY WHORL_MS(1)

_Noreturn void whorl__outside(const char *call)
{
    const char *pool = whorl__pool_here();

    if (whorl__all_dead())
        whorl__dead(call);
    if (pool)
        whorl__fatal("%s was called in a function that runs in pool \"%s\", outside any task: call it before whorl_pool_run (or "
                     "whorl_blocking), or after",
                     call, pool);
    whorl__fatal("%s was called outside a task: call it from a function that whorl_run or whorl_spawn started", call);
}

bool whorl__lend_stack(struct whorl__worker *w, struct whorl_task *t)
{
    struct whorl__stack *stack = whorl__stack_get(&w->stacks, t->stack_class);

    if (__builtin_expect(!stack, 0))
        return false;
    t->stack = stack;
    stack->owner = t;
    whorl__stack_context(stack, &t->context, whorl__task_entry);
    return true;
}

void whorl__set_aside(struct whorl__worker *w, struct whorl_task *t)
{
    whorl__count(&w->stats.stack_waits, 1);
    whorl__store_relaxed(&t->reason, "a stack");
    whorl__set_state(w, t, WHORL__PARKED);
    whorl__fifo_push(&w->runtime->stackless[t->stack_class], t);
    whorl__notify_outside(w->runtime); /* another worker may have one to spare, see share_stacks */
}

/* The stack of an ended task is free now that we are on another one. */
void whorl__bury(struct whorl__worker *w, struct whorl_task *t)
{
    struct whorl__fifo *waiting = &w->runtime->stackless[w->dead->class];
    uint32_t n;

    (void)t;
    whorl__stack_put(&w->stacks, w->dead);
    w->dead = NULL;
    if (__builtin_expect(!whorl__fifo_empty(waiting), 0)) {
        struct whorl_task *next = whorl__fifo_take(waiting, 1, &n);

        /* With the stack in its hand already: a thief might find none. */
        if (next && whorl__lend_stack(w, next))
            whorl__ready_here(w, next);
        else if (next)
            whorl__set_aside(w, next);
    }
}

/* Are there tasks that wait for a stack such as this worker keeps? */
static bool can_share(const struct whorl__worker *w, int class)
{
    const struct whorl__stack_shelf *shelf = &w->stacks.shelves[class];

    return __builtin_expect(!whorl__fifo_empty(&w->runtime->stackless[class]), 0) && (shelf->top || shelf->spare);
}

bool whorl__can_share_stacks(const struct whorl__worker *w)
{
    for (int i = 0; i < WHORL__STACK_CLASSES; i++)
        if (can_share(w, i))
            return true;
    return false;
}

/* Gives the stacks that this worker keeps to tasks that wait for one. */
static void share_stacks(struct whorl__worker *w)
{
    uint32_t n;

    for (int i = 0; i < WHORL__STACK_CLASSES; i++)
        while (can_share(w, i)) {
            struct whorl_task *t = whorl__fifo_take(&w->runtime->stackless[i], 1, &n);

            if (!t || !whorl__lend_stack(w, t)) {
                if (t)
                    whorl__fifo_push(&w->runtime->stackless[i], t);
                break;
            }
            whorl__ready_here(w, t);
        }
}

/* Once the task is in the inbox it may end, and the runtime with it: as a visitor we keep that. */
static void post(struct whorl__runtime *rt, struct whorl_task *t)
{
    whorl__store_relaxed(&t->state, WHORL__READY);
    whorl__add_seq_cst(&rt->visitors, 1);
    whorl__fifo_push(&rt->inbox, t);
    whorl__notify_outside(rt);
    whorl__add_seq_cst(&rt->visitors, (uint32_t)-1);
}

void whorl__ready(struct whorl_task *t)
{
    struct whorl__worker *w = whorl__worker();

    if (w && w->runtime == whorl__runtime_of(t))
        whorl__ready_here(w, t);
    else
        post(whorl__runtime_of(t), t); /* whoever collects it brings it where it is bound to */
}

void whorl__queue_bound(struct whorl__worker *w, struct whorl_task *t)
{
    struct whorl__runtime *rt = w->runtime;
    int home = t->bound - 1;

    if (w->index == home) {
        whorl__runq_push_bound(&w->ready, t);
    } else {
        whorl__fifo_push(&rt->workers[home].bound, t);
        whorl__wake_worker(rt, home);
    }
}

void whorl__ready_there(struct whorl__runtime *rt, int index, struct whorl_task *t)
{
    whorl__store_relaxed(&t->state, WHORL__READY);
    whorl__fifo_push(&rt->workers[index].mailbox, t);
    if (!whorl__wake_worker(rt, index))
        whorl__notify_outside(rt); /* it is busy: somebody else may take the task from there */
}

/* Moves what others left for us to our queue. */
static void collect(struct whorl__worker *w, struct whorl__fifo *from)
{
    uint32_t n;
    struct whorl_task *next;

    for (struct whorl_task *t = whorl__fifo_take(from, WHORL__RUNQ_SIZE / 2, &n); t; t = next) {
        next = t->next;
        whorl__queue(w, t);
    }
}

/* Everything but the queue: finished operations, the clock, timers, what others have for us. */
static void look_around(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;
    whorl_ns now = rt->ops->now(rt->reactor);
    uint32_t before = whorl__runq_length(&w->ready), ours;
    /* As late as may be: a receive that finds its data when it reaches the kernel costs less than one that has to wait there. */
    bool flush = (before == 0 && !w->ready.bound) || whorl__load_relaxed(&w->port->pending) >= WHORL__PENDING_MAX || w->prompt ||
                 now - w->flushed >= FLUSH_AFTER;
    struct whorl__op *next;

    whorl__store_relaxed(&w->now, now);
    w->budget = rt->ops->simulated ? 0 : WHORL__BUDGET;
    w->poor = false;
    w->prompt = false;
    if (flush)
        w->flushed = now;
    whorl__count(&w->stats.polls, 1);
    for (struct whorl__op *op = rt->ops->poll(rt->reactor, w->port, flush); op; op = next) {
        next = op->next;
        whorl__op_done(w, op);
    }
    if (whorl__load_relaxed(&w->timers.next) <= now)
        whorl__timers_expire(w, &w->timers);
    collect(w, &w->bound);
    collect(w, &w->mailbox);
    collect(w, &rt->inbox);
    share_stacks(w);
    whorl__look_after_others(w, w->idle_since != WHORL_NEVER);
    if (now - w->trimmed >= TRIM_EVERY) {
        w->trimmed = now;
        whorl__stack_trim(&rt->stacks);
    }
    /* One task is for this worker, which is about to look into its queue, unless there is one that only it may run. Those that were
     * there before may be such as only yielded, of which nobody was told. */
    ours = w->ready.bound ? 0 : 1;
    if (whorl__runq_length(&w->ready) > (before ? before : ours))
        whorl__notify(w);
}

/* The task goes behind all that is ready once the worker has looked around; and before its turn comes the worker looks again, so that what
 * the others have to submit does not wait while it computes. */
static void publish_behind(struct whorl__worker *w, struct whorl_task *t)
{
    if (!w->runtime->ops->simulated) { /* else the next step looks */
        uint32_t others;

        w->prompt = true;
        look_around(w);
        others = whorl__runq_length(&w->ready) + w->ready.bound_count;
        w->prompt = others > 0;
        if (others > 0 && others < WHORL__BUDGET)
            w->budget = (int)others;
    }
    whorl__queue(w, t);
}

void whorl__stand_back(struct whorl__worker *w, struct whorl_task *t)
{
    whorl__store_relaxed(&t->state, WHORL__READY);
    w->budget = 0; /* so that it goes to the loop */
    whorl__leave(w, t, publish_behind);
}

/* Takes work from another worker: half of its queue, or what is in its mailbox; or somebody's fork. */
static struct whorl_task *steal(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;
    uint32_t n, count = (uint32_t)rt->worker_count;
    uint32_t first = count > 1 ? rt->ops->choose(rt->reactor, w->port, count) : 0;

    for (uint32_t i = 0; i < count; i++) {
        struct whorl__worker *victim = &rt->workers[(first + i) % count];
        struct whorl_task *t;

        if (victim == w)
            continue;
        t = whorl__runq_steal(&w->ready, &victim->ready, &n);
        if (!t)
            t = whorl__fifo_take(&victim->mailbox, 1, &n);
        if (t) {
            whorl__count(&w->stats.steals, 1);
            whorl__count(&w->stats.stolen, n);
            return t;
        }
    }
    return whorl__fork_steal(w);
}

bool whorl__anything(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;

    if (whorl__port_ready(w->port) || whorl__bound_ready(w) || !whorl__fifo_empty(&w->mailbox) || !whorl__fifo_empty(&rt->inbox) ||
        whorl__load_relaxed(&rt->stop) || whorl__can_share_stacks(w))
        return true;
    for (int i = 0; i < rt->worker_count; i++)
        if (whorl__runq_length(&rt->workers[i].ready) || !whorl__fifo_empty(&rt->workers[i].mailbox))
            return true;
    return whorl__forks_anywhere(w);
}

/* Runs `t` on the loop's thread until it or a task after it comes back to the loop. Inline, as whorl__leave is. */
__attribute__((always_inline)) static inline void run(struct whorl__worker *w, struct whorl_task *t)
{
    if (__builtin_expect(!t->stack, 0) && !whorl__lend_stack(w, t)) {
        whorl__set_aside(w, t);
        return;
    }
    /* The worker is the same afterwards: tasks migrate, loops do not. Bare: loops do no arithmetic. */
    whorl__context_switch_bare(&w->context, whorl__context_of(w, t), w);
    whorl__after_switch(w);
}

/* The next task for this worker, or NULL when there is none to be had just now. */
static struct whorl_task *find(struct whorl__worker *w)
{
    struct whorl_task *t;

    if (whorl__look_due(w))
        look_around(w);
    t = whorl__runq_pop(&w->ready);
    if (!t) {
        look_around(w);
        t = whorl__runq_pop(&w->ready);
    }
    return t;
}

void whorl__work(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;

    while (!whorl__load_relaxed(&rt->stop)) {
        struct whorl_task *t = find(w);

        if (!t && w->searching)
            t = steal(w);
        else if (!t && whorl__forks_aside(w))
            t = whorl__fork_steal(w); /* from a task that is parked: in nobody's way */
        if (t) {
            whorl__found(w);
            run(w, t);
        } else {
            whorl__idle(w);
        }
    }
}

/* One step of one worker: false if it found nothing to do. */
static bool step(struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;
    struct whorl_task *t;

    whorl__set_worker(w);
    look_around(w);
    t = whorl__runq_pop(&w->ready);
    if (t && rt->ops->choose(rt->reactor, w->port, 4) == 0) {
        /* As if others had taken those before the next one. */
        whorl__queue(w, t);
        t = whorl__runq_pop(&w->ready);
    }
    if (!t)
        t = steal(w);
    if (t)
        run(w, t);
    return t != NULL;
}

bool whorl__fail_stackless(struct whorl__worker *w)
{
    uint32_t n;

    for (int i = 0; i < WHORL__STACK_CLASSES; i++) {
        struct whorl_task *t = whorl__fifo_take(&w->runtime->stackless[i], 1, &n);

        if (t) {
            whorl__task_fail(w, t, -ENOMEM);
            return true;
        }
    }
    return false;
}

bool whorl__anything_from_outside(const struct whorl__runtime *rt)
{
    bool any = !whorl__fifo_empty(&rt->inbox);

    for (int i = 0; i < rt->worker_count && !any; i++)
        any = !whorl__fifo_empty(&rt->workers[i].mailbox);
    return any;
}

/* Nobody has anything to do: moves the clock to where somebody has. What is to come from other threads is looked at before what has come:
 * they leave it first, then go. */
static void pass_time(struct whorl__runtime *rt)
{
    whorl_ns next = WHORL_NEVER;
    bool expected;

    whorl__blocking_stand_by(rt); /* what another thread does takes no time here, and nothing is drawn meanwhile */
    expected = whorl__load_seq_cst(&rt->outside) || whorl__load_seq_cst(&rt->visitors) != whorl__load_seq_cst(&rt->joiners);
    if (whorl__load_relaxed(&rt->stop) || whorl__anything_from_outside(rt))
        return;
    for (int i = 0; i < rt->worker_count; i++)
        if (rt->workers[i].timers.next < next)
            next = rt->workers[i].timers.next;
    if (rt->ops->wait(rt->reactor, rt->workers[0].port, next))
        return;
    if (expected) {
        sched_yield(); /* another thread is about to wake a task or to spawn one */
        return;
    }
    if (whorl__fail_stackless(&rt->workers[0]))
        return;
    whorl__deadlock(rt);
}

/* A worker that found nothing for itself may have readied a task that is bound to one whose step came before. */
static bool anyone_bound_ready(const struct whorl__runtime *rt)
{
    for (int i = 0; i < rt->worker_count; i++)
        if (whorl__bound_ready(&rt->workers[i]))
            return true;
    return false;
}

void whorl__simulate(struct whorl__runtime *rt, const uintptr_t *until)
{
    /* Acquire: pairs with the exchange in finish (task.c). */
    while (!whorl__load_relaxed(&rt->stop) && !(until && whorl__load_acquire(until) == WHORL__LATCH_OPEN)) {
        uint32_t first = rt->ops->choose(rt->reactor, rt->workers[0].port, (uint32_t)rt->worker_count);
        bool busy = false;

        for (int i = 0; i < rt->worker_count && !busy; i++)
            busy = step(&rt->workers[(first + (uint32_t)i) % (uint32_t)rt->worker_count]);
        if (!busy && whorl__load_relaxed(&rt->ending) && whorl__quiet(rt))
            whorl__store_relaxed(&rt->stop, 1);
        else if (!busy && !anyone_bound_ready(rt) && !whorl__stack_trim(&rt->stacks))
            pass_time(rt);
    }
}
