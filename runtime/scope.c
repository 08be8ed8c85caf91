/* SPDX-License-Identifier: MIT */
/* Scopes (whorl/scope.h), and how cancelling spreads.
 *
 * Who cancels a scope sets its state, and then WHORL__SCOPE on each child and on the opener, and interrupts them. The bit says no more than
 * "look": which scopes a task is in, and what has become of them, it finds out itself, since the list of those that it has opened is
 * its own. So cancelling goes down one level at a time, and nobody walks through the stacks of tasks that run: a child whose wait ends cancels what
 * it has opened itself (whorl__scopes_stop_inner), when a wait of its body ends, or at the close.
 *
 * A scope lies on a stack, and must not be touched once it may be closed. A child touches it until it has left the lists, under the lock, and
 * opens the opener's gate, if it was the last, after that. The timer is held up by `expiring`: set under the lock of the timer's heap, so that
 * the opener finds either its timer in the heap or that. */
#include "runtime/record.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"
#include "runtime/waiter.h"
#include <errno.h>
#include <stddef.h>
#include <whorl/scope.h>
#include <whorl/time.h>

/* Bits of `state`. */
enum {
    CANCELLED = 1,
    TIMED_OUT = 2, /* waits end with -ETIMEDOUT */
    EXPIRED = 4,   /* its own deadline did it */
    CLOSING = 8,
    WAITING = 16, /* the last child is to open the opener's gate */
    SHIELD = 32,
    BODY = 64, /* the opener has said what failed */
};

/* The reason of a scope that was cancelled with what it is in. */
static const char around[] = "what is around it was cancelled";

/* Children that are told under one taking of the lock: others want to leave meanwhile. */
#define TOLD_AT_ONCE 32

static void lock(struct whorl_scope *s)
{
    whorl__spin_lock((struct whorl__spinlock *)&s->locked);
}

static void unlock(struct whorl_scope *s)
{
    whorl__spin_unlock((struct whorl__spinlock *)&s->locked);
}

static uint32_t state_of(const struct whorl_scope *s)
{
    return whorl__load_acquire(&s->state); /* pairs with the release in set_state: `reason` is visible */
}

/* With the lock. */
static void set_state(struct whorl_scope *s, uint32_t state)
{
    whorl__store_release(&s->state, state);
}

/* What waits inside are to end with, or 0. */
static int error_of(uint32_t state)
{
    return !(state & CANCELLED) ? 0 : state & TIMED_OUT ? -ETIMEDOUT : -ECANCELED;
}

/* The children's lists. With the lock. */

static void enter(struct whorl_task **list, struct whorl_task *t)
{
    struct whorl__rare *rare = whorl__rare(t);

    rare->before = NULL;
    rare->next = *list;
    if (*list)
        whorl__rare(*list)->before = t;
    *list = t;
}

static inline void leave(struct whorl_scope *s, struct whorl_task *t)
{
    struct whorl__rare *rare = whorl__rare(t);

    if (rare->before)
        whorl__rare(rare->before)->next = rare->next;
    else if (s->running == t)
        s->running = rare->next;
    else
        s->told = rare->next;
    if (rare->next)
        whorl__rare(rare->next)->before = rare->before;
}

static void append_failed(struct whorl_scope *s, struct whorl_task *t)
{
    whorl__rare(t)->next = NULL;
    if (s->failed_last)
        whorl__rare(s->failed_last)->next = t;
    else
        s->failed = t;
    s->failed_last = t;
}

/* Cancelling. */

static void tell(struct whorl_task *t)
{
    whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__SCOPE); /* C1 of wait.c */
    whorl__interrupt(t);
    if (whorl__load_relaxed(&t->deque)) /* else it has no strands; those of all of its task may look */
        whorl__strands_cancel(t->root ? t->root : t, WHORL__SCOPE);
}

static void tell_children(struct whorl_scope *s)
{
    struct whorl_task *t;

    lock(s);
    for (int n = 1; (t = s->running) != NULL; n++) {
        leave(s, t);
        enter(&s->told, t);
        tell(t);
        if (n % TOLD_AT_ONCE == 0) {
            unlock(s);
            lock(s);
        }
    }
    unlock(s);
}

