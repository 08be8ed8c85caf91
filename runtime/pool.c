/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* names of threads */
#include "runtime/pool.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 4096
#define REASON      "a blocking function"

struct whorl_pool whorl__blocking_pool = WHORL__POOL("blocking", WHORL__POOL_THREADS, REASON);

/* All pools that may have threads. The lock is taken before that of a pool. */
static struct whorl__spinlock all_lock;
static struct whorl_pool *all;

/* Of a thread of a pool. Such threads run no tasks, so this one may be kept in a thread-local variable. */
static _Thread_local const struct whorl_pool *here;

const char *whorl__pool_here(void)
{
    return here ? here->name : NULL;
}

/* Lists of jobs. With the lock. */

static void append(struct whorl__jobs *list, struct whorl__job *job)
{
    job->next = NULL;
    job->before = list->last;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

static void take_out(struct whorl__jobs *list, struct whorl__job *job)
{
    if (job->before)
        job->before->next = job->next;
    else
        list->first = job->next;
    if (job->next)
        job->next->before = job->before;
    else
        list->last = job->before;
}

/* Threads. */

/* The waiter and its runtime may be gone after this, each with its own step. */
static void tell(struct whorl__waiter *waiter, struct whorl__runtime *rt)
{
    whorl__pause_at(POOL_TELL);
    whorl__waiters_open(waiter);
    whorl__pause_at(POOL_TOLD);
    if (rt)
        whorl__add_seq_cst(&rt->outside, (uint32_t)-1); /* the last touch of the runtime, which waits for it */
}

/* The job is off the lists and will not be done any more, or has been. Nobody waits for one that was left behind: it is the thread's. */
static void finish(struct whorl_pool *pool, struct whorl__job *job)
{
    struct whorl__runtime *rt = job->runtime;
    struct whorl__waiter *waiter = job->waiter;
    void (*release)(void *) = job->release;

    job->waiter = NULL;
    whorl__spin_unlock(&pool->lock);
    if (waiter) {
        waiter->next = NULL;
        tell(waiter, rt);
    } else if (release) {
        release(job->arg);
        free(job);
    }
    whorl__spin_lock(&pool->lock);
}

static void do_job(struct whorl_pool *pool, struct whorl__job *job)
{
    intptr_t result;

    take_out(&pool->queue, job);
    pool->queued--;
    job->begun = true;
    append(&pool->begun, job);
    pool->busy++;
    whorl__spin_unlock(&pool->lock);
    result = job->fn(job->arg);
    whorl__spin_lock(&pool->lock);
    take_out(&pool->begun, job);
    pool->busy--;
    job->result = result;
    finish(pool, job);
}

/* Sleeps until there may be a job. False: for as long as its patience lasts. With the lock, which it leaves meanwhile. */
static bool await_job(struct whorl_pool *pool)
{
    struct timespec patience = {.tv_sec = (time_t)(pool->patience / WHORL_SEC(1)),
                                .tv_nsec = (long)(pool->patience % WHORL_SEC(1))};
    uint32_t seen = pool->calls;
    bool called;

    pool->idle++;
    whorl__spin_unlock(&pool->lock);
    whorl__pause_at(POOL_SLEEP);
    called = syscall(SYS_futex, &pool->calls, FUTEX_WAIT_PRIVATE, seen, &patience, NULL, 0) == 0 || errno != ETIMEDOUT;
    whorl__spin_lock(&pool->lock);
    pool->idle--;
    return called;
}

/* With the lock. */
static bool goes_on(struct whorl_pool *pool)
{
    while (!pool->queue.first)
        if (pool->closing || pool->threads > pool->limit || (!await_job(pool) && !pool->queue.first))
            return false;
    return pool->threads <= pool->limit;
}

/* A thread leaves. Then the pool may be gone. With the lock, which it leaves. */
static void leave(struct whorl_pool *pool)
{
    bool last = --pool->threads == 0 && pool->closing;

    whorl__spin_unlock(&pool->lock);
    whorl__pause_at(POOL_LEAVE);
    if (last)
        free(pool);
}

static void *serve(void *arg)
{
    struct whorl_pool *pool = arg;

    here = pool;
    pthread_setname_np(pthread_self(), pool->name);
    whorl__spin_lock(&pool->lock);
    while (goes_on(pool))
        do_job(pool, pool->queue.first);
    leave(pool);
    return NULL;
}

/* Returns 0 or -errno. Touches errno: not for a function that suspends. */
static __attribute__((noinline)) int start_thread(struct whorl_pool *pool)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t every, before;
    int err = pthread_attr_init(&attributes);

    whorl__pause_at(POOL_START);
    if (err)
        return -err;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pool->stack_size)
        err = pthread_attr_setstacksize(&attributes, pool->stack_size);
    sigfillset(&every); /* signals are the program's, not this thread's, to handle */
    pthread_sigmask(SIG_SETMASK, &every, &before);
    if (!err)
        err = pthread_create(&thread, &attributes, serve, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -err;
}

