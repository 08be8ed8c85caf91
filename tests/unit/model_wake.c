/* SPDX-License-Identifier: MIT */
/* Who sleeps, who searches, who is woken: runtime/scheduler.c, idle.c, task.c and foreign.c (for the closing of the inbox) as they are, without membarrier(2),
 * which the checker does not know. Tasks wait for each other while they keep their workers, so that a worker that is not woken when
 * it should be leaves everybody waiting for ever. */
#include "runtime/blocking.h"
#include "runtime/deadlock.h"
#include "runtime/foreign.h"
#include "runtime/fork_child.h"
#include "runtime/inspect.h"
#include "runtime/pool.h"
#include "runtime/runtime.h"
#include "runtime/scheduler.h"

#include <string.h>

#include "tests/unit/model.h"

enum { WORKERS_MAX = 3, TASKS_MAX = 3, PROMISES = WORKERS_MAX }; /* sleepers of the model: workers, then promises */

static struct whorl__runtime runtime;
static struct whorl__worker workers[WORKERS_MAX];
static struct whorl__record_slab slab __attribute__((aligned(WHORL__RECORD_SLAB_BYTES)));
static struct whorl_task *const tasks = slab.tasks;
static int sleepers[WORKERS_MAX], ran[TASKS_MAX];
static struct whorl__port ports[WORKERS_MAX];
static struct whorl__worker *current[WORKERS_MAX]; /* by thread */
static const uint32_t nothing;

/* The reactor: sleeping, waking, chance. */

static struct whorl__op *poll(struct whorl__reactor *r, struct whorl__port *port, bool flush)
{
    (void)r;
    (void)port;
    (void)flush;
    return NULL;
}

static bool wait_for_wake(struct whorl__reactor *r, struct whorl__port *port, whorl_ns deadline)
{
    (void)r;
    model_expect(deadline == WHORL_NEVER, "there are no timers");
    model_expect(runtime.sleeping <= (uint32_t)runtime.worker_count, "nobody is counted twice");
    model_sleep((int)(port - ports));
    return true;
}

static void wake(struct whorl__reactor *r, struct whorl__port *port)
{
    (void)r;
    model_wake((int)(port - ports));
}

static whorl_ns now(struct whorl__reactor *r)
{
    (void)r;
    return 0;
}

static uint32_t choose(struct whorl__reactor *r, struct whorl__port *port, uint32_t n)
{
    (void)r;
    (void)port;
    return model_choose(n);
}

static const struct whorl__reactor_ops ops = {
    .name = "model", .poll = poll, .wait = wait_for_wake, .wake = wake, .now = now, .choose = choose};

/* What the compiled files need of the others. */

struct whorl__worker *whorl__worker(void)
{
    return model_thread() < WORKERS_MAX ? current[model_thread()] : NULL;
}

void whorl__set_worker(struct whorl__worker *w)
{
    current[model_thread()] = w;
}

_Noreturn static void die(const char *what)
{
    model_expect(false, what);
    abort();
}

_Noreturn void whorl__fatal(const char *format, ...)
{
    die(format);
}

_Noreturn void whorl__misuse(const char *format, ...)
{
    die(format);
}

_Noreturn void whorl__deadlock(struct whorl__runtime *rt)
{
    (void)rt;
    die("nothing is simulated");
}

void whorl__op_done(struct whorl__worker *w, struct whorl__op *op)
{
    (void)w;
    (void)op;
    die("there are no operations");
}

void whorl__timers_expire(struct whorl__worker *w, struct whorl__timers *h)
{
    (void)w;
    (void)h;
    die("there are no timers");
}

bool whorl__timer_stop(struct whorl__timer *t)
{
    (void)t;
    return false;
}

/* Nobody looks after others: runtime.watch is off. */

void whorl__look_after_others(struct whorl__worker *w, bool all)
{
    (void)w;
    (void)all;
}

bool whorl__anyone_neglects(const struct whorl__worker *w, whorl_ns now)
{
    (void)w;
    (void)now;
    return false;
}

/* Nobody forks. */

void whorl__deque_change(struct whorl__worker *w, struct whorl__deque *next)
{
    (void)w;
    (void)next;
    die("nobody forks");
}

void whorl__deque_release(struct whorl__worker *w, struct whorl_task *t)
{
    (void)w;
    (void)t;
    die("nobody forks");
}

