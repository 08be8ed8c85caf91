/* SPDX-License-Identifier: MIT */
/* What the tests of the synchronisation share: where they run, and how their mistakes are made. */
#ifndef WHORL_TESTS_SYNC_H
#define WHORL_TESTS_SYNC_H

#include <whorl/whorl.h>

#include "child.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

/* Under some seeds with 1 to 4 workers, and in the order of the loop of a real one. */
static inline void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* Is it this time? The clock of null_run_real ticks while tasks run. */
static inline bool at(whorl_ns time)
{
    return whorl_now() >= time && whorl_now() < time + 1000 * NULL_TICK;
}

/* A task that calls `fn` again and again, without ever having to wait, until another one has had its turn. */
struct rush {
    void (*fn)(void *object);
    void *object;
    bool stopped;
};

static inline intptr_t stop_rush(void *arg)
{
    ((struct rush *)arg)->stopped = true;
    return 0;
}

static inline intptr_t run_rush(void *arg)
{
    struct rush *r = arg;
    struct whorl_task *t = whorl_spawn(stop_rush, r);

    while (!r->stopped)
        r->fn(r->object);
    return whorl_join(t, NULL);
}

static inline void check_lets_others_run(void (*fn)(void *), void *object)
{
    CHECK_EQ(null_run_real(run_rush, &(struct rush){.fn = fn, .object = object}, NULL), 0);
}

static inline bool nobody_waits(const struct whorl__waiters *waiters)
{
    return !waiters->first && !waiters->last && !waiters->locked;
}

/* A task that makes one, and what it is told. */
struct mistake {
    whorl_fn fn;
    const char *says;
};

static inline intptr_t spawn_clumsy(void *arg)
{
    const struct mistake *m = arg;
    struct whorl_spawn_options options = {.size = sizeof options, .name = "clumsy"};

    return whorl_join(whorl_spawn_at(m->fn, NULL, &options, "clumsy.c:7"), NULL);
}

static inline void make_mistake(void *arg)
{
    null_run(spawn_clumsy, arg, NULL);
}

static inline void check_mistakes(const struct mistake *mistakes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mistake m = mistakes[i];
        char err[2048];
        int status = run_in_child(make_mistake, &m, err, sizeof err);

        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK_HAS(err, m.says);
        CHECK_HAS(err, "task \"clumsy\"");
        CHECK_HAS(err, "spawned at clumsy.c:7");
    }
}

#endif
