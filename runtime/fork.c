/* SPDX-License-Identifier: MIT */
/* The slow ways of fork and sync, and theft. The protocol is in runtime/fork.h. */
#include "runtime/fork.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"
#include <stdlib.h>
#include <string.h>
#include <whorl/time.h>

/* A sync calls a fork in place while a quarter of the stack is left, 32 KiB being always enough. The way to another stack needs some
 * itself, with a sanitizer's allocator in it a lot. */
#define RESERVE_MAX ((size_t)32 << 10)
#if defined(WHORL__ASAN) || defined(WHORL__TSAN)
#define RESERVE_PART 2
#else
#define RESERVE_PART 4
#endif

/* Forks and checkpoints from one look at the rest of the world to the next: as many as take about this long. */
#define LOOK_EVERY WHORL_US(50)
#define CREDIT_MAX 1024
#define CREDIT_MIN 1
/* A task that forks lets others run after this time, if any wait: that costs about a microsecond, and with 1 ms connections on a worker that
 * computes waited that long. */
#define SLICE WHORL_US(100)

/* Free deques that a worker keeps. */
#define KEPT_MAX 8

static const char *reserve_of(const struct whorl_task *t)
{
    size_t reserve = whorl__stack_size(t->stack) / RESERVE_PART;

    return t->stack->base + (reserve < RESERVE_MAX ? reserve : RESERVE_MAX);
}

/* May the owner use the inline ways? */
static bool quick(const struct whorl__runtime *rt)
{
    return rt->asymmetric && !rt->ops->simulated;
}

/* Deques come and go with the tasks that fork. */

static struct whorl__deque *take_free(struct whorl__runtime *rt, struct whorl__worker *w)
{
    struct whorl__deque *d = w->deques;

    if (d) {
        w->deques = d->next;
        w->deque_count--;
        return d;
    }
    whorl__spin_lock(&rt->deque_lock);
    d = rt->deques;
    if (d)
        rt->deques = d->next;
    whorl__spin_unlock(&rt->deque_lock);
    return d;
}

static struct whorl__deque *make_deque(struct whorl__runtime *rt)
{
    struct whorl__deque *d = aligned_alloc(_Alignof(struct whorl__deque), sizeof *d);

    if (!d)
        return NULL;
    memset(d, 0, sizeof *d);
    d->base = d->first_slots + 1;
    d->end = d->base + WHORL__DEQUE_SIZE;
    whorl__spin_lock(&rt->deque_lock);
    d->made = rt->deques_made;
    rt->deques_made = d;
    whorl__spin_unlock(&rt->deque_lock);
    return d;
}

/* With the lock, or when no thief knows of it. */
static void make_empty(struct whorl__deque *d)
{
    whorl__store_relaxed(&d->forks.head, d->base);
    whorl__store_relaxed(&d->forks.tail, d->base);
}

static void show(struct whorl__worker *w, struct whorl__deque *d)
{
    whorl__store_release(&w->deque, d); /* pairs with the acquire of a thief's: the deque is initialised */
    whorl__set_forks(d ? &d->forks : &w->none);
}

static void set_limits(struct whorl__deque *d, const struct whorl__runtime *rt, const struct whorl_task *t)
{
    whorl__store_relaxed(&d->forks.limit, quick(rt) ? d->end : NULL);
    d->forks.low = quick(rt) ? reserve_of(t) : WHORL__ALWAYS_LOW;
}

static struct whorl__deque *acquire(struct whorl__worker *w, struct whorl_task *t)
{
    struct whorl__deque *d = take_free(w->runtime, w);

    if (!d)
        d = make_deque(w->runtime);
    if (!d)
        return NULL;
    whorl__spin_lock(&d->lock);
    d->task = t;
    d->stack_class = t->stack_class;
    whorl__store_relaxed(&d->bound, t->bound);
    make_empty(d);
    whorl__spin_unlock(&d->lock);
    set_limits(d, w->runtime, t);
    d->forks.credit = w->credit;
    whorl__store_relaxed(&t->deque, d);
    whorl__add_trait(t, WHORL__FORKED);
    show(w, d);
    return d;
}

void whorl__deque_bind(struct whorl__deque *d, uint16_t bound)
{
    whorl__spin_lock(&d->lock);
    whorl__store_relaxed(&d->bound, bound);
    whorl__spin_unlock(&d->lock);
}

