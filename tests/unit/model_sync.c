/* SPDX-License-Identifier: MIT */
/* The mutex, and what may be freed as soon as somebody was let go: runtime/mutex.c, event.c, wait_group.c and once.c as they are,
 * on the list of waiter.h. Each thread is a worker with one task. How a task parks at its gate, and is woken and cancelled, is
 * looked at in another program. */
struct whorl__context;
static void *model_leave(struct whorl__context *from, struct whorl__context *to, void *worker);
#define whorl__context_switch model_leave
#include "runtime/event.c"
#include "runtime/mutex.c"
#include "runtime/once.c"
#include "runtime/wait_group.c"

void looked_at_elsewhere(struct whorl__waiter *chain);
#define whorl__waiters_open looked_at_elsewhere
#include "runtime/waiter.c"
#undef whorl__waiters_open

#include <stdlib.h>
#include <string.h>

#include "tests/unit/model.h"

enum { THREADS = 3 };

static struct whorl__worker workers[THREADS];
static struct whorl__runtime runtime;
static struct whorl__port port;
static struct whorl__record_slab slab __attribute__((aligned(WHORL__RECORD_SLAB_BYTES)));

static struct whorl_mutex mutex;
static struct whorl_event event;
static struct whorl_wait_group group;
static struct whorl_once once;
static int done[2];
static int guarded, had; /* with the mutex; how often it was had */
static int users;        /* with the mutex: who has yet to come or to leave */
static bool parked[THREADS];

_Noreturn static void die(const char *what)
{
    model_expect(false, what);
    abort();
}

static int thread_of(const struct whorl_task *t)
{
    return (int)(t - slab.tasks);
}

/* Leaving, and coming back. */

struct whorl__worker *whorl__worker(void)
{
    return &workers[model_thread()];
}

int whorl__failed_at(int err, const char *operation, const char *place, const char *detail)
{
    (void)operation;
    (void)place;
    (void)detail;
    return err;
}

void model_run_task(struct whorl__context *to, void *worker)
{
    (void)to;
    (void)worker;
    die("the tasks are threads of the model");
}

static void *model_leave(struct whorl__context *from, struct whorl__context *to, void *worker)
{
    struct whorl__worker *w = worker;
    struct whorl_task *t = w->committee;
    whorl__commit commit = w->commit;

    model_expect(from == &t->context && to == &w->context, "there is nothing else to be run");
    w->commit = NULL;
    parked[thread_of(t)] = true;
    commit(w, t);
    model_sleep(thread_of(t));
    w->current = t;
    return w;
}

void whorl__ready(struct whorl_task *t)
{
    model_expect(parked[thread_of(t)], "who is made ready is parked");
    parked[thread_of(t)] = false;
    model_wake(thread_of(t));
}

static void interrupt(struct whorl_task *t)
{
    uintptr_t seen = (uintptr_t)t;

    if (whorl__cas_seq_cst(&t->gate, &seen, (uintptr_t)0))
        whorl__ready(t);
}

void whorl__publish_gate(struct whorl__worker *w, struct whorl_task *t)
{
    uintptr_t closed = 0;

    (void)w;
    if (!whorl__cas_seq_cst(&t->gate, &closed, (uintptr_t)t))
        whorl__ready(t);
    else if (t->cancel)
        interrupt(t);
}

void whorl__waiters_open(struct whorl__waiter *chain)
{
    struct whorl__waiter *next;

    for (; chain; chain = next) {
        struct whorl_task *t = chain->task;

        next = chain->next;
        if (whorl__xchg_seq_cst(&t->gate, (uintptr_t)WHORL__LATCH_OPEN))
            whorl__ready(t);
    }
}

static void cancel(struct whorl_task *t)
{
    t->cancel = WHORL__CANCEL;
    interrupt(t);
}

int whorl__cancel_cause(struct whorl_task *t)
{
    (void)t;
    return -ECANCELED;
}

int whorl__cancel_consume(struct whorl_task *t)
{
    t->cancel = 0;
    return -ECANCELED;
}