/* The caller knows that `s` stays open. */
static void stop(struct whorl_scope *s, uint32_t why, const char *reason)
{
    bool first;

    lock(s);
    first = !(state_of(s) & CANCELLED);
    if (first) {
        s->reason = reason;
        set_state(s, state_of(s) | CANCELLED | why);
    }
    unlock(s);
    if (!first)
        return;
    tell_children(s);
    whorl__store_relaxed(&whorl__rare(s->opener)->stopped, (int16_t)error_of(state_of(s)));
    tell(s->opener);
}

/* For a strand: what ends the waits of those whose forks led to it, of whom each stays until its sync. */
static int find_stopped_parent(struct whorl_task *t)
{
    int err = 0;

    while (!err && (t = whorl__rare(t)->parent) != NULL && !(whorl__load_relaxed(&t->cancel) & WHORL__SHIELDED)) {
        struct whorl__rare *rare = whorl__rare(t);

        err = whorl__load_relaxed(&rare->stopped);
        if (!err && rare->scope)
            err = error_of(state_of(rare->scope));
    }
    return err;
}

/* The innermost cancelled scope of those that `t` is in, as far as a shield lets it see. */
static int find_stopped(struct whorl_task *t)
{
    struct whorl__rare *rare = whorl__rare(t);

    for (struct whorl_scope *s = rare->scopes; s; s = s->outer) {
        uint32_t state = state_of(s);

        if (state & (CANCELLED | SHIELD))
            return error_of(state);
    }
    return rare->scope ? error_of(state_of(rare->scope)) : find_stopped_parent(t);
}

int whorl__scopes_stopped(struct whorl_task *t)
{
    int err = find_stopped(t);

    if (err)
        return err;
    /* The one that was meant has been closed, or a shield is before it. Clear, then look; who cancels sets the state, then the bit. */
    whorl__and_seq_cst(&t->cancel, (uint8_t)~WHORL__SCOPE);
    err = find_stopped(t);
    if (err)
        whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__SCOPE);
    return err;
}

void whorl__scopes_stop_inner(struct whorl_task *t, int err)
{
    for (struct whorl_scope *s = whorl__rare(t)->scopes; s && !(state_of(s) & (CANCELLED | SHIELD)); s = s->outer)
        stop(s, err == -ETIMEDOUT ? TIMED_OUT : 0, around);
}

/* The texts of failed calls (runtime/error.h). */

/* The last failed call of the running task, with `err`, failed because of the scope; `object`: that is what it was about. */
static int blame(const struct whorl_scope *s, int err, bool object)
{
    struct whorl__failure *f = &whorl__rare(whorl__worker()->current)->failure;

    f->cause = WHORL__SCOPE;
    f->scope = object ? NULL : s->where;
    f->detail = s->reason;
    return err;
}

/* The scope for which a wait of `t` has ended: one that was not just cancelled for the sake of what is around it, if it can be found. Those
 * that a fork's parents have opened cannot: NULL. */
static const struct whorl_scope *culprit(const struct whorl_task *t)
{
    const struct whorl_scope *last = NULL, *in = whorl__rare(t)->scope;

    for (const struct whorl_scope *s = whorl__rare(t)->scopes; s; s = s->outer) {
        uint32_t state = state_of(s);

        if (state & CANCELLED)
            last = s;
        if (state & SHIELD || (last && last->reason != around))
            return last;
    }
    return in && state_of(in) & CANCELLED ? in : last;
}

void whorl__scopes_explain(struct whorl_task *t, struct whorl__failure *f)
{
    const struct whorl_scope *s = culprit(t);

    f->scope = s ? s->where : NULL;
    f->detail = s ? s->reason : NULL;
}

static int failed_on(const struct whorl_scope *s, int err, const char *detail)
{
    return whorl__failed_at(err, "scope opened at", s->where, detail);
}

/* Opening and closing. */

