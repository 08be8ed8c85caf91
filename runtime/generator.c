/* SPDX-License-Identifier: MIT */
/* Generators (whorl/generator.h): two tasks of which one runs at a time, as long as nobody is cancelled.
 *
 * P, the function's task, and C, its consumer, tell each other by `state`, and wake each other at their gates (runtime/waiter.h):
 *
 *   IDLE    P stands in whorl_generate, and its item is taken; or has not begun.   C: -> ASKED, and opens P's gate
 *   ASKED   C waits for an answer.                                                 P: -> READY, and opens C's gate. C, cancelled: -> LEFT
 *   LEFT    C was to stop waiting; P goes on.                                      P: -> READY. C, asking again: -> ASKED
 *   READY   the answer is there: an item, and P stands in whorl_generate, or       C: takes it, -> IDLE; the end it leaves there
 *           the end of P.
 *   CLOSED  by C, from IDLE, LEFT or READY. P's answers are not wanted any more.
 *
 * Who is to be woken has closed his gate before the state lets the other one open it, and whoever leaves ASKED by an exchange decides. P's wait
 * cannot be ended but by C, who is there as long as the generator is open. The item is copied by C from where P has it: P stands still
 * meanwhile.
 *
 * Whoever wakes the other is about to wait himself, so the worker goes straight on with the other, without a round through the queue, as long as its
 * budget lasts. */
#include "runtime/waiter.h"
#include <errno.h>
#include <string.h>
#include <whorl/generator.h>

enum { IDLE, ASKED, LEFT, READY, CLOSED };

/* Waits once at the task's own gate, as whorl__gate_wait does, and lets the worker go on with `next`, a task that nobody else can see, or
 * with whatever is ready (NULL). */
__attribute__((always_inline)) static inline bool stand(struct whorl__worker *w, struct whorl_task *t, enum whorl__wait wait,
                                                        const char *reason, const void *object, struct whorl_task *next)
{
    whorl__store_relaxed(&t->wait_latch, &t->gate);
    whorl__begin_wait(w, t, wait, reason, (uintptr_t)object);
    whorl__leave_for(w, t, whorl__publish_gate, next);
    /* Acquire: pairs with the exchange of who has opened it. */
    return whorl__load_acquire(&t->gate) & 1;
}

/* P: its item, or its end, is there. False: nobody wants it any more. Else *consumer is whoever waited for it, to be made ready, or NULL. With the
 * last step of this the generator may be gone, if P does not stand in whorl_generate. */
static bool answer(struct whorl_generator *g, struct whorl_task **consumer)
{
    struct whorl_task *c = g->consumer;
    uint32_t seen = ASKED;

    /* Release: pairs with the acquire in whorl_generator_next; the answer is visible. */
    while (!whorl__cas_seq_cst(&g->state, &seen, (uint32_t)READY))
        if (seen == CLOSED)
            return false;
    *consumer = seen == ASKED ? whorl__latch_open(&c->gate) : NULL;
    return true;
}

static intptr_t run(void *arg)
{
    struct whorl_generator *g = arg;
    struct whorl_task *consumer;

    g->result = g->fn(g, g->arg);
    g->ended = 1;
    if (answer(g, &consumer) && consumer)
        whorl__ready_here(whorl__worker(), consumer);
    return 0;
}

int whorl_generate(struct whorl_generator *g, const void *item)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self_may_suspend("whorl_generate", &w), *consumer;

    if (__builtin_expect(g->task != t, 0))
        whorl__misuse("whorl_generate was given a generator that this task is not the function of: hand items over from there");
    g->item = item;
    whorl__store_relaxed(&t->gate, (uintptr_t)0);
    if (!answer(g, &consumer))
        return -ECANCELED;
    stand(w, t, WHORL__WAIT_SYNC, "its consumer", g, consumer);
    /* Relaxed: the gate has ordered it. */
    return whorl__load_relaxed(&g->state) == CLOSED ? -ECANCELED : 0;
}

/* C: the answer is there. */
static int take(struct whorl_generator *g, void *item)
{
    if (__builtin_expect(g->ended, 0))
        return g->result < 0 ? g->result : 0;
    if (item)
        memcpy(item, g->item, g->size);
    /* Relaxed: P looks once its gate is open. */
    whorl__store_relaxed(&g->state, (uint32_t)IDLE);
    return 1;
}

static struct whorl_task *consumer_of(struct whorl_generator *g, const char *call, struct whorl__worker **w)
{
    struct whorl_task *t = whorl__self_may_suspend(call, w);