/* What the two files need of others, and nobody here does. */

void whorl__misuse(const char *format, ...)
{
    die(format);
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

struct whorl_task *whorl__latch_open(uintptr_t *latch)
{
    (void)latch;
    die("gates are opened above");
}

void whorl_yield(void)
{
    die("nobody has waited for nothing so often");
}

int whorl__latch_wait(struct whorl__worker *w, struct whorl_task *t, uintptr_t *latch, const char *reason, uintptr_t object,
                      enum whorl__wait wait)
{
    (void)w;
    (void)t;
    (void)latch;
    (void)object;
    (void)wait;
    die(reason);
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

/* What the threads do. */

static void set_up_with(uintptr_t word)
{
    mutex = (struct whorl_mutex){.word = word};
    event = (struct whorl_event){.set = 0};
    group = (struct whorl_wait_group){.count = 2};
    once = (struct whorl_once){.made = 0};
    memset(slab.tasks, 0, THREADS * sizeof *slab.tasks);
    slab.runtime = &runtime;
    guarded = had = 0;
    users = THREADS;
    for (int i = 0; i < THREADS; i++) {
        memset(&workers[i], 0, sizeof workers[i]);
        workers[i].port = &port;
        workers[i].runtime = &runtime;
        workers[i].current = &slab.tasks[i];
        parked[i] = false;
        model_word(&slab.tasks[i].gate, sizeof slab.tasks[i].gate);
    }
    model_word(&mutex.word, sizeof mutex.word);
    model_lock(&mutex.waiters.locked);
    model_word(&event.set, sizeof event.set);
    model_lock(&event.waiters.locked);
    model_word(&group.count, sizeof group.count);
    model_lock(&group.waiters.locked);
    model_word(&once.made, sizeof once.made);
    model_word(&once.mutex.word, sizeof once.mutex.word);
    model_lock(&once.mutex.waiters.locked);
    model_data(&guarded);
    model_data(&done[0]);
    model_data(&done[1]);
}

static void set_up(void)
{
    set_up_with(0);
}

/* The first has it, and somebody has waited for it and withdrawn. */
static void set_up_withdrawn(void)
{
    set_up_with((uintptr_t)slab.tasks | WAITED);
    users = 2;
}

/* With the mutex. What the last holder did is seen, and nobody else has it. */
static void use(void)
{
    int before = guarded;

    model_data_write(&guarded);
    guarded = before + 1;
    had++;
}

static void lock_and_use(void)
{
    model_expect(whorl_mutex_lock(&mutex) == 0, "nobody is cancelled");
    use();
    whorl_mutex_unlock(&mutex);
}

static void lock_twice(int index)
{
    (void)index;
    lock_and_use();
    lock_and_use();
}

static void lock_once(int index)
{
    (void)index;
    lock_and_use();
}

static void try_beside(int index)
{
    if (index < 2) {
        lock_and_use();
    } else if (whorl_mutex_try_lock(&mutex) == 0) {
        use();
        whorl_mutex_unlock(&mutex);
    }
}

static void expect_free(void)
{
    model_expect(mutex.word == 0 || whorl__load_relaxed(&mutex.word) == 0, "nobody has it in the end");
    model_expect(!mutex.waiters.first && !mutex.waiters.last, "nobody waits in the end");
    model_expect(guarded == had, "each who had it was alone");
}

static void after_all(void)
{
    expect_free();
}

/* The second is cancelled by the third, at whatever point, while the first has the mutex, or hands it over. */
static void lock_and_cancel(int index)
{
    if (index == 2) {
        cancel(&slab.tasks[1]);
        lock_and_use();
    } else if (whorl_mutex_lock(&mutex) == 0) {
        use();
        whorl_mutex_unlock(&mutex);
    } else {
        model_expect(index == 1, "only the second is cancelled");
    }
}

/* Nobody has it who would give it back. */
static void expect_unlocked(const struct whorl__waiters *waiters)
{
    model_expect(whorl__load_relaxed(&waiters->locked) == 0, "nobody touches what may be freed");
    model_guarded(&waiters->locked); /* a race if it is given back only now */
}

/* The last who leaves frees it, if it had it: nobody is to come back to the list's lock then. */
static void leave(void (*unlock)(struct whorl_mutex *))
{
    bool last;

    if (whorl_mutex_lock(&mutex) < 0) {
        users--;
        return;
    }
    use();
    last = --users == 0;
    unlock(&mutex);
    if (last)
        expect_unlocked(&mutex.waiters);
}

static void leave_for_good(int index)
{
    (void)index;
    leave(whorl_mutex_unlock);
}

static void leave_withdrawn(int index, void (*unlock)(struct whorl_mutex *))
{
    if (index == 1) {
        leave(unlock);
    } else {
        use();
        users--;
        unlock(&mutex);
    }
}

static void leave_after_withdrawal(int index)
{
    leave_withdrawn(index, whorl_mutex_unlock);
}

static void leave_or_be_cancelled(int index)
{
    if (index == 2)
        cancel(&slab.tasks[1]);
    leave(whorl_mutex_unlock);
}

/* Who was let go frees it, and reads what was done before. */

static void be_let_go(int index)
{
    if (index == 0) {
        model_expect(whorl_event_wait(&event) == 0, "nobody is cancelled");
        model_data_read(&guarded);
        expect_unlocked(&event.waiters);
    } else {
        model_data_write(&guarded);
        whorl_event_set(&event);
    }
}

static void look_and_free(int index)
{
    if (index > 0) {
        be_let_go(index);
    } else if (whorl_event_is_set(&event)) {
        model_data_read(&guarded);
        expect_unlocked(&event.waiters);
    }
}

static void wait_for_two(int index)
{
    if (index == 0) {
        model_expect(whorl_wait_group_wait(&group) == 0, "nobody is cancelled");
        model_data_read(&done[0]);
        model_data_read(&done[1]);
        expect_unlocked(&group.waiters);
    } else {
        model_data_write(&done[index - 1]);
        whorl_wait_group_done(&group);
    }
}

static intptr_t make_it(void *arg)
{
    had++;
    model_data_write(&guarded);
    return (intptr_t)arg;
}

static void make_once(int index)
{
    (void)index;
    model_expect(whorl_once(&once, make_it, (void *)7) == 7, "it has a result");
    model_data_read(&guarded);
}

/* The first makes it, and touches it no more when the second finds it made. */
static void make_and_find(int index)
{
    if (index == 0) {
        model_expect(whorl_once(&once, make_it, (void *)7) == 7, "it has a result");
    } else if (made(&once)) {
        model_data_write(&guarded);
        model_expect(once.result == 7, "it has a result");
    }
}

static void after_once(void)
{
    model_expect(had == 1, "it is made once");
    model_expect(whorl__load_relaxed(&once.mutex.word) == 0, "nobody makes it in the end");
}

static void after_nothing(void)
{
}

const struct model_scenario model_scenarios[] = {
    {"two lock it twice", 2, set_up, lock_twice, after_all},
    {"three lock it", 3, set_up, lock_once, after_all},
    {"two lock it, one tries", 3, set_up, try_beside, after_all},
    {"one of those who wait is cancelled", 3, set_up, lock_and_cancel, after_all},
    {"the last who leaves frees it", 3, set_up, leave_for_good, after_all},
    {"the last who leaves frees it, one had withdrawn", 2, set_up_withdrawn, leave_after_withdrawal, after_all},
    {"the last who leaves frees it, one is cancelled", 3, set_up, leave_or_be_cancelled, after_all},
    {"who waited for an event frees it", 2, set_up, be_let_go, after_nothing},
    {"who found an event set frees it", 2, set_up, look_and_free, after_nothing},
    {"who waited for two frees their wait group", 3, set_up, wait_for_two, after_nothing},
    {"one finds what is made once", 2, set_up, make_and_find, after_once},
    {"two need it", 2, set_up, make_once, after_once},
    {"three need it", 3, set_up, make_once, after_once},
    {0},
};

/* Mistakes that must be noticed. */

/* Under the list's lock it makes the word 0 when nobody waits: another one may lock, unlock and free it before the lock is given
 * back. */
static void mistaken_unlock_under_the_lock(struct whorl_mutex *m)
{
    struct whorl__waiter *chain = NULL, **end = &chain, *next;
    uintptr_t seen = (uintptr_t)&slab.tasks[model_thread()];

    if (whorl__cas_acq_rel(&m->word, &seen, (uintptr_t)0))
        return;
    whorl__waiters_lock(&m->waiters);
    next = whorl__waiters_claim(&m->waiters, &end);
    whorl__store_release(&m->word, next ? (uintptr_t)next->item | (m->waiters.first ? WAITED : 0) : 0);
    whorl__waiters_unlock(&m->waiters);
    whorl__waiters_open(chain);
}

/* An event that is set is believed to be left alone. */
static void mistaken_wait(int index)
{
    if (index == 0) {
        while (!whorl__load_acquire(&event.set))
            model_pause();
        expect_unlocked(&event.waiters);
    } else {
        whorl_event_set(&event);
    }
}

static void leave_under_the_lock(int index)
{
    leave_withdrawn(index, mistaken_unlock_under_the_lock);
}

/* It does not look whether somebody waits. */
static void mistaken_unlock_blindly(struct whorl_mutex *m)
{
    whorl__store_release(&m->word, (uintptr_t)0);
}

static void leave_blindly(int index)
{
    (void)index;
    leave(mistaken_unlock_blindly);
}

/* Without the bit for those who wait behind the next holder. */
static void mistaken_hand_over_and_forget(struct whorl_mutex *m)
{
    struct whorl__waiter *chain = NULL, **end = &chain, *next;
    uintptr_t seen = (uintptr_t)&slab.tasks[model_thread()];

    if (whorl__cas_acq_rel(&m->word, &seen, (uintptr_t)0))
        return;
    whorl__waiters_lock(&m->waiters);
    next = whorl__waiters_claim(&m->waiters, &end);
    whorl__store_release(&m->word, next ? (uintptr_t)next->item : 0);
    whorl__waiters_unlock(&m->waiters);
    whorl__waiters_open(chain);
}

static void leave_and_forget(int index)
{
    (void)index;
    leave(mistaken_hand_over_and_forget);
}

const struct model_scenario model_mistakes[] = {
    {"the word is made 0 under the list's lock", 2, set_up_withdrawn, leave_under_the_lock, after_all},
    {"an event is freed that is being set", 2, set_up, mistaken_wait, after_nothing},
    {"an unlock that looks for nobody", 3, set_up, leave_blindly, after_all},
    {"a hand-over that forgets the others", 3, set_up, leave_and_forget, after_all},
    {0},
};

/* Unlocking as it is not to be done has no orders that are to be right. */
const char *const model_elsewhere = "mistaken_";

#define ONE_NAME "one half is enough, and on x86 they are the same: runtime/atomic.h has one name for both"

const struct model_excuse model_excuses[] = {
    {"take: cas &m->word", "acquire", ONE_NAME},
    {"take_or_mark: cas &m->word", "acquire", ONE_NAME},
    {"whorl_mutex_unlock: cas &m->word", "release", ONE_NAME},
    {"unlock_slowly: cas &m->word", "release", ONE_NAME},
    {"made: load &o->mutex.word", "relaxed",
     "so that who frees it does so after the maker's last touch, which is of the word itself"},
    {"whorl__publish_gate: cas &t->gate", NULL, "looked at in the model of waiting"},
    {"interrupt: cas &t->gate", NULL, "likewise"},
    {"whorl__waiters_open: exchange &t->gate", "acq_rel", "likewise"},
    {"whorl__waiters_open: exchange &t->gate", "release", "likewise"},
    {0},
};