void whorl__forks_forbid(struct whorl__worker *w, struct whorl_task *t)
{
    struct whorl__forks *forks = t->deque ? &t->deque->forks : &w->none;

    whorl__store_relaxed(&forks->limit, NULL);
    forks->low = WHORL__ALWAYS_LOW;
    forks->credit = 1;
}

void whorl__forks_allow(struct whorl__worker *w, struct whorl_task *t)
{
    if (t->deque)
        set_limits(t->deque, w->runtime, t);
    (t->deque ? &t->deque->forks : &w->none)->credit = w->credit;
}

/* The slots of a deque that had to grow. */
static void free_slots(struct whorl__deque *d)
{
    if (d->base != d->first_slots + 1)
        free(d->base - 1);
    d->base = d->first_slots + 1;
    d->end = d->base + WHORL__DEQUE_SIZE;
}

void whorl__deque_release(struct whorl__worker *w, struct whorl_task *t)
{
    struct whorl__deque *d = t->deque;

    if (whorl__deque_filled(d) || (!t->root && whorl__load_relaxed(&whorl__rare(t)->strands)))
        whorl__misuse(
            "task \"%s\" (spawned at %s) ended with forks that it has not synced: sync each in the function that forked it",
            whorl__name_of(t), t->where);
    whorl__store_relaxed(&t->deque, NULL);
    show(w, NULL);
    whorl__spin_lock(&d->lock);
    free_slots(d);
    make_empty(d);
    whorl__spin_unlock(&d->lock);
    if (w->deque_count < KEPT_MAX) {
        d->next = w->deques;
        w->deques = d;
        w->deque_count++;
        return;
    }
    whorl__spin_lock(&w->runtime->deque_lock);
    d->next = w->runtime->deques;
    w->runtime->deques = d;
    whorl__spin_unlock(&w->runtime->deque_lock);
}

void whorl__deques_free(struct whorl__runtime *rt)
{
    struct whorl__deque *next;

    for (struct whorl__deque *d = rt->deques_made; d; d = next) {
        next = d->made;
        free_slots(d);
        free(d);
    }
}

/* Setting aside, and coming back. */

/* Of a deque whose task does not run, so that it stays bound or not. */
static struct whorl__deque **list_of(struct whorl__runtime *rt, const struct whorl__deque *d)
{
    return d->bound ? &rt->workers[d->bound - 1].aside : &rt->aside;
}

static void set_aside(struct whorl__worker *w, struct whorl__deque *d)
{
    struct whorl__runtime *rt = w->runtime;
    struct whorl__deque **list = list_of(rt, d);

    whorl__pause_at(FORK_ASIDE);
    whorl__spin_lock(&d->lock);
    d->aside = true;
    whorl__spin_unlock(&d->lock);
    whorl__pause_at(FORK_ASIDE_LIST);
    whorl__spin_lock(&rt->aside_lock);
    d->listed = true;
    d->before = NULL;
    d->after = *list;
    if (d->after)
        d->after->before = d;
    whorl__store_relaxed(list, d);
    whorl__spin_unlock(&rt->aside_lock);
    if (!d->bound)
        whorl__notify(w);
}

/* With aside_lock. */
static void unlist(struct whorl__runtime *rt, struct whorl__deque *d)
{
    if (!d->listed)
        return;
    d->listed = false;
    if (d->before)
        d->before->after = d->after;
    else
        whorl__store_relaxed(list_of(rt, d), d->after);
    if (d->after)
        d->after->before = d->before;
}

static void take_back(struct whorl__runtime *rt, struct whorl__deque *d)
{
    whorl__pause_at(FORK_BACK);
    whorl__spin_lock(&rt->aside_lock);
    unlist(rt, d);
    whorl__spin_unlock(&rt->aside_lock);
    whorl__pause_at(FORK_BACK_MARK);
    whorl__spin_lock(&d->lock);
    d->aside = false;
    whorl__spin_unlock(&d->lock);
}

void whorl__deque_change(struct whorl__worker *w, struct whorl__deque *next)
{
    struct whorl__deque *last = w->deque;

    whorl__pause_at(FORK_CHANGE);
    show(w, next);
    if (last && whorl__deque_filled(last))
        set_aside(w, last);
    if (next && next->aside) /* only its own task, which comes, changes it */
        take_back(w->runtime, next);
}