struct whorl_task *whorl__strand_end(struct whorl__worker *w, struct whorl_task *t)
{
    (void)w;
    (void)t;
    die("nobody forks");
}

void whorl__strands_cancel(struct whorl_task *t, uint32_t bit)
{
    (void)t;
    (void)bit;
    die("nobody cancels");
}

bool whorl__forks_anywhere(const struct whorl__worker *w)
{
    (void)w;
    return false;
}

struct whorl_task *whorl__fork_steal(struct whorl__worker *w)
{
    (void)w;
    return NULL;
}

void whorl__interrupt(struct whorl_task *t)
{
    (void)t;
    die("nobody cancels");
}

bool whorl__stack_refill(struct whorl__stack_cache *cache, int class)
{
    (void)cache;
    (void)class;
    return false;
}

bool whorl__stack_trim(struct whorl__stack_pool *pool)
{
    (void)pool;
    return false;
}

void whorl__stack_spill(struct whorl__stack_cache *cache, int class)
{
    (void)cache;
    (void)class;
}

int whorl__stack_class(size_t size)
{
    (void)size;
    return 0;
}

/* There are no scopes. */

void whorl__scopes_end(struct whorl_task *t)
{
    (void)t;
    die("there are no scopes");
}

struct whorl_task *whorl__scope_leave(struct whorl__worker *w, struct whorl_task *t, intptr_t result)
{
    (void)w;
    (void)t;
    (void)result;
    die("there are no scopes");
}

void whorl__defers_run(struct whorl_task *t)
{
    (void)t;
    die("nothing is deferred");
}

void whorl__locals_inherit(struct whorl_task *t, const struct whorl_task *from)
{
    (void)t;
    (void)from;
    die("there are no task-locals");
}

void whorl__locals_end(struct whorl_task *t)
{
    (void)t;
    die("there are no task-locals");
}

void whorl__generators_end(struct whorl_task *t)
{
    (void)t;
    die("there are no generators");
}

/* There are no pools. */

const char *whorl__pool_here(void)
{
    return NULL;
}

void whorl__blocking_stand_by(struct whorl__runtime *rt)
{
    (void)rt;
}

void whorl__blocking_overdue(struct whorl__runtime *rt, whorl_ns now)
{
    (void)rt;
    (void)now;
    die("there are no pools");
}

void whorl__failure_free(struct whorl__failure *f)
{
    (void)f;
    die("no call fails");
}

int whorl__failed_at(int err, const char *operation, const char *place, const char *detail)
{
    (void)err;
    (void)operation;
    (void)place;
    (void)detail;
    die("no call fails");
}

/* There are no regions. */

void whorl__bind(struct whorl_task *t, int worker)
{
    (void)t;
    (void)worker;
    die("nobody is spawned bound");
}

void whorl__pin_end(struct whorl_task *t)
{
    (void)t;
    die("there are no regions");
}

_Noreturn void whorl__must_not_suspend(const struct whorl_task *t, const char *call)
{
    (void)t;
    die(call);
}

/* As in runtime.c, where tasks are waited for. */
void whorl__runtime_end(struct whorl__runtime *rt)
{
    whorl__foreign_close(rt);
    whorl__store_relaxed(&rt->ending, 1);
}

bool whorl__is_dead(const struct whorl__runtime *rt)
{
    return rt != &runtime; /* there is that one only */
}

bool whorl__all_dead(void)
{
    return false;
}

_Noreturn void whorl__dead(const char *call)
{
    die(call);
}

bool whorl__inspect_knows(const struct whorl__runtime *rt)
{
    return rt == &runtime;
}

void whorl__runtime_play(struct whorl__runtime *rt, const uintptr_t *until)
{
    (void)rt;
    (void)until;
    model_expect(false, "nobody joins from outside");
}

void whorl__runtime_played(struct whorl__runtime *rt)
{
    (void)rt;
    model_expect(false, "nobody joins from outside");
}

void whorl__runtime_spawned_late(struct whorl__runtime *rt, struct whorl_task *t)
{
    (void)rt;
    (void)t;
}

/* Setting up, and what the threads do. */

