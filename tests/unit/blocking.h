/* SPDX-License-Identifier: MIT */
/* What the tests of the blocking pool share: runs on the null reactor, pools, functions that wait to be let go, looks into a pool. */
#ifndef WHORL_TESTS_BLOCKING_H
#define WHORL_TESTS_BLOCKING_H

#include <whorl/whorl.h>

#include <pthread.h>
#include <semaphore.h>

#include "null_run.h"
#include "runtime/pool.h"
#include "seeds.h"
#include "test.h"

static inline void run_everywhere(whorl_fn fn)
{
    for (uint64_t i = 0; i < 12; i++)
        CHECK_EQ(null_run(fn, NULL, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, NULL, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* For what waits for other tasks in a function, which a simulated runtime does only after a while. */
static inline void run_some(whorl_fn fn)
{
    CHECK_EQ(null_run(fn, NULL, &(struct whorl_options){.workers = 2}), 0);
    CHECK_EQ(null_run_real(fn, NULL, &(struct whorl_options){.spin_ns = -1}), 0);
}

static inline struct whorl_pool *make_pool(int threads, int queue)
{
    struct whorl_pool *pool = whorl_pool_create(&(struct whorl_pool_options){
        .size = sizeof(struct whorl_pool_options), .name = "test", .threads = threads, .queue = queue});

    CHECK(pool != NULL);
    return pool;
}

static inline void take(sem_t *sem)
{
    while (sem_wait(sem) < 0)
        continue;
}

/* A function that says when it has begun, and returns 7 once it may. */
struct gate {
    sem_t begun, open;
};

static inline intptr_t pass(void *arg)
{
    struct gate *g = arg;

    sem_post(&g->begun);
    take(&g->open);
    return 7;
}

static inline void make_gate(struct gate *g)
{
    sem_init(&g->begun, 0, 0);
    sem_init(&g->open, 0, 0);
}

static inline void until_idle(struct whorl_pool *pool)
{
    int idle;

    do {
        whorl__spin_lock(&pool->lock);
        idle = pool->idle;
        whorl__spin_unlock(&pool->lock);
        sched_yield();
    } while (!idle);
}

/* Lets others run until so many functions run and so many wait. */
static inline void until_pool(struct whorl_pool *pool, int busy, int queued)
{
    bool there = false;

    while (!there) {
        whorl__spin_lock(&pool->lock);
        there = pool->busy == busy && pool->queued == queued;
        whorl__spin_unlock(&pool->lock);
        whorl_yield();
    }
}

#endif
