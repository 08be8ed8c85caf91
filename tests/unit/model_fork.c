/* SPDX-License-Identifier: MIT */
/* Who has a fork, its owner or a thief: the inline functions of include/whorl/fork.h and the slow ways and theft of runtime/fork.c as
 * they are. The fence for the compiler and membarrier(2), which make one full fence between them, are a full fence each. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/model.h"

/* What the inline functions say in the compiler's own words. */
#define ORDER_OF(order)               ((order) == __ATOMIC_RELAXED ? MODEL_RELAXED : (order) == __ATOMIC_ACQUIRE ? MODEL_ACQUIRE : MODEL_RELEASE)
#define __atomic_load_n(p, order)     MODEL_LOAD_AS(p, ORDER_OF(order))
#define __atomic_store_n(p, v, order) MODEL_STORE_AS(p, v, ORDER_OF(order))
#define __atomic_signal_fence(order)  model_fence(MODEL_SITE("fence", MODEL_FENCE, MODEL_SEQ_CST, ""))

#include "runtime/fork.c"

enum { FORKS = 3, THIEVES = 2 };

static struct whorl__runtime runtime;
static struct whorl__worker workers[1 + THIEVES]; /* the owner's first */
static struct whorl__record_slab slab __attribute__((aligned(WHORL__RECORD_SLAB_BYTES)));
#define owner (slab.tasks[0])
static struct whorl__deque deque;
static struct whorl_fork forks[FORKS];
static int ran[FORKS], forked;
static struct whorl__port port;

_Thread_local struct whorl__forks *whorl__forks_current; /* all threads of the model are one; only the owner asks */

/* What runtime/fork.c needs of the others. */

_Noreturn static void die(const char *what)
{
    model_expect(false, what);
    abort();
}

void whorl__set_forks(struct whorl__forks *f)
{
    whorl__forks_current = f;
}

struct whorl__worker *whorl__worker(void)
{
    return &workers[model_thread()];
}

/* T3 */
void whorl__fence_others(struct whorl__runtime *rt)
{
    (void)rt;
    whorl__fence_seq_cst();
}

/* As in wait.c, where it is stronger for the sake of cancelling. */
struct whorl_task *whorl__latch_open(uintptr_t *latch)
{
    model_expect(whorl__xchg_acq_rel(latch, (uintptr_t)WHORL__LATCH_OPEN) == 0, "a fork that is taken ends once");
    return NULL;
}

/* Of runtime/current.c. */
static struct whorl_fork *no_fork[1];
struct whorl__forks whorl__forks_nobody = {.tail = no_fork + 1, .low = WHORL__ALWAYS_LOW, .credit = 1, .head = no_fork + 1};

int whorl__latch_wait(struct whorl__worker *w, struct whorl_task *t, uintptr_t *latch, const char *reason, uintptr_t object,
                      enum whorl__wait wait)
{
    (void)w;
    (void)t;
    (void)reason;
    (void)object;
    (void)wait;
    while (whorl__load_acquire(latch) != WHORL__LATCH_OPEN)
        model_pause();
    return 0;
}

static uint32_t choose(struct whorl__reactor *r, struct whorl__port *p, uint32_t n)
{
    (void)r;
    (void)p;
    return model_choose(n);
}

static const struct whorl__reactor_ops ops = {.name = "model", .choose = choose};

void whorl__misuse(const char *format, ...)
{
    (void)format;
    die("nobody makes mistakes: a fork is lost");
}

void whorl__outside(const char *call)
{
    die(call);
}

void whorl__wake_one(struct whorl__worker *w)
{
    (void)w;
    die("nobody sleeps");
}

void whorl_yield(void)
{
    die("nobody yields");
}

bool whorl__anyone_neglects(const struct whorl__worker *w, whorl_ns now)
{
    (void)w;
    (void)now;
    return false;
}

void whorl__stand_back(struct whorl__worker *w, struct whorl_task *t)
{
    (void)w;
    (void)t;
    die("nobody stands back");
}