/* Makes room for one more fork. With the lock. False: there is no memory. */
static bool make_room(struct whorl__deque *d)
{
    struct whorl_fork **head = d->forks.head, **tail = d->forks.tail, **slots = d->base;
    size_t size = (size_t)(d->end - d->base), filled = (size_t)(tail - head);

    if (tail < d->end)
        return true;
    if (filled > size / 2) {
        slots = malloc((1 + 2 * size) * sizeof(struct whorl_fork *));
        if (!slots)
            return false;
        *slots++ = NULL; /* a sync looks there when the deque is empty */
    }
    memmove(slots, head, filled * sizeof(struct whorl_fork *));
    if (slots != d->base) {
        free_slots(d);
        d->base = slots;
        d->end = slots + 2 * size;
    }
    whorl__store_relaxed(&d->forks.head, slots);
    whorl__store_relaxed(&d->forks.tail, slots + filled);
    return true;
}

static bool push(struct whorl__worker *w, struct whorl__deque *d, struct whorl_fork *fork)
{
    bool room;

    whorl__spin_lock(&d->lock);
    room = make_room(d);
    if (room) {
        whorl__store_relaxed(d->forks.tail, fork);
        whorl__store_release(&d->forks.tail, d->forks.tail + 1); /* as in whorl_fork */
        if (quick(w->runtime))
            whorl__store_relaxed(&d->forks.limit, d->end);
    }
    whorl__spin_unlock(&d->lock);
    return room;
}

/* The owner's last fork, or NULL. */
static struct whorl_fork *pop(struct whorl__deque *d)
{
    struct whorl_fork *fork = NULL;

    whorl__pause_at(FORK_O3_LOCK);
    whorl__spin_lock(&d->lock);
    if (whorl__deque_filled(d)) {
        whorl__store_relaxed(&d->forks.tail, d->forks.tail - 1);
        fork = whorl__load_relaxed(d->forks.tail);
    } else {
        make_empty(d); /* what was taken from its front is room again */
    }
    whorl__spin_unlock(&d->lock);
    return fork;
}

/* Strands. */

static void run_fork(struct whorl_fork *fork)
{
    fork->fn(fork);
}

static intptr_t run_strand(void *arg)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_fork", &w);

    if (t->traits & WHORL__DATED)
        whorl_deadline(whorl__deadline_of(t));
    run_fork(arg);
    return 0;
}

/* A record and a stack, for a strand that is yet to get its fork. */
static struct whorl_task *new_strand(struct whorl__worker *w, int stack_class)
{
    struct whorl_spawn_options options = {.size = sizeof options};
    struct whorl_task *t = whorl__task_new(w->runtime, w, run_strand, NULL, &options, "");

    if (!t)
        return NULL;
    t->stack_class = (uint8_t)stack_class;
    if (whorl__lend_stack(w, t))
        return t;
    whorl__record_put(w, t);
    return NULL;
}

static void drop_strand(struct whorl__worker *w, struct whorl_task *t)
{
    whorl__stack_put(&w->stacks, t->stack);
    t->stack = NULL;
    whorl__record_put(w, t);
}

/* The list of a task's strands. What the parent has of values is the strand's too. */
static void enter_list(struct whorl_task *root, struct whorl_task *t, const struct whorl_task *parent)
{
    struct whorl__rare *all = whorl__rare(root), *rare = whorl__rare(t);

    whorl__spin_lock(&all->strand_lock);
    rare->next = all->strands;
    rare->before = NULL;
    if (all->strands)
        whorl__rare(all->strands)->before = t;
    whorl__store_relaxed(&all->strands, t);
    whorl__locals_inherit(t, parent); /* which is the root, or a strand, whose values stay as they are */
    whorl__spin_unlock(&all->strand_lock);
}

static void leave_list(struct whorl_task *root, struct whorl_task *t)
{
    struct whorl__rare *all = whorl__rare(root), *rare = whorl__rare(t);

    whorl__spin_lock(&all->strand_lock);
    if (rare->before)
        whorl__rare(rare->before)->next = rare->next;
    else
        whorl__store_relaxed(&all->strands, rare->next);
    if (rare->next)
        whorl__rare(rare->next)->before = rare->before;
    whorl__spin_unlock(&all->strand_lock);
}

