/* SPDX-License-Identifier: MIT */
/* Events: set, cleared, waited for by one or a million, given up. */
#include "sync.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static intptr_t wait_for_it(void *arg)
{
    return whorl_event_wait(arg);
}

static intptr_t set_and_clear(void *arg)
{
    struct whorl_event e = {0};
    struct whorl_task *early[3];
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_event_is_set(&e), 0);
    for (int i = 0; i < 3; i++)
        early[i] = whorl_spawn(wait_for_it, &e);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(whorl_result(early[i], NULL), -EINPROGRESS);
    whorl_event_set(&e);
    whorl_event_set(&e);
    CHECK_EQ(whorl_event_is_set(&e), 1);
    CHECK_EQ(whorl_event_wait(&e), 0);
    whorl_event_clear(&e);
    CHECK_EQ(whorl_event_is_set(&e), 0);
    for (int i = 0; i < 3; i++) { /* they were let go, though it is set no more */
        CHECK_EQ(whorl_join(early[i], &result), 0);
        CHECK_EQ(result, 0);
    }
    CHECK(at(WHORL_SEC(1)));
    CHECK_EQ(whorl_wait_for(wait_for_it, &e, WHORL_SEC(2), &result), -ETIMEDOUT);
    CHECK(at(WHORL_SEC(3)));
    return 0;
}

TEST(event, lets_all_go_that_wait_and_keeps_nobody_until_cleared)
{
    run_everywhere(set_and_clear, NULL);
}

static intptr_t cancel_one(void *arg)
{
    struct whorl_event e = {0};
    struct whorl_task *tasks[3];

    (void)arg;
    for (int i = 0; i < 3; i++)
        tasks[i] = whorl_spawn(wait_for_it, &e);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(tasks[1]);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_event_set(&e);
    whorl_cancel(tasks[2]); /* too late */
    for (int i = 0; i < 3; i++) {
        intptr_t result;

        CHECK_EQ(whorl_join(tasks[i], &result), 0);
        CHECK_EQ(result, i == 1 ? -ECANCELED : 0);
    }
    return 0;
}

TEST(event, who_is_cancelled_leaves_alone_and_who_was_let_go_is_not_cancelled)
{
    run_everywhere(cancel_one, NULL);
}

static intptr_t wait_when_set(void *arg)
{
    struct whorl_event e = {0};
    struct whorl_scope s;

    (void)arg;
    whorl_event_set(&e);
    whorl_scope_open(&s);
    whorl_scope_cancel(&s, NULL);
    CHECK_EQ(whorl_event_wait(&e), 0);
    whorl_event_clear(&e);
    CHECK_EQ(whorl_event_wait(&e), -ECANCELED);
    CHECK_EQ(whorl_event_wait(&e), -ECANCELED);
    CHECK_EQ(whorl_scope_close(&s), -ECANCELED);
    return 0;
}

TEST(event, what_is_there_wins_over_a_request_to_stop)
{
    run_everywhere(wait_when_set, NULL);
}

static intptr_t set_it(void *arg)
{
    whorl_event_set(arg);
    return 0;
}

/* The event is on the stack of who waits: freed as soon as it is let go, by the sanitizer's lights. */
static intptr_t wait_on_heap(void *arg)
{
    for (int i = 0; i < 100; i++) {
        struct whorl_event *e = calloc(1, sizeof *e);
        struct whorl_task *t = whorl_spawn(set_it, e);

        if (test_random(arg) % 2)
            whorl_yield();
        CHECK_EQ(whorl_event_wait(e), 0);
        free(e);
        CHECK_EQ(whorl_join(t, NULL), 0);
    }
    return 0;
}

TEST(event, may_be_freed_by_who_was_let_go)
{
    uint64_t random = test_seed();

    run_everywhere(wait_on_heap, &random);
}

/* Very many. They are in a scope, whose children need no handles. */

struct crowd {
    struct whorl_event event;
    size_t size, came, let_go, cancelled;
};

static intptr_t stand_in_crowd(void *arg)
{
    struct crowd *c = arg;
    int err;

    c->came++;
    err = whorl_event_wait(&c->event);
    c->let_go += err == 0;
    c->cancelled += err == -ECANCELED;
    return err;
}

static intptr_t gather_crowd(void *arg)
{
    struct crowd *c = arg;
    struct whorl_spawn_options small = {.size = sizeof small, .stack_size = 4096};
    struct whorl_scope s;

    whorl_scope_open(&s);
    for (size_t i = 0; i < c->size; i++) {
        if (!CHECK_EQ(whorl_scope_spawn_with(&s, stand_in_crowd, c, &small), 0))
            break;
        if (i % 256 == 0)
            whorl_yield();
    }
    while (c->came < c->size)
        whorl_yield();
    CHECK_EQ(whorl_sleep(1), 0);
    CHECK_EQ(c->let_go + c->cancelled, 0);
    whorl_event_set(&c->event);
    CHECK_EQ(whorl_scope_close(&s), 0);
    CHECK_EQ(c->let_go, c->size);
    return 0;
}