    if (__builtin_expect(g->consumer != t, 0))
        whorl__misuse("%s was given a generator that is closed, or that another task has opened: only who opened it may", call);
    return t;
}

/* P is to go on: returns it, if it stands and is to be made ready. */
static struct whorl_task *ask(struct whorl__worker *w, struct whorl_generator *g)
{
    whorl__store_relaxed(&g->state, (uint32_t)ASKED); /* its gate, or its start, makes it visible to P */
    if (__builtin_expect(!g->begun, 0)) {
        g->begun = 1;
        whorl__task_start(w, g->task, NULL);
        return NULL;
    }
    return whorl__latch_open(&g->task->gate);
}

int whorl_generator_next(struct whorl_generator *g, void *item)
{
    struct whorl__worker *w;
    struct whorl_task *t = consumer_of(g, "whorl_generator_next", &w), *next = NULL;
    uint32_t seen = whorl__load_acquire(&g->state); /* pairs with the exchange in answer */
    int err;

    if (__builtin_expect(seen == READY, 0))
        return take(g, item);
    err = whorl__cancel_take(t);
    if (err)
        return err;
    whorl__store_relaxed(&t->gate, (uintptr_t)0);
    if (seen == IDLE)
        next = ask(w, g);
    else if (!whorl__cas_seq_cst(&g->state, &seen, (uint32_t)ASKED)) /* was LEFT */
        return take(g, item);
    while (!stand(whorl__worker(), t, WHORL__WAIT_LATCH, "a generator", g, next)) {
        next = NULL;
        seen = ASKED;
        if (whorl__cancel_pending(t) && whorl__cas_seq_cst(&g->state, &seen, (uint32_t)LEFT))
            return whorl__cancel_take(t);
    }
    return take(g, item);
}

int whorl_generator_open_at(struct whorl_generator *g, whorl_generator_fn fn, void *arg, size_t size, const char *where)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_generator_open", &w);
    struct whorl__rare *rare = whorl__rare(t);

    if (!fn)
        whorl__misuse("whorl_generator_open was given no function");
    *g = (struct whorl_generator){.fn = fn, .arg = arg, .size = size, .where = where, .consumer = t, .outer = rare->generators};
    g->task = whorl__task_new(w->runtime, w, run, g, NULL, where);
    if (!g->task)
        return -ENOMEM;
    whorl__add_trait(t, WHORL__LADEN);
    rare->generators = g;
    return 0;
}

static void unlink_generator(struct whorl_task *t, const struct whorl_generator *g)
{
    struct whorl_generator **at = &whorl__rare(t)->generators;

    while (*at != g)
        at = &(*at)->outer;
    *at = g->outer;
}

/* P is to end, wherever it is. */
static void stop(struct whorl__worker *w, struct whorl_generator *g)
{
    struct whorl_task *p = g->task, *standing;
    uint32_t before;

    whorl__or_seq_cst(&p->cancel, (uint8_t)WHORL__STOP); /* C1 of wait.c */
    before = whorl__xchg_seq_cst(&g->state, (uint32_t)CLOSED);
    if (before != LEFT) {
        standing = whorl__latch_open(&p->gate);
        if (standing)
            whorl__ready_here(w, standing);
    }
    whorl__interrupt(p);
    if (whorl__load_relaxed(&p->deque)) /* else it has no forks */
        whorl__strands_cancel(p, WHORL__STOP);
}

int whorl_generator_close(struct whorl_generator *g)
{
    struct whorl__worker *w;
    struct whorl_task *t = consumer_of(g, "whorl_generator_close", &w);
    bool stopped;

    unlink_generator(t, g);
    g->consumer = NULL;
    if (!g->begun) {
        whorl__record_put(w, g->task);
        return 0;
    }
    stopped = whorl__load_acquire(&g->state) != READY || !g->ended; /* pairs with the exchange in answer */
    if (stopped)
        stop(w, g);
    whorl__latch_wait(whorl__worker(), t, &g->task->latch, "a generator's end", (uintptr_t)g->task, WHORL__WAIT_SYNC);
    whorl__record_put(whorl__worker(), g->task);
    return g->result >= 0 || (stopped && g->result == -ECANCELED) ? 0 : g->result;
}

void whorl__generators_end(struct whorl_task *t)
{
    const struct whorl_generator *g = whorl__rare(t)->generators;

    if (g)
        whorl__misuse("task \"%s\" (spawned at %s) ended without having closed the generator that it opened at %s",
                      whorl__name_of(t), t->where, g->where);
}
