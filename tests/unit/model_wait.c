/* SPDX-License-Identifier: MIT */
/* How a wait ends: runtime/wait.c and waiter.c as they are. A task waits for a latch, or in a list, twice; another thread brings what it
 * waits for, a third cancels it. Leaving is a sleep of the model, being made ready a wake-up: whoever wakes it too often, or for a wait
 * that is over, or never, is found out. */
#define whorl__leave      scheduler_leave
#define whorl__ready_here scheduler_ready_here
#include "runtime/scheduler.h"
#undef whorl__leave
#undef whorl__ready_here

#include <string.h>

#include "tests/unit/model.h"

static struct whorl__worker worker;
static struct whorl__runtime runtime;
static struct whorl__port port;
static struct whorl__record_slab slab __attribute__((aligned(WHORL__RECORD_SLAB_BYTES)));
static struct whorl_task *const sleeper = &slab.tasks[0], *const other = &slab.tasks[1]; /* the one that ends */
static bool away, ready; /* the sleeper has left; it was made ready since */

_Noreturn static void die(const char *what)
{
    model_expect(false, what);
    abort();
}

/* What it left for is done by whom it left the worker to; then it is away until somebody makes it ready, who has it alone. */
static struct whorl__worker *whorl__leave(struct whorl__worker *w, struct whorl_task *t, whorl__commit commit)
{
    ready = false;
    away = true;
    model_data_write(t);
    commit(w, t);
    model_sleep(0);
    model_data_write(t);
    return w;
}

static void whorl__ready_here(struct whorl__worker *w, struct whorl_task *t)
{
    (void)w;
    whorl__ready(t);
}

#include "runtime/wait.c"
#include "runtime/waiter.c"

void whorl__ready(struct whorl_task *t)
{
    model_expect(t == sleeper && away && !ready, "who made it ready had it alone");
    ready = true;
    away = false;
    model_data_write(t);
    model_wake(0);
}

struct whorl__worker *whorl__worker(void)
{
    return model_thread() == 0 ? &worker : NULL;
}

static whorl_ns now(struct whorl__reactor *r)
{
    (void)r;
    return 0;
}

static const struct whorl__reactor_ops ops = {.name = "model", .now = now};

/* What the two files need of the others, and nobody here does. */

void whorl__fatal(const char *format, ...)
{
    (void)format;
    die("nobody waits for what another one waits for");
}

void whorl__misuse(const char *format, ...)
{
    (void)format;
    die("nobody makes mistakes");
}

void whorl__outside(const char *call)
{
    die(call);
}

void whorl__must_not_suspend(const struct whorl_task *t, const char *call)
{
    (void)t;
    die(call);
}

void whorl__alarm(const char *format, ...)
{
    (void)format;
    die("nobody makes mistakes");
}

/* What is said of a call that failed. */

int whorl__failed(int err, const char *operation, const char *detail)
{
    (void)operation;
    (void)detail;
    return err;
}

int whorl__failed_at(int err, const char *operation, const char *place, const char *detail)
{
    (void)operation;
    (void)place;
    (void)detail;
    return err;
}

void whorl__note_cause(struct whorl_task *t, uint32_t cause)
{
    (void)t;
    (void)cause;
}

void whorl__check_handle(const struct whorl_task *t, const char *call)
{
    (void)t;
    (void)call;
}

int whorl__scopes_stopped(struct whorl_task *t)
{
    (void)t;
    die("there are no scopes");
}

void whorl__scopes_stop_inner(struct whorl_task *t, int err)
{
    (void)t;
    (void)err;
    die("there are no scopes");
}

void whorl__scope_expiring(struct whorl__timer *timer)
{
    (void)timer;
    die("there are no scopes");
}

void whorl__scope_expire(struct whorl__timer *timer)
{
    (void)timer;
    die("there are no scopes");
}

int whorl__timer_start(struct whorl__timers *h, struct whorl__timer *t, whorl_ns when)
{
    (void)h;
    (void)t;
    (void)when;
    die("there are no timers");
}

bool whorl__timer_stop(struct whorl__timer *t)
{
    (void)t;
    die("there are no timers");
}

struct whorl__timers *whorl__timer_lock(struct whorl__timer *t)
{
    (void)t;
    die("there are no timers");
}

struct whorl__timer *whorl__timers_due(struct whorl__timers *h, whorl_ns when)
{
    (void)h;
    (void)when;
    die("there are no timers");
}

void whorl__timers_again(struct whorl__timers *h, struct whorl__timer *t, whorl_ns when)
{
    (void)h;
    (void)t;
    (void)when;
    die("there are no timers");
}

void whorl__records_spill(struct whorl__worker *w)
{
    (void)w;
    die("few end");
}