static void name_worker(struct whorl__worker *w)
{
    model_word(&w->ready.head, sizeof w->ready.head);
    model_word(&w->ready.tail, sizeof w->ready.tail);
    for (size_t i = 0; i < WHORL__RUNQ_SIZE; i++)
        model_word(&w->ready.slots[i], sizeof w->ready.slots[i]);
    model_lock(&w->mailbox.lock);
    model_word(&w->mailbox.count, sizeof w->mailbox.count);
    model_lock(&w->bound.lock);
    model_word(&w->bound.count, sizeof w->bound.count);
    model_word(&w->stats.spawned, sizeof w->stats.spawned);
    model_word(&w->stats.finished, sizeof w->stats.finished);
}

static void name_runtime(struct whorl__runtime *rt)
{
    model_lock(&rt->inbox.lock);
    model_word(&rt->inbox.count, sizeof rt->inbox.count);
    model_lock(&rt->idle_lock);
    model_word(&rt->sleeping, sizeof rt->sleeping);
    model_word(&rt->searching, sizeof rt->searching);
    model_word(&rt->ending, sizeof rt->ending);
    model_word(&rt->stop, sizeof rt->stop);
}

static void set_up(int worker_count, const whorl_fn *fns)
{
    memset(&runtime, 0, sizeof runtime);
    memset(workers, 0, sizeof workers);
    memset(tasks, 0, TASKS_MAX * sizeof *tasks);
    slab.runtime = &runtime;
    memset(ran, 0, sizeof ran);
    memset(current, 0, sizeof current);
    runtime.ops = &ops;
    runtime.workers = workers;
    runtime.worker_count = worker_count;
    runtime.sleepers = sleepers;
    runtime.main = &tasks[0];
    name_runtime(&runtime);
    for (int i = 0; i < worker_count; i++) {
        struct whorl__worker *w = &workers[i];

        ports[i] = (struct whorl__port){.done_head = &nothing, .done_tail = &nothing, .flags = &nothing};
        w->runtime = &runtime;
        w->port = &ports[i];
        w->index = i;
        w->idle_since = WHORL_NEVER;
        w->timers.next = WHORL_NEVER;
        name_worker(w);
    }
    for (int i = 0; i < TASKS_MAX; i++) {
        tasks[i].fn = fns[i];
        tasks[i].stack = (struct whorl__stack *)&tasks[i]; /* it has one */
        model_data(&tasks[i]);
    }
}

/* Of what runs on worker `w`: makes task `i` ready there, or on worker `there`. */
static void spawn(struct whorl__worker *w, int i)
{
    model_data_write(&tasks[i]);
    whorl__count(&w->stats.spawned, 1);
    whorl__ready_here(w, &tasks[i]);
}

static void spawn_there(struct whorl__worker *w, int i, int there)
{
    model_data_write(&tasks[i]);
    whorl__count(&w->stats.spawned, 1);
    whorl__ready_there(&runtime, there, &tasks[i]);
}

/* The same for one that only worker `there` may run. */
static void spawn_bound(struct whorl__worker *w, int i, int there)
{
    tasks[i].bound = WHORL_WORKER(there);
    spawn(w, i);
}

void model_run_task(struct whorl__context *to, void *worker)
{
    struct whorl__worker *w = worker;
    struct whorl_task *t = (struct whorl_task *)to;

    model_data_write(t); /* it is this worker's alone, and all that its spawner wrote is there */
    model_expect(ran[t - tasks]++ == 0, "a task runs once");
    model_expect(!t->bound || t->bound == WHORL_WORKER(w->index), "a bound task runs on its worker");
    t->fn(w);
    whorl__store_relaxed(&w->current, NULL);
    whorl__task_fail(w, t, 0); /* which is how a task ends */
}

static void work(int index)
{
    struct whorl__worker *w = &workers[index];

    whorl__set_worker(w);
    if (index == 0)
        spawn(w, 0); /* main */
    whorl__work(w);
}

static void after(void)
{
    uint64_t spawned = runtime.posted, finished = 0;

    for (int i = 0; i < runtime.worker_count; i++) {
        spawned += whorl__load_relaxed(&workers[i].stats.spawned);
        finished += whorl__load_relaxed(&workers[i].stats.finished);
    }
    model_expect(spawned == finished, "the workers stop when all tasks have ended");
    for (int i = 0; i < TASKS_MAX; i++)
        model_expect(ran[i] == (tasks[i].fn != NULL), "every task has run");
}