void whorl_scope_open_at(struct whorl_scope *s, const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_scope_open", &w);
    struct whorl__rare *rare = whorl__rare(t);

    *s = (struct whorl_scope){.outer = rare->scopes, .opener = t, .where = where, .deadline = WHORL_NEVER};
    s->timer.kind = WHORL__TIMER_SCOPE;
    whorl__add_trait(t, WHORL__LADEN);
    whorl__store_relaxed(&rare->opened_at, where);
    whorl__store_release(&rare->scopes, s); /* for who looks from outside: its fields are visible */
}

/* `s` is NULL: in none. */
static void set_scope(struct whorl_task *t, struct whorl_scope *s)
{
    struct whorl__rare *rare = whorl__rare(t);

    rare->scope = s;
    whorl__store_relaxed(&rare->scope_at, s ? s->where : NULL);
}

static struct whorl_task *opener(struct whorl_scope *s, const char *call, struct whorl__worker **w)
{
    struct whorl_task *t = whorl__self_may_suspend(call, w);

    if (__builtin_expect(s->opener != t, 0))
        whorl__misuse("%s was given the scope opened at %s%s", call, s->where,
                      s->opener ? " by another task: only who opened it may" : ", which is closed");
    return t;
}

static inline struct whorl_task *closer(struct whorl_scope *s, const char *call, struct whorl__worker **w)
{
    struct whorl_task *t = opener(s, call, w);

    if (__builtin_expect(whorl__rare(t)->scopes != s, 0))
        whorl__misuse("%s was given the scope opened at %s, but a later one is still open: close scopes in the reverse order", call,
                      s->where);
    return t;
}

/* It is cancelled, or being closed. */
static int refuse(const struct whorl_scope *s, const char *where)
{
    int err = whorl__failed_at(-ECANCELED, "spawn at", where, "the scope is being closed");

    return state_of(s) & CANCELLED ? blame(s, err, false) : err;
}

int whorl_scope_spawn_at(struct whorl_scope *s, whorl_fn fn, void *arg, const struct whorl_spawn_options *options,
                         const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *self = whorl__self("whorl_scope_spawn", &w), *t;
    bool open;

    if (!fn)
        whorl__misuse("whorl_scope_spawn was given no function");
    t = whorl__task_new(w->runtime, w, fn, arg, options, where);
    if (!t)
        return whorl__spawn_failed(w, options, where);
    t->latch = WHORL__LATCH_DETACHED; /* nobody may join it but the scope */
    whorl__add_trait(t, WHORL__LADEN);
    set_scope(t, s);
    lock(s);
    open = !(state_of(s) & (CANCELLED | CLOSING));
    if (open) {
        enter(&s->running, t);
        s->alive++;
    }
    unlock(s);
    if (!open) {
        set_scope(t, NULL);
        whorl__pin_end(t);
        whorl__record_put(w, t);
        return refuse(s, where);
    }
    if (whorl__rare(self)->locals)
        whorl__locals_inherit(t, self);
    whorl__task_start(w, t, options);
    return 0;
}

/* Waits until there are no children, and cancels them when the wait was to end before that. `closing`: what spawning is to see from the
 * beginning of this on. Inline, as whorl__leave is. */
__attribute__((always_inline)) static inline void join_children(struct whorl_scope *s, struct whorl__worker *w,
                                                                struct whorl_task *t, uint32_t closing)
{
    bool wait;
    int err = 0;

    whorl__store_relaxed(&t->gate, (uintptr_t)0);
    lock(s);
    wait = s->alive > 0;
    set_state(s, state_of(s) | closing | (wait ? WAITING : 0));
    unlock(s);
    if (!wait)
        return;
    /* Acquire: pairs with the exchange in whorl__latch_open; the last child has given the lock back. */
    while (!whorl__load_acquire(&t->gate) && !(err = whorl__cancel_take(t))) {
        whorl__gate_wait(w, t, "scope", (uintptr_t)s);
        w = whorl__worker();
    }
    if (err) {
        stop(s, err == -ETIMEDOUT ? TIMED_OUT : 0, around);
        whorl__latch_wait(whorl__worker(), t, &t->gate, "scope", (uintptr_t)s, WHORL__WAIT_SYNC);
    }
}