void whorl__wake_one(struct whorl__worker *w)
{
    (void)w;
    die("nobody sleeps");
}

void whorl__queue_bound(struct whorl__worker *w, struct whorl_task *t)
{
    (void)w;
    (void)t;
    die("nobody is bound");
}

void whorl__deque_change(struct whorl__worker *w, struct whorl__deque *next)
{
    (void)w;
    (void)next;
    die("nobody forks");
}

bool whorl__stack_refill(struct whorl__stack_cache *cache, int class)
{
    (void)cache;
    (void)class;
    die("nobody starts");
}

void whorl__set_aside(struct whorl__worker *w, struct whorl_task *t)
{
    (void)w;
    (void)t;
    die("nobody starts");
}

bool whorl__lend_stack(struct whorl__worker *w, struct whorl_task *t)
{
    (void)w;
    (void)t;
    die("nobody starts");
}

void model_run_task(struct whorl__context *to, void *w)
{
    (void)to;
    (void)w;
    die("the task is a thread of the model");
}

/* Two things that come true, one after the other, each in a list of its own. */
struct thing {
    struct whorl__waiters waiters;
    bool true_now; /* under the lock */
};
static struct thing things[2];
static int results[2];
static bool seen[2];

static void set_up(void)
{
    memset(&worker, 0, sizeof worker);
    memset(&runtime, 0, sizeof runtime);
    memset(slab.tasks, 0, 2 * sizeof *slab.tasks);
    memset(things, 0, sizeof things);
    slab.runtime = &runtime;
    runtime.ops = &ops;
    worker.runtime = &runtime;
    worker.port = &port;
    worker.current = sleeper;
    worker.budget = 1000;
    away = ready = false;
    seen[0] = seen[1] = false;
    model_word(&sleeper->cancel, sizeof sleeper->cancel);
    model_word(&sleeper->wait, sizeof sleeper->wait);
    model_word(&sleeper->wait_latch, sizeof sleeper->wait_latch);
    model_word(&sleeper->gate, sizeof sleeper->gate);
    model_word(&other->latch, sizeof other->latch);
    model_data(sleeper);
    model_data(other);
    for (int i = 0; i < 2; i++) {
        model_lock(&things[i].waiters.locked);
        model_data(&things[i].true_now);
    }
}

static int wait_for_thing(struct thing *thing)
{
    struct whorl__waiter me;
    int err;

    if ((err = whorl__cancel_take(sleeper)) != 0)
        return err;
    whorl__waiter_init(&me, "");
    whorl__waiters_lock(&thing->waiters);
    model_guarded(&thing->waiters.locked);
    if (thing->true_now) {
        whorl__waiters_unlock(&thing->waiters);
        return 0;
    }
    whorl__waiters_append(&thing->waiters, &me);
    return whorl__waiter_wait(&thing->waiters, &me, "", thing);
}

static void make_true(struct thing *thing)
{
    struct whorl__waiter *chain = NULL, **end = &chain;

    model_data_write(&thing->true_now);
    whorl__waiters_lock(&thing->waiters);
    model_guarded(&thing->waiters.locked);
    thing->true_now = true;
    whorl__waiters_claim(&thing->waiters, &end);
    whorl__waiters_unlock(&thing->waiters);
    whorl__waiters_open(chain);
}

static void cancel(void)
{
    whorl__or_seq_cst(&sleeper->cancel, (uint8_t)WHORL__CANCEL);
    whorl__interrupt(sleeper);
}

static void wait_for_things(int index)
{
    for (int i = 0; i < 2 && index == 0; i++) {
        results[i] = wait_for_thing(&things[i]);
        if (results[i] == 0) {
            model_data_read(&things[i].true_now); /* what was done before is seen */
            seen[i] = things[i].true_now;
        }
    }
    if (index == 1)
        for (int i = 0; i < 2; i++)
            make_true(&things[i]);
    if (index == 2)
        cancel();
}

static void after_things(void)
{
    int cancelled = (results[0] == -ECANCELED) + (results[1] == -ECANCELED) + (whorl__load_relaxed(&sleeper->cancel) != 0);

    model_expect(cancelled <= 1, "it is cancelled once");
    for (int i = 0; i < 2; i++)
        model_expect(results[i] == 0 ? seen[i] : results[i] == -ECANCELED, "it has what it waited for, or was cancelled");
}

static void after_cancelled_things(void)
{
    after_things();
    model_expect((results[0] == -ECANCELED) + (results[1] == -ECANCELED) + (whorl__load_relaxed(&sleeper->cancel) != 0) == 1,
                 "the request is not lost");
}