/* The parent's scopes are the strand's. Who cancels one sets the parent's bit, then goes through the list that the strand is in by now. */
static void inherit_cancel(struct whorl_task *t, const struct whorl_task *parent)
{
    uint32_t bits = whorl__load_relaxed(&parent->cancel) & (WHORL__SCOPE | WHORL__SHIELDED);

    if (__builtin_expect(bits, 0))
        whorl__or_seq_cst(&t->cancel, (uint8_t)bits);
}

/* Makes `t` the strand that runs `fork` for `parent`, whose sync waits, or will, until it has: so the parent stays as it is. If the
 * parent is `bound`, so is the strand. */
static void bind_strand(struct whorl__worker *w, struct whorl_task *t, struct whorl_fork *fork, struct whorl_task *parent,
                        uint16_t bound)
{
    struct whorl_task *root = parent->root ? parent->root : parent;
    whorl_ns deadline = whorl__deadline_of(parent);

    whorl__pause_at(FORK_BIND);
    t->arg = fork;
    if (bound)
        whorl__bind(t, bound);
    whorl__store_relaxed(&t->root, root);
    whorl__add_trait(t, WHORL__STRAND);
    if (deadline != WHORL_NEVER)
        whorl__set_deadline_of(t, deadline);
    whorl__rare(t)->parent = parent;
    whorl__store_relaxed(&t->where, root->where);
    if (whorl__load_relaxed(&whorl__rare(root)->name[0]))
        whorl__set_name(t, whorl__name_of(root));
    enter_list(root, t, parent);
    /* As in whorl_spawn_at: whorl__runtime_end sets the flag, fences, and looks at all records that are not free. */
    whorl__set_state(w, t, WHORL__READY);
    whorl__fence_seq_cst();
    inherit_cancel(t, parent);
    if (__builtin_expect(whorl__load_relaxed(&w->runtime->ending), 0))
        whorl__runtime_spawned_late(w->runtime, t);
}

struct whorl_task *whorl__strand_end(struct whorl__worker *w, struct whorl_task *t)
{
    struct whorl_task *root = t->root, *waiter;
    struct whorl_fork *fork = t->arg;

    leave_list(root, t);
    whorl__store_relaxed(&t->root, NULL);
    whorl__rare(t)->parent = NULL;
    whorl__pause_at(FORK_END);
    waiter = whorl__latch_open(&fork->latch); /* the last touch: the fork dies with its sync, the root may */
    whorl__record_put(w, t);
    return waiter;
}

void whorl__strands_cancel(struct whorl_task *t, uint32_t bit)
{
    struct whorl__rare *rare = whorl__rare(t);

    whorl__spin_lock(&rare->strand_lock);
    for (struct whorl_task *s = rare->strands; s; s = whorl__rare(s)->next) {
        whorl__or_seq_cst(&s->cancel, (uint8_t)bit); /* C1 of wait.c */
        whorl__interrupt(s);
    }
    whorl__spin_unlock(&rare->strand_lock);
}

/* On a stack of its own, for want of room on this one. False: there is none to be had. */
static bool run_elsewhere(struct whorl__worker *w, struct whorl_task *t, struct whorl_fork *fork)
{
    struct whorl_task *strand = new_strand(w, t->stack_class);

    if (!strand)
        return false;
    whorl__add_trait(t, WHORL__FORKED);
    whorl__store_relaxed(&fork->latch, (uintptr_t)0);
    bind_strand(w, strand, fork, t, t->bound);
    whorl__ready_here(w, strand);
    whorl__latch_wait(w, t, &fork->latch, "sync", (uintptr_t)fork, WHORL__WAIT_SYNC);
    return true;
}

/* Runs what nobody else can take. */
static void run_owned(struct whorl__worker *w, struct whorl_task *t, struct whorl_fork *fork)
{
    if ((const char *)__builtin_frame_address(0) > reserve_of(t) || !run_elsewhere(w, t, fork))
        run_fork(fork);
}

/* Looking around: computation must not keep others waiting for ever. */

static bool others_wait(struct whorl__worker *w, whorl_ns now)
{
    return whorl__runq_length(&w->ready) || whorl__bound_ready(w) || whorl__port_ready(w->port) ||
           whorl__load_relaxed(&w->port->pending) || whorl__load_relaxed(&w->timers.next) <= now ||
           !whorl__fifo_empty(&w->mailbox) || !whorl__fifo_empty(&w->runtime->inbox);
}