/* What the scope's opener, the caller, is told. The text is that of whoever failed, if that is known. */
static int outcome(const struct whorl_scope *s)
{
    int err = s->error ? s->error : error_of(state_of(s));

    if (!err || (state_of(s) & BODY && whorl__rare(s->opener)->failure.err == err))
        return err;
    for (const struct whorl_task *t = s->failed; t; t = whorl__rare(t)->next)
        if (t->result == err && whorl__failed_like(err, t))
            return err;
    failed_on(s, err, NULL);
    return s->error ? err : blame(s, err, true);
}

int whorl_scope_join(struct whorl_scope *s)
{
    struct whorl__worker *w;
    struct whorl_task *t = closer(s, "whorl_scope_join", &w);

    join_children(s, w, t, 0);
    return outcome(s);
}

static void stop_timer(struct whorl_scope *s)
{
    if (s->deadline == WHORL_NEVER || whorl__timer_stop(&s->timer))
        return;
    /* Acquire: pairs with the release in whorl__scope_expire, its last touch. */
    while (whorl__load_acquire(&s->expiring))
        sched_yield();
}

/* The scope no longer counts for its opener. */
static void pop(struct whorl_scope *s, struct whorl_task *t)
{
    struct whorl__rare *rare = whorl__rare(t);
    int err;

    whorl__store_relaxed(&rare->scopes, s->outer);
    whorl__store_relaxed(&rare->opened_at, s->outer ? s->outer->where : NULL);
    if (!(state_of(s) & (CANCELLED | SHIELD)))
        return;
    if (state_of(s) & SHIELD) {
        bool outer = false;

        for (struct whorl_scope *o = s->outer; o && !outer; o = o->outer)
            outer = state_of(o) & SHIELD;
        if (!outer)
            whorl__and_seq_cst(&t->cancel, (uint8_t)~WHORL__SHIELDED);
    }
    /* The others may have been cancelled meanwhile, and nobody looked: as whorl__scopes_stopped does, the other way round. */
    whorl__store_relaxed(&rare->stopped, (int16_t)0);
    whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__SCOPE);
    err = whorl__scopes_stopped(t);
    if (err)
        whorl__store_relaxed(&rare->stopped, (int16_t)err);
}

static void put_child(struct whorl__worker *w, struct whorl_task *t)
{
    whorl__failure_end(t);
    whorl__record_put(w, t);
}

int whorl_scope_close(struct whorl_scope *s)
{
    struct whorl__worker *w;
    struct whorl_task *t = closer(s, "whorl_scope_close", &w), *next;
    int err;

    join_children(s, w, t, CLOSING);
    stop_timer(s);
    pop(s, t);
    err = outcome(s);
    s->opener = NULL; /* which is how it is known to be closed */
    for (struct whorl_task *f = s->failed; f; f = next) {
        next = whorl__rare(f)->next;
        put_child(whorl__worker(), f);
    }
    return err;
}

void whorl__scopes_end(struct whorl_task *t)
{
    struct whorl__rare *rare = whorl__rare(t);

    if (rare->scopes)
        whorl__misuse("a task ended without having closed the scope that it opened at %s: call whorl_scope_close on every path",
                      rare->opened_at); /* the scope's stack is in use for something else by now */
    whorl__store_relaxed(&rare->stopped, (int16_t)0);
}

/* A result that tells of nothing but the scope's having been cancelled is no failure. */
static bool failed(const struct whorl_scope *s, intptr_t result)
{
    return result < 0 && !(state_of(s) & CANCELLED && (result == -ECANCELED || result == -ETIMEDOUT));
}

struct whorl_task *whorl__scope_leave(struct whorl__worker *w, struct whorl_task *t, intptr_t result)
{
    struct whorl_scope *s = whorl__rare(t)->scope;
    struct whorl_task *waiter = s->opener;
    bool bad = failed(s, result), last;

    set_scope(t, NULL);
    if (bad)
        whorl_scope_fail(s, (int)result);
    lock(s);
    leave(s, t);
    if (bad) {
        append_failed(s, t);
        whorl__store_release(&t->latch, (uintptr_t)WHORL__LATCH_OPEN); /* pairs with the acquire in whorl_result */
    }
    s->alive--;
    last = s->alive == 0 && state_of(s) & WAITING;
    if (last)
        set_state(s, state_of(s) & ~(uint32_t)WAITING);
    unlock(s); /* the last touch, see above */
    if (!bad)
        put_child(w, t);
    return last ? whorl__latch_open(&waiter->gate) : NULL;
}