/* A thread that was counted could not be made. If there is none now, nobody will do what is queued. */
static void uncount_thread(struct whorl_pool *pool)
{
    struct whorl__job *job;

    whorl__spin_lock(&pool->lock);
    pool->threads--;
    while (pool->threads == 0 && (job = pool->queue.first) != NULL) {
        take_out(&pool->queue, job);
        pool->queued--;
        job->error = -EAGAIN;
        finish(pool, job);
    }
    whorl__spin_unlock(&pool->lock);
}

/* All pools. */

static void list_pool(struct whorl_pool *pool)
{
    whorl__spin_lock(&all_lock);
    if (!pool->listed) {
        pool->next = all;
        all = pool;
        whorl__store_release(&pool->listed, true); /* pairs with the acquire in whorl__pool_submit; no more than a hint */
    }
    whorl__spin_unlock(&all_lock);
}

static void unlist_pool(struct whorl_pool *pool)
{
    struct whorl_pool **at = &all;

    whorl__spin_lock(&all_lock);
    while (*at != pool)
        at = &(*at)->next;
    *at = pool->next;
    whorl__spin_unlock(&all_lock);
}

static void visit_list(struct whorl_pool *pool, struct whorl__jobs *list, struct whorl__runtime *rt,
                       void (*visit)(struct whorl_pool *, struct whorl__job *, void *), void *arg)
{
    struct whorl__job *next;

    for (struct whorl__job *job = list->first; job; job = next) {
        next = job->next;
        if (job->waiter && job->runtime == rt)
            visit(pool, job, arg);
    }
}

void whorl__pools_visit(struct whorl__runtime *rt, void (*visit)(struct whorl_pool *, struct whorl__job *, void *), void *arg)
{
    whorl__spin_lock(&all_lock);
    for (struct whorl_pool *pool = all; pool; pool = pool->next) {
        whorl__spin_lock(&pool->lock);
        visit_list(pool, &pool->begun, rt, visit, arg);
        visit_list(pool, &pool->queue, rt, visit, arg);
        whorl__spin_unlock(&pool->lock);
    }
    whorl__spin_unlock(&all_lock);
}

/* fork(2): the child has the pools, but not their threads, nor anybody who waits for a job. */

static void lock_all(void)
{
    whorl__spin_lock(&all_lock);
    for (struct whorl_pool *pool = all; pool; pool = pool->next)
        whorl__spin_lock(&pool->lock);
}

static void unlock_all(void)
{
    for (struct whorl_pool *pool = all; pool; pool = pool->next)
        whorl__spin_unlock(&pool->lock);
    whorl__spin_unlock(&all_lock);
}

static void begin_anew(void)
{
    for (struct whorl_pool *pool = all; pool; pool = pool->next) {
        pool->threads = pool->idle = pool->busy = pool->queued = 0;
        pool->queue = pool->begun = (struct whorl__jobs){.first = NULL};
    }
    unlock_all();
}

/* At the start, when there is memory for it. */
__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(lock_all, unlock_all, begin_anew);
}

/* Jobs from outside. */