/* Promise `n` keeps a worker waiting, busy as far as the scheduler knows, until somebody keeps it. */
static void keep(int n)
{
    model_wake(PROMISES + n);
}

static void wait_for(int n)
{
    model_sleep(PROMISES + n);
}

static intptr_t keep_0(void *w)
{
    (void)w;
    keep(0);
    return 0;
}

static intptr_t keep_1(void *w)
{
    (void)w;
    keep(1);
    return 0;
}

static intptr_t return_at_once(void *w)
{
    (void)w;
    return 0;
}

static intptr_t queue_and_wait(void *w)
{
    spawn(w, 1);
    wait_for(0);
    return 0;
}

static void before_queue_and_wait(void)
{
    set_up(2, (const whorl_fn[]){queue_and_wait, keep_0, NULL});
}

/* The worker has slept again in between, or not. */
static intptr_t queue_and_wait_again(void *w)
{
    spawn(w, 1);
    wait_for(0);
    spawn(w, 2);
    wait_for(1);
    return 0;
}

static void before_queue_again(void)
{
    set_up(2, (const whorl_fn[]){queue_and_wait_again, keep_0, keep_1});
}

/* Two at once, and the first waits for the second, so that all three workers are needed. */
static intptr_t queue_two_and_wait(void *w)
{
    spawn(w, 1);
    spawn(w, 2);
    wait_for(0);
    return 0;
}

static intptr_t wait_1_keep_0(void *w)
{
    (void)w;
    wait_for(1);
    keep(0);
    return 0;
}

static void before_queue_two(void)
{
    set_up(3, (const whorl_fn[]){queue_two_and_wait, wait_1_keep_0, keep_1});
}

/* A chain: each queues the next one and waits. */
static intptr_t queue_next_and_wait(void *w)
{
    spawn(w, 2);
    wait_for(1);
    keep(0);
    return 0;
}

static void before_chain(void)
{
    set_up(3, (const whorl_fn[]){queue_and_wait, queue_next_and_wait, keep_1});
}

/* Mailboxes: of a worker that may sleep, and of one that is busy for as long as nobody else takes the task. */
static intptr_t send_and_wait(void *w)
{
    spawn_there(w, 1, 1);
    wait_for(0);
    return 0;
}

static void before_send(void)
{
    set_up(2, (const whorl_fn[]){send_and_wait, keep_0, NULL});
}

static intptr_t send_to_oneself_and_wait(void *w)
{
    spawn_there(w, 1, ((struct whorl__worker *)w)->index);
    wait_for(0);
    return 0;
}

static void before_send_to_oneself(void)
{
    set_up(2, (const whorl_fn[]){send_to_oneself_and_wait, keep_0, NULL});
}

/* Tasks that only one worker may run: one that may sleep, and whom others that look for work must not stand in for. */
static int next_to(struct whorl__worker *w)
{
    return (w->index + 1) % runtime.worker_count;
}

static intptr_t queue_bound_and_wait(void *w)
{
    spawn_bound(w, 1, next_to(w));
    wait_for(0);
    return 0;
}

static void before_bound(void)
{
    set_up(2, (const whorl_fn[]){queue_bound_and_wait, keep_0, NULL});
}

static intptr_t queue_bound_and_free(void *w)
{
    spawn_bound(w, 1, next_to(w));
    spawn(w, 2);
    wait_for(0);
    wait_for(1);
    return 0;
}

static void before_bound_and_free(void)
{
    set_up(3, (const whorl_fn[]){queue_bound_and_free, keep_0, keep_1});
}

/* To oneself: it runs when this task is through, and the worker must not sleep before. */
static intptr_t leave_one_bound_here(void *w)
{
    spawn_bound(w, 1, ((struct whorl__worker *)w)->index);
    return 0;
}

static void before_bound_here(void)
{
    set_up(2, (const whorl_fn[]){leave_one_bound_here, return_at_once, NULL});
}

/* Tasks that main does not wait for: the workers may stop when they have ended, not before, and do. */
static intptr_t leave_two(void *w)
{
    spawn(w, 1);
    spawn(w, 2);
    return 0;
}

static void before_leave(void)
{
    set_up(2, (const whorl_fn[]){leave_two, return_at_once, return_at_once});
}