/* The credit is used up: looks at the clock and at who waits, and gives the worker away if that is due. Others wait for it in the kernel, too: what
 * comes from the network is perhaps brought by ksoftirqd, a thread like any other, for which a slice of a thread that computes is 3 ms long. */
static void look_up(struct whorl__worker *w, struct whorl__forks *forks)
{
    whorl_ns now = w->runtime->ops->now(w->runtime->reactor);
    whorl_ns took = now - w->looked;

    if (took < LOOK_EVERY / 2 && w->credit < CREDIT_MAX)
        w->credit *= 2;
    else if (took > LOOK_EVERY && w->credit > CREDIT_MIN)
        w->credit /= 2;
    whorl__store_relaxed(&w->looked, now);
    forks->credit = w->credit;
    if (now - w->yielded >= SLICE) {
        w->yielded = now;
        sched_yield();
    }
    if (now - w->now >= SLICE && (others_wait(w, now) || whorl__anyone_neglects(w, now)))
        whorl__stand_back(w, w->current);
}

void whorl__checkpoint_slow(void)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self_may_suspend("whorl_checkpoint", &w);

    look_up(w, t->deque ? &t->deque->forks : &w->none);
}

void whorl__fork_slow(struct whorl_fork *fork)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self_may_suspend("whorl_fork", &w);
    bool first = !t->deque;

    if (!fork->fn)
        whorl__misuse("whorl_fork was given no function");
    if ((first && !acquire(w, t)) || !push(w, t->deque, fork)) {
        run_owned(w, t, fork); /* no memory: nobody else can have it */
        fork->fn = NULL;
        return;
    }
    if (first)
        whorl__notify(w); /* P of the wake protocol, this once; later forks are found by those who search, and by the watcher */
    if (w->runtime->ops->simulated && w->runtime->ops->choose(w->runtime->reactor, w->port, 2) == 0)
        whorl_yield(); /* as if others had been quick */
    else if (t->deque->forks.credit == 0 || --t->deque->forks.credit == 0)
        look_up(w, &t->deque->forks);
}

/* Theft. */

/* What a thief has in its hand before it takes a fork, and what it gets. */
struct theft {
    struct whorl__worker *worker;
    int stack_class;           /* of the stack that it has: it takes forks of tasks with such stacks only */
    int wanted;                /* the class of the last one that it passed by for that, or -1 */
    struct whorl_task *parent; /* whose fork it was */
    uint16_t bound;            /* the parent is, to this worker */
};

/* Not when it is bound to another worker. A moment old without the deque's lock. */
static bool may_take(const struct whorl__worker *w, const struct whorl__deque *d)
{
    uint16_t bound = whorl__load_relaxed(&d->bound);

    return !bound || bound == WHORL_WORKER(w->index);
}

/* T1 to T4. */
static struct whorl_fork *take(struct theft *theft, struct whorl__deque *d)
{
    struct whorl_fork **head, *fork = NULL;

    if (!whorl__deque_filled(d))
        return NULL;
    whorl__pause_at(FORK_T1);
    if (!whorl__spin_trylock(&d->lock)) /* T1 */
        return NULL;
    head = d->forks.head;
    if (!may_take(theft->worker, d)) {
        whorl__spin_unlock(&d->lock);
        return NULL;
    }
    if (theft->stack_class != d->stack_class) {
        theft->wanted = d->stack_class;
    } else if (whorl__deque_filled(d)) {
        whorl__pause_at(FORK_T2);
        whorl__store_relaxed(&d->forks.head, head + 1); /* T2 */
        whorl__pause_at(FORK_T3);
        if (!d->aside)
            whorl__fence_others(theft->worker->runtime); /* T3. Partner: O2 */
        whorl__pause_at(FORK_T4);
        /* T4. Acquire: pairs with the release in whorl_fork, so that what the fork is about is visible. */
        if (head < whorl__load_acquire(&d->forks.tail)) {
            fork = whorl__load_relaxed(head);
            whorl__store_relaxed(&fork->latch, (uintptr_t)0); /* before the owner may ask, which it does under the lock */
            theft->parent = d->task;
            theft->bound = d->bound;
        } else {
            whorl__store_relaxed(&d->forks.head, head);
        }
        whorl__pause_at(FORK_T4_UNLOCK);
    }
    whorl__spin_unlock(&d->lock);
    return fork;
}