/* The end of a task, which is joined. */
static void wait_for_end(int index)
{
    struct whorl_task *waiter;

    if (index == 0) {
        results[0] = whorl__latch_wait(&worker, sleeper, &other->latch, "", 0, WHORL__WAIT_LATCH);
        results[1] = whorl__latch_wait(&worker, sleeper, &other->latch, "", 0, WHORL__WAIT_SYNC);
        model_data_read(other);
    } else if (index == 1) {
        model_data_write(other);
        waiter = whorl__latch_open(&other->latch);
        if (waiter)
            whorl__ready(waiter);
    } else {
        cancel();
    }
}

static void after_end(void)
{
    model_expect(results[1] == 0, "a sync is not cancelled");
    model_expect((results[0] == -ECANCELED) != (whorl__load_relaxed(&sleeper->cancel) != 0), "the request is not lost");
}

/* Nothing else ends the wait: a request that is not seen leaves it waiting for ever. */
static void be_stopped(int index)
{
    if (index == 0)
        results[0] = wait_for_thing(&things[0]);
    else
        cancel();
}

static void be_stopped_joining(int index)
{
    if (index == 0)
        results[0] = whorl__latch_wait(&worker, sleeper, &other->latch, "", 0, WHORL__WAIT_LATCH);
    else
        cancel();
}

static void after_stopped(void)
{
    model_expect(results[0] == -ECANCELED && whorl__load_relaxed(&sleeper->cancel) == 0, "the request ends the wait");
}

const struct model_scenario model_scenarios[] = {
    {"a wait in a list that only a request ends", 2, set_up, be_stopped, after_stopped},
    {"a join that only a request ends", 2, set_up, be_stopped_joining, after_stopped},
    {"two waits in lists", 2, set_up, wait_for_things, after_things},
    {"two waits in lists, and a request to stop", 3, set_up, wait_for_things, after_cancelled_things},
    {"a join, and a request to stop", 3, set_up, wait_for_end, after_end},
    {0},
};

/* Mistakes that must be noticed. */

static void forget_to_open(struct thing *thing)
{
    struct whorl__waiter *chain = NULL, **end = &chain;

    whorl__waiters_lock(&thing->waiters);
    model_guarded(&thing->waiters.locked);
    thing->true_now = true;
    whorl__waiters_claim(&thing->waiters, &end);
    whorl__waiters_unlock(&thing->waiters);
}

static void be_forgotten(int index)
{
    if (index == 0)
        results[0] = wait_for_thing(&things[0]);
    else
        forget_to_open(&things[0]);
}

/* Off the list, it goes on without waiting for its gate to be opened. */
static int leave_early(struct thing *thing)
{
    struct whorl__waiter me;

    whorl__waiter_init(&me, "");
    whorl__waiters_lock(&thing->waiters);
    model_guarded(&thing->waiters.locked);
    if (thing->true_now) {
        whorl__waiters_unlock(&thing->waiters);
        return 0;
    }
    whorl__waiters_append(&thing->waiters, &me);
    whorl__waiters_unlock(&thing->waiters);
    if (!whorl__gate_wait(&worker, sleeper, "", 0))
        whorl__waiter_withdraw(&thing->waiters, &thing->waiters, &me);
    return 0;
}

static void be_hasty(int index)
{
    if (index == 0) {
        leave_early(&things[0]);
        whorl__store_relaxed(&sleeper->cancel, (uint8_t)0);
        results[0] = results[1] = wait_for_thing(&things[1]);
        seen[0] = seen[1] = things[1].true_now;
    } else {
        wait_for_things(index);
    }
}

const struct model_scenario model_mistakes[] = {
    {"a gate that nobody opens", 2, set_up, be_forgotten, after_things},
    {"who is off the list does not wait for his gate", 3, set_up, be_hasty, after_things},
    {0},
};

const struct model_excuse model_excuses[] = {
    {"await: cas latch", "acq_rel", "that whorl__fence_after_change follows it says that it is sequentially consistent"},
    {"whorl__publish_gate: cas &t->gate", "acq_rel", "likewise"},
    {"await: cas latch", "release", "if it fails, the sleeper acquires when it looks at the latch again"},
    {"whorl__publish_gate: cas &t->gate", "release", "likewise, at the gate"},
    {"whorl__latch_open: exchange latch", "acq_rel", "one order for all that is done to latches: it costs nothing"},
    {"open_gate: exchange &t->gate", "acq_rel", "likewise"},
    {"whorl__interrupt: cas latch", "acq_rel", "likewise"},
    {"whorl__interrupt: cas latch", "acquire",
     "likewise; who interrupts has nothing to tell but the bit, which the sleeper finds set"},
    {"whorl__cancel_consume: and &t->cancel", NULL, "the bit is all there is: nothing else is read or written by it"},
    {"cancel: or &sleeper->cancel", NULL, "the fence in whorl__interrupt orders it"},
    {NULL, NULL, NULL},
};

const char *const model_elsewhere = NULL;