static intptr_t spawn_another(void *w)
{
    spawn(w, 2);
    return 0;
}

static intptr_t leave_one(void *w)
{
    spawn(w, 1);
    return 0;
}

static void before_leave_spawner(void)
{
    set_up(3, (const whorl_fn[]){leave_one, spawn_another, return_at_once});
}

/* A thread that is no worker, the third. */
static intptr_t wait_0(void *w)
{
    (void)w;
    wait_for(0);
    return 0;
}

static void before_post(void)
{
    set_up(2, (const whorl_fn[]){wait_0, keep_0, NULL});
}

/* The posted task runs on worker 1 only, and main on the other. */
static void before_post_bound(void)
{
    set_up(2, (const whorl_fn[]){wait_0, keep_0, NULL});
    tasks[0].bound = WHORL_WORKER(0);
    tasks[1].bound = WHORL_WORKER(1);
}

static void work_or_post(int index)
{
    if (index < 2) {
        work(index);
        return;
    }
    model_data_write(&tasks[1]);
    whorl__spin_lock(&runtime.inbox.lock);
    runtime.posted++;
    whorl__spin_unlock(&runtime.inbox.lock);
    whorl__ready(&tasks[1]);
}

/* Is all over? One thread asks while a task on another worker spawns a second one and ends: it is not. */
static void before_asking(void)
{
    set_up(2, (const whorl_fn[]){return_at_once, return_at_once, NULL});
    whorl__count(&workers[0].stats.spawned, 1);
}

static void end_or_ask(int index)
{
    if (index == 0) {
        whorl__set_worker(&workers[0]);
        whorl__count(&workers[0].stats.spawned, 1);
        whorl__task_fail(&workers[0], &tasks[1], 0);
    } else {
        model_expect(!whorl__quiet(&runtime), "a task is alive");
    }
}

static void after_asking(void)
{
}

const struct model_scenario model_scenarios[] = {
    {"it is not all over while a task that was spawned last is alive", 2, before_asking, end_or_ask, after_asking},
    {"a task that is queued wakes a worker", 2, before_queue_and_wait, work, after},
    {"a worker is woken again", 2, before_queue_again, work, after},
    {"two that are queued wake two", 3, before_queue_two, work, after},
    {"each that is woken wakes the next", 3, before_chain, work, after},
    {"a task in the mailbox wakes its worker", 2, before_send, work, after},
    {"a task in the mailbox of a busy worker wakes another", 2, before_send_to_oneself, work, after},
    {"a bound task wakes its worker", 2, before_bound, work, after},
    {"a bound task wakes its worker, a free one another", 3, before_bound_and_free, work, after},
    {"a worker does not sleep over a task that is bound to it", 2, before_bound_here, work, after},
    {"the workers stop when all has ended", 2, before_leave, work, after},
    {"the workers stop when what was spawned last has ended", 3, before_leave_spawner, work, after},
    {"work from another thread wakes a worker", 3, before_post, work_or_post, after},
    {"work from another thread comes to the worker that it is bound to", 3, before_post_bound, work_or_post, after},
    {0},
};

const struct model_scenario model_mistakes[] = {{0}};

const char *const model_elsewhere = "whorl__runq_";

#define ORDERED_BY_FENCES                                                                                                          \
    "a count between the fences P2 and S4, which order it; too high or too low elsewhere, a worker is woken for nothing"
#define ORDERED_BY_LOCK "both sides take the sleepers' lock before they look for each other, and that orders them as well"

const struct model_excuse model_excuses[] = {
    {"wake_one: add &rt->searching", NULL, ORDERED_BY_FENCES},
    {"whorl__wake_worker: add &rt->searching", NULL, ORDERED_BY_FENCES},
    {"start_searching: add &w->runtime->searching", NULL, ORDERED_BY_FENCES},
    {"stop_searching: add &w->runtime->searching", NULL, ORDERED_BY_FENCES},
    {"whorl__wake_worker: fence ", NULL, ORDERED_BY_LOCK},
    {"whorl__end_idle: fence ", NULL, "whorl__notify has a fence of its own here, where there is no membarrier"},
    {"whorl__quiet: fence ", "acq_rel", "it keeps the two sums in their order, for which acquire is enough"},
    {0},
};