/* Where each guard is a mapping, as before Linux 6.13, some 31,000 stacks are all there are. */
static bool are_stacks_many(void)
{
    const char *disabled = getenv("WHORL_DISABLE");
    long page = sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool guards = CHECK(p != MAP_FAILED) && madvise(p, (size_t)page, 102 /* MADV_GUARD_INSTALL */) == 0;

    munmap(p, (size_t)page);
    return guards && !(disabled && strstr(disabled, "guard_install"));
}

/* A million when many seeds are asked for: 4 GB, and half a minute where memory is slow to come. */
TEST(event, a_million_wait_for_it, .timeout = 100)
{
    struct crowd c = {.size = MANY(1000 * (test_seeds(50) < 1000 ? test_seeds(50) : 1000), 2000)};

    if (!are_stacks_many() && c.size > 20000)
        c.size = 20000;
    CHECK_EQ(null_run_real(gather_crowd, &c, NULL), 0);
}

static intptr_t cancel_crowd(void *arg)
{
    struct crowd *c = arg;
    struct whorl_scope s;

    whorl_scope_open(&s);
    for (size_t i = 0; i < c->size; i++)
        if (!CHECK_EQ(whorl_scope_spawn(&s, stand_in_crowd, c), 0))
            break;
    CHECK_EQ(whorl_sleep(1), 0);
    CHECK_EQ(c->came, c->size);
    whorl_scope_cancel(&s, NULL);
    whorl_event_set(&c->event);
    CHECK_EQ(whorl_scope_close(&s), -ECANCELED);
    CHECK_EQ(c->let_go + c->cancelled, c->size);
    return 0;
}

TEST(event, a_crowd_that_is_cancelled_leaves_at_once, .timeout = 100)
{
    for (uint64_t i = 0; i < 4; i++) {
        struct crowd c = {.size = MANY(5000, 1000)};

        CHECK_EQ(null_run(cancel_crowd, &c, &(struct whorl_options){.workers = 1 + (int)i, .seed = test_seed() + i}), 0);
    }
}

/* Seeds: a task waits, others set, clear and cancel it. Each wait ends, by a set or by a request. */

struct race {
    struct whorl_event event;
    uint64_t random;
    unsigned waiting, sets, requests, cancelled, let_go;
};

static intptr_t wait_often(void *arg)
{
    struct race *r = arg;

    for (int i = 0; i < 4; i++) {
        int err;

        r->waiting++;
        err = whorl_event_wait(&r->event);
        r->waiting--;
        CHECK(err == 0 || err == -ECANCELED);
        r->cancelled += err != 0;
        r->let_go += err == 0;
        if (test_random(&r->random) % 2)
            whorl_yield();
    }
    return 0;
}

static intptr_t race(void *arg)
{
    struct race *r = arg;
    struct whorl_task *tasks[3];
    unsigned ended = 0;

    for (int i = 0; i < 3; i++)
        tasks[i] = whorl_spawn(wait_often, r);
    while (ended < 3) {
        struct whorl_task *t = tasks[test_random(&r->random) % 3];

        switch (test_random(&r->random) % 4) {
        case 0:
            whorl_event_set(&r->event);
            break;
        case 1:
            whorl_event_clear(&r->event);
            break;
        case 2:
            if (whorl_result(t, NULL) == -EINPROGRESS) {
                r->requests++;
                whorl_cancel(t);
            }
            break;
        default:
            whorl_sleep((whorl_ns)(test_random(&r->random) % 3));
        }
        ended = 0;
        for (int i = 0; i < 3; i++)
            ended += whorl_result(tasks[i], NULL) == 0;
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(r->waiting, 0);
    CHECK_EQ(r->let_go + r->cancelled, 12);
    CHECK(r->cancelled <= r->requests);
    CHECK(nobody_waits(&r->event.waiters));
    return 0;
}

TEST(event, races_of_setting_clearing_and_cancelling_lose_nothing, .timeout = 100)
{
    for (unsigned i = 0; i < test_seeds(MANY(5000, 500)); i++) {
        struct race r = {.random = test_seed() + i};

        if (!CHECK_EQ(null_run(race, &r, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0))
            return;
    }
}

static void wait_when_it_is_set(void *e)
{
    CHECK_EQ(whorl_event_wait(e), 0);
}

TEST(event, who_never_waits_for_it_lets_others_run)
{
    check_lets_others_run(wait_when_it_is_set, &(struct whorl_event){.set = 1});
}