int whorl__pool_submit(struct whorl_pool *pool, struct whorl__job *job)
{
    bool start, wake;

    if (!whorl__load_acquire(&pool->listed))
        list_pool(pool);
    whorl__spin_lock(&pool->lock);
    if (pool->queue_limit && pool->queued + pool->busy >= pool->queue_limit + pool->limit) {
        whorl__spin_unlock(&pool->lock);
        return -EBUSY;
    }
    append(&pool->queue, job);
    pool->queued++;
    whorl__store_relaxed(&pool->calls, pool->calls + 1);
    start = pool->idle < pool->queued && pool->threads < pool->limit;
    wake = !start && pool->idle > 0;
    pool->threads += start;
    whorl__spin_unlock(&pool->lock);
    if (start && start_thread(pool) < 0)
        uncount_thread(pool);
    else if (wake)
        syscall(SYS_futex, &pool->calls, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    return 0;
}

enum whorl__withdrawal whorl__pool_withdraw(struct whorl_pool *pool, struct whorl__job *job)
{
    enum whorl__withdrawal how = WHORL__TOO_LATE;

    whorl__pause_at(POOL_WITHDRAW);
    whorl__spin_lock(&pool->lock);
    if (job->waiter && !job->begun) {
        take_out(&pool->queue, job);
        pool->queued--;
        how = WHORL__WITHDRAWN;
    } else if (job->waiter && job->release) {
        how = WHORL__LEFT;
    }
    if (how != WHORL__TOO_LATE)
        job->waiter = NULL;
    whorl__spin_unlock(&pool->lock);
    return how;
}

void whorl__pool_forget(struct whorl_pool *pool, struct whorl__job *job)
{
    job->waiter = NULL;
    if (!job->begun) {
        take_out(&pool->queue, job);
        pool->queued--;
    }
    whorl__add_seq_cst(&job->runtime->outside, (uint32_t)-1);
}

struct whorl_pool *whorl_pool_create(const struct whorl_pool_options *options)
{
    static const struct whorl_pool_options defaults = {.size = sizeof defaults};
    const struct whorl_pool_options *o = options ? options : &defaults;
    struct whorl_pool *pool;

    if (o->size != sizeof *o)
        whorl__misuse("whorl_pool_options.size is %zu: set it to sizeof(struct whorl_pool_options), %zu", o->size, sizeof *o);
    if (o->threads < 0 || o->threads > THREADS_MAX || o->queue < 0 || o->idle < 0 ||
        (o->stack_size && o->stack_size < (size_t)sysconf(_SC_THREAD_STACK_MIN)))
        return NULL;
    pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    *pool = (struct whorl_pool)WHORL__POOL("pool", WHORL__POOL_THREADS, REASON);
    if (o->name)
        strncpy(memset(pool->name, 0, sizeof pool->name), o->name, sizeof pool->name - 1);
    if (o->threads)
        pool->limit = o->threads;
    if (o->idle)
        pool->patience = o->idle;
    pool->queue_limit = o->queue;
    pool->stack_size = o->stack_size;
    list_pool(pool);
    return pool;
}

int whorl_pool_destroy(struct whorl_pool *pool)
{
    int left = 0;
    bool last;

    if (!pool || pool == &whorl__blocking_pool)
        whorl__misuse("whorl_pool_destroy was given %s", pool ? "the default pool" : "NULL");
    unlist_pool(pool);
    whorl__spin_lock(&pool->lock);
    for (struct whorl__job *job = pool->begun.first; job; job = job->next)
        left += !job->waiter;
    if (pool->busy > left || pool->queued)
        whorl__misuse(
            "whorl_pool_destroy was given pool \"%s\" while %d of its functions are waited for: join the tasks that called "
            "whorl_pool_run first",
            pool->name, pool->busy - left + pool->queued);
    pool->closing = true;
    last = pool->threads == 0;
    whorl__store_relaxed(&pool->calls, pool->calls + 1);
    whorl__spin_unlock(&pool->lock);
    if (last)
        free(pool);
    else /* it may be gone by now: waking nobody there does no harm */
        syscall(SYS_futex, &pool->calls, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    return left;
}

int whorl_pool_resize(struct whorl_pool *pool, int threads)
{
    if (!pool)
        pool = &whorl__blocking_pool;
    if (threads < 1 || threads > THREADS_MAX)
        return -EINVAL;
    whorl__spin_lock(&pool->lock);
    pool->limit = threads;
    whorl__store_relaxed(&pool->calls, pool->calls + 1);
    whorl__spin_unlock(&pool->lock);
    syscall(SYS_futex, &pool->calls, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); /* those that are too many end */
    return 0;
}

void whorl__pools_forked(void)
{
    all_lock = (struct whorl__spinlock){0};
    here = NULL;
    for (struct whorl_pool *pool = all; pool; pool = pool->next) {
        pool->lock = (struct whorl__spinlock){0};
        pool->queue = pool->begun = (struct whorl__jobs){0};
        pool->threads = pool->idle = pool->busy = pool->queued = 0;
    }
}