whorl_ns whorl_deadline(whorl_ns when)
{
    (void)when;
    die("there are no deadlines");
}

struct whorl_task *whorl__task_new(struct whorl__runtime *rt, struct whorl__worker *w, whorl_fn fn, void *arg,
                                   const struct whorl_spawn_options *options, const char *where)
{
    (void)rt;
    (void)w;
    (void)fn;
    (void)arg;
    (void)options;
    (void)where;
    die("there are no strands");
}

void whorl__records_spill(struct whorl__worker *w)
{
    (void)w;
    die("there are no strands");
}

void whorl__record_put_outside(struct whorl_task *t)
{
    (void)t;
    die("there are no strands");
}

void whorl__set_name(struct whorl_task *t, const char *name)
{
    (void)t;
    (void)name;
    die("there are no strands");
}

bool whorl__lend_stack(struct whorl__worker *w, struct whorl_task *t)
{
    (void)w;
    (void)t;
    die("there are no strands");
}

void whorl__stack_spill(struct whorl__stack_cache *cache, int class)
{
    (void)cache;
    (void)class;
    die("there are no strands");
}

void whorl__interrupt(struct whorl_task *t)
{
    (void)t;
    die("nobody cancels");
}

/* Nobody is bound. */

void whorl__bind(struct whorl_task *t, int worker)
{
    (void)t;
    (void)worker;
    die("nobody is bound");
}

void whorl__queue_bound(struct whorl__worker *w, struct whorl_task *t)
{
    (void)w;
    (void)t;
    die("nobody is bound");
}

void whorl__must_not_suspend(const struct whorl_task *t, const char *call)
{
    (void)t;
    die(call);
}

void whorl__runtime_spawned_late(struct whorl__runtime *rt, struct whorl_task *t)
{
    (void)rt;
    (void)t;
    die("nothing ends");
}

/* Setting up. */

/* A deque of `slots` slots that the owner will find free. With `watched`, the slots are words of the model; else they may be moved. */
static void set_up(size_t slots, bool watched)
{
    static struct whorl__stack stack; /* at its very top is where the owner runs */

    memset(&runtime, 0, sizeof runtime);
    memset(workers, 0, sizeof workers);
    memset(&owner, 0, sizeof owner);
    memset(&deque, 0, sizeof deque);
    memset(ran, 0, sizeof ran);
    forked = 0;
    runtime.ops = &ops;
    runtime.workers = workers;
    runtime.worker_count = 1 + THIEVES;
    runtime.asymmetric = true;
    slab.runtime = &runtime;
    owner.stack = &stack;
    deque.base = deque.first_slots + 1;
    deque.end = deque.base + slots;
    for (int i = 0; i <= THIEVES; i++) {
        workers[i].runtime = &runtime;
        workers[i].index = i;
        workers[i].port = &port;
        workers[i].credit = 1000;
        workers[i].none = whorl__forks_nobody;
        model_word(&workers[i].deque, sizeof workers[i].deque);
    }
    workers[0].current = &owner;
    workers[0].deques = &deque;
    workers[0].deque_count = 1;
    whorl__set_forks(&workers[0].none);
    model_lock(&deque.lock);
    model_word(&deque.forks.head, sizeof deque.forks.head);
    model_word(&deque.forks.tail, sizeof deque.forks.tail);
    model_lock(&runtime.aside_lock);
    model_word(&runtime.aside, sizeof runtime.aside);
    for (size_t i = 0; watched && i <= slots; i++)
        model_word(&deque.base[i] - 1, sizeof deque.base[i]);
    for (int i = 0; i < FORKS; i++) {
        forks[i].latch = WHORL__FORK_NOT_TAKEN; /* as whorl_fork makes it, by a plain store that the model does not see */
        model_word(&forks[i].latch, sizeof forks[i].latch);
        model_data(&forks[i]);
    }
}

static void set_up_watched(void)
{
    set_up(FORKS, true);
}

static void set_up_tight(void)
{
    set_up(2, false);
}