/* From a task that runs. */
static struct whorl_fork *take_from_workers(struct theft *theft, struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;
    uint32_t count = (uint32_t)rt->worker_count, first = rt->ops->choose(rt->reactor, w->port, count);
    struct whorl_fork *fork = NULL;

    for (uint32_t i = 0; i < count && !fork; i++) {
        struct whorl__worker *victim = &rt->workers[(first + i) % count];
        struct whorl__deque *d = whorl__load_acquire(&victim->deque); /* pairs with the release in show */

        if (d && victim != w)
            fork = take(theft, d);
    }
    return fork;
}

/* From one of a list. With aside_lock. */
static struct whorl_fork *take_from_list(struct theft *theft, struct whorl__deque *first)
{
    struct whorl_fork *fork = NULL;

    for (struct whorl__deque *d = first, *after; d && !fork; d = after) {
        after = d->after;
        fork = take(theft, d);
        if (!whorl__deque_filled(d))
            unlist(theft->worker->runtime, d); /* what is parked forks no more */
    }
    return fork;
}

/* From one that is parked. */
static struct whorl_fork *take_from_parked(struct theft *theft)
{
    struct whorl__runtime *rt = theft->worker->runtime;
    struct whorl_fork *fork;

    if (!whorl__forks_aside(theft->worker))
        return NULL;
    whorl__spin_lock(&rt->aside_lock);
    fork = take_from_list(theft, theft->worker->aside);
    if (!fork)
        fork = take_from_list(theft, rt->aside);
    whorl__spin_unlock(&rt->aside_lock);
    return fork;
}

bool whorl__forks_anywhere(const struct whorl__worker *w)
{
    struct whorl__runtime *rt = w->runtime;

    if (w->poor)
        return false;
    if (whorl__forks_aside(w))
        return true;
    for (int i = 0; i < rt->worker_count; i++) {
        const struct whorl__deque *d = whorl__load_acquire(&rt->workers[i].deque);

        if (d && &rt->workers[i] != w && whorl__deque_filled(d) && may_take(w, d))
            return true;
    }
    return false;
}

static struct whorl_task *steal_with_stack(struct whorl__worker *w, struct theft *theft)
{
    struct whorl_task *t = new_strand(w, theft->stack_class);
    struct whorl_fork *fork = t ? take_from_parked(theft) : NULL;

    w->poor = !t;
    if (t && !fork)
        fork = take_from_workers(theft, w);
    if (fork)
        bind_strand(w, t, fork, theft->parent, theft->bound);
    else if (t)
        drop_strand(w, t);
    return fork ? t : NULL;
}

struct whorl_task *whorl__fork_steal(struct whorl__worker *w)
{
    struct theft theft = {.worker = w, .stack_class = w->runtime->config.stack_class, .wanted = -1};
    struct whorl_task *t;

    if (!whorl__forks_anywhere(w))
        return NULL;
    t = steal_with_stack(w, &theft);
    if (!t && theft.wanted >= 0) {
        theft.stack_class = theft.wanted;
        t = steal_with_stack(w, &theft);
    }
    if (t)
        whorl__count(&w->stats.forks_taken, 1);
    return t;
}

/* Sync. */

void whorl__sync_slow(struct whorl_fork *fork)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self_may_suspend("whorl_sync", &w);
    struct whorl_fork *last;

    /* The later ones first. If `fork` was taken they all were, but for later ones still. */
    while (fork->fn && t->deque && (last = pop(t->deque)) != NULL) {
        run_owned(whorl__worker(), t, last);
        if (last == fork)
            return;
        last->fn = NULL;
    }
    if (!fork->fn)
        return;
    if (whorl__load_relaxed(&fork->latch) == WHORL__FORK_NOT_TAKEN)
        whorl__misuse("whorl_sync was given a fork that this task has not forked, or has synced before");
    whorl__pause_at(FORK_WAIT);
    whorl__latch_wait(whorl__worker(), t, &fork->latch, "sync", (uintptr_t)fork, WHORL__WAIT_SYNC);
}