/* From outside, and from within. */

void whorl_scope_cancel(struct whorl_scope *s, const char *reason)
{
    stop(s, 0, reason);
}

void whorl_scope_fail(struct whorl_scope *s, int error)
{
    const struct whorl__worker *w = whorl__worker();

    if (error >= 0)
        whorl__misuse("whorl_scope_fail was given %d, which is no error", error);
    lock(s);
    if (!s->error) {
        s->error = error;
        if (w && w->current == s->opener)
            set_state(s, state_of(s) | BODY);
    }
    unlock(s);
    stop(s, 0, "a task in it failed");
}

static void expire(struct whorl_scope *s)
{
    stop(s, TIMED_OUT | EXPIRED, "its deadline passed");
}

static struct whorl_scope *of_timer(struct whorl__timer *timer)
{
    return (struct whorl_scope *)(void *)((char *)timer - offsetof(struct whorl_scope, timer));
}

void whorl__scope_expiring(struct whorl__timer *timer)
{
    whorl__store_relaxed(&of_timer(timer)->expiring, 1u);
}

void whorl__scope_expire(struct whorl__timer *timer)
{
    struct whorl_scope *s = of_timer(timer);

    expire(s);
    whorl__store_release(&s->expiring, 0u); /* pairs with the acquire in stop_timer: the last touch */
}

int whorl_scope_deadline(struct whorl_scope *s, whorl_ns when)
{
    struct whorl__worker *w;

    opener(s, "whorl_scope_deadline", &w);
    stop_timer(s);
    s->deadline = WHORL_NEVER;
    if (state_of(s) & EXPIRED)
        return failed_on(s, -ETIMEDOUT, "its deadline has passed");
    if (when == WHORL_NEVER)
        return 0;
    if (when <= w->runtime->ops->now(w->runtime->reactor)) {
        expire(s);
        return failed_on(s, -ETIMEDOUT, "its deadline has passed");
    }
    if (whorl__timer_start(&w->timers, &s->timer, when) < 0)
        return failed_on(s, -ENOMEM, "no memory for its deadline");
    s->deadline = when;
    return 0;
}

void whorl_scope_shield(struct whorl_scope *s)
{
    struct whorl__worker *w;
    struct whorl_task *t = closer(s, "whorl_scope_shield", &w);

    lock(s);
    set_state(s, state_of(s) | SHIELD);
    unlock(s);
    whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__SHIELDED);
}

int whorl_scope_expired(const struct whorl_scope *s)
{
    return (state_of(s) & EXPIRED) != 0;
}

int whorl_scope_cancelled(const struct whorl_scope *s)
{
    return (state_of(s) & CANCELLED) != 0;
}

const char *whorl_scope_reason(const struct whorl_scope *s)
{
    return state_of(s) & CANCELLED ? s->reason : NULL;
}

struct whorl_task *whorl_scope_failed(struct whorl_scope *s, struct whorl_task *before)
{
    struct whorl_task *t;

    lock(s);
    t = before ? whorl__rare(before)->next : s->failed;
    unlock(s);
    return t;
}

int whorl_cancelled(void)
{
    struct whorl__worker *w;

    return whorl__cancel_pending(whorl__self("whorl_cancelled", &w));
}

int whorl_wait_for(whorl_fn fn, void *arg, whorl_ns duration, intptr_t *result)
{
    struct whorl_scope s;
    intptr_t value;
    int err;

    whorl_scope_open_at(&s, "whorl_wait_for");
    err = whorl_scope_deadline(&s, whorl_after(duration));
    if (err) {
        whorl_scope_close(&s);
        return err;
    }
    value = fn(arg);
    whorl_scope_close(&s);
    if (result)
        *result = value;
    if (!whorl_scope_expired(&s) || (value != -ETIMEDOUT && value != -ECANCELED))
        return 0;
    return whorl__failed(-ETIMEDOUT, "wait_for", "the time is up");
}