/* What the threads do. */

static void run(struct whorl_fork *self)
{
    int i = (int)(self - forks);

    model_expect(i >= 0 && i < FORKS, "what is run is a fork");
    model_data_write(self); /* a race if what was written before the fork is not visible, or if two run it */
    model_expect(ran[i]++ == 0, "a fork runs once");
}

static void fork_one(void)
{
    model_data_write(&forks[forked]);
    whorl_fork(&forks[forked], run);
    forked++;
}

static void sync_one(int i)
{
    whorl_sync(&forks[i]);
    model_data_read(&forks[i]); /* a race if what the fork wrote is not visible */
    model_expect(ran[i] == 1, "it has run after its sync");
}

static void run_taken(struct whorl_fork *fork)
{
    if (!fork)
        return;
    fork->fn(fork);
    whorl__latch_open(&fork->latch);
}

/* A thief that looks everywhere, as whorl__fork_steal does, `times` times. */
static void steal(int index, int times)
{
    struct theft theft = {.worker = &workers[index], .wanted = -1};

    for (int i = 0; i < times; i++) {
        struct whorl_fork *fork = take_from_parked(&theft);

        if (!fork)
            fork = take_from_workers(&theft, &workers[index]);
        run_taken(fork);
        model_pause();
    }
}

static void after(void)
{
    for (int i = 0; i < forked; i++)
        model_expect(ran[i] == 1, "no fork is lost");
    model_expect(!runtime.aside, "nothing is set aside any more");
}

static void one_fork(int index)
{
    if (index > 0) {
        steal(index, 2);
        return;
    }
    fork_one();
    sync_one(0);
}

static void two_forks(int index)
{
    if (index > 0) {
        steal(index, 2);
        return;
    }
    fork_one();
    fork_one();
    sync_one(1);
    sync_one(0);
}

static void first_first(int index)
{
    if (index > 0) {
        steal(index, 2);
        return;
    }
    fork_one();
    fork_one();
    sync_one(0);
    sync_one(1);
}

/* The third finds room only if a thief was there. */
static void used_again(int index)
{
    if (index > 0) {
        steal(index, 3);
        return;
    }
    fork_one();
    fork_one();
    fork_one();
    for (int i = FORKS - 1; i >= 0; i--)
        sync_one(i);
}

/* The owner leaves with forks in its deque, and comes back. */
static void parked(int index)
{
    if (index > 0) {
        steal(index, 3);
        return;
    }
    fork_one();
    fork_one();
    whorl__deque_change(&workers[0], NULL);
    model_pause();
    whorl__deque_change(&workers[0], &deque);
    sync_one(1);
    fork_one();
    sync_one(2);
    sync_one(0);
}

static void after_moving(void)
{
    after();
    free_slots(&deque);
}

const struct model_scenario model_scenarios[] = {
    {"an owner and a thief meet at the only fork", 2, set_up_watched, one_fork, after},
    {"an owner and two thieves, two forks", 3, set_up_watched, two_forks, after},
    {"the first fork is synced first", 3, set_up_watched, first_first, after},
    {"the slots are moved while thieves take", 3, set_up_tight, used_again, after_moving},
    {"a deque is set aside and taken back", 3, set_up_watched, parked, after},
    {0},
};

const struct model_scenario model_mistakes[] = {{0}};

const char *const model_elsewhere = NULL;

#define ORDERED_BY_LOCK "made under the deque's lock, which a thief holds too when it looks"
#define NEW_DEQUE                                                                                                                  \
    "for the memory of a new deque, which is there from the beginning here; all that is in it is written and read under its lock"

const struct model_excuse model_excuses[] = {
    {"push: store &d->forks.tail", NULL, ORDERED_BY_LOCK},
    {"show: store &w->deque", NULL, NEW_DEQUE},
    {"take_from_workers: load &victim->deque", NULL, NEW_DEQUE},
    {"whorl__latch_open: exchange latch", "release",
     "for the registers of an owner that waits, which only looks again and again here"},
    {0},
};
