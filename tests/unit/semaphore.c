/* SPDX-License-Identifier: MIT */
/* Semaphores: never more than there are permits, in the order of coming, and none is lost. */
#include "sync.h"

/* Tasks that come a millisecond apart, take some, keep them for a second. */
struct pool {
    struct whorl_semaphore semaphore;
    int order[8], had;
    int64_t out, most_out;
};

struct taker {
    struct pool *pool;
    int number;
    size_t wants;
};

static void count_out(struct pool *p, int64_t change)
{
    p->out += change;
    if (p->out > p->most_out)
        p->most_out = p->out;
}

static intptr_t take_and_give(void *arg)
{
    struct taker *t = arg;
    struct pool *p = t->pool;
    int err = whorl_sleep(WHORL_MS(t->number));

    if (!err)
        err = whorl_semaphore_acquire_many(&p->semaphore, t->wants);
    if (err)
        return err;
    p->order[p->had++] = t->number;
    count_out(p, (int64_t)t->wants);
    whorl_sleep(WHORL_SEC(1));
    count_out(p, -(int64_t)t->wants);
    CHECK_EQ(whorl_semaphore_release_many(&p->semaphore, t->wants), 0);
    return 0;
}

static intptr_t share_three(void *arg)
{
    struct pool p = {.had = 0};
    struct taker takers[7];
    struct whorl_scope s;

    (void)arg;
    whorl_semaphore_init(&p.semaphore, 3);
    whorl_scope_open(&s);
    for (int i = 0; i < 7; i++) {
        takers[i] = (struct taker){&p, i, 1};
        CHECK_EQ(whorl_scope_spawn(&s, take_and_give, &takers[i]), 0);
    }
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    CHECK_EQ(whorl_semaphore_try_acquire(&p.semaphore), -EAGAIN);
    CHECK_EQ(whorl_scope_close(&s), 0);
    CHECK(at(WHORL_SEC(3)));
    CHECK_EQ(p.most_out, 3);
    for (int i = 0; i < 7; i++)
        CHECK_EQ(p.order[i], i);
    CHECK_EQ(p.semaphore.permits.free, 3);
    CHECK_EQ(whorl_semaphore_try_acquire(&p.semaphore), 0);
    CHECK_EQ(p.semaphore.permits.free, 2);
    return 0;
}

TEST(semaphore, lets_so_many_in_and_the_others_in_the_order_of_coming)
{
    run_everywhere(share_three, NULL);
}

static intptr_t want_many(void *arg)
{
    struct pool p = {.had = 0};
    struct taker takers[] = {{&p, 0, 2}, {&p, 1, 3}, {&p, 2, 1}, {&p, 3, 1}};
    struct whorl_scope s;

    (void)arg;
    whorl_semaphore_init(&p.semaphore, 3);
    whorl_scope_open(&s);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(whorl_scope_spawn(&s, take_and_give, &takers[i]), 0);
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    CHECK_EQ(whorl_semaphore_try_acquire(&p.semaphore), -EAGAIN); /* there is one, but who wants three was first */
    CHECK_EQ(whorl_scope_close(&s), 0);
    CHECK_EQ(p.had, 4);
    CHECK(p.order[0] == 0 && p.order[1] == 1 && p.order[2] + p.order[3] == 5); /* the last two together */
    CHECK(at(WHORL_SEC(3)));
    return 0;
}

TEST(semaphore, nobody_passes_one_who_wants_more)
{
    run_everywhere(want_many, NULL);
}

static intptr_t leave(void *arg)
{
    struct pool p = {.had = 0};
    struct taker takers[] = {{&p, 0, 2}, {&p, 1, 3}, {&p, 2, 1}, {&p, 3, 1}};
    struct whorl_task *tasks[4];
    intptr_t result;

    (void)arg;
    whorl_semaphore_init(&p.semaphore, 3);
    for (int i = 0; i < 4; i++)
        tasks[i] = whorl_spawn(take_and_give, &takers[i]);
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    whorl_cancel(tasks[1]); /* behind whom one waits that can be served then */
    CHECK_EQ(whorl_join(tasks[1], &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    CHECK_EQ(p.had, 2);
    CHECK_EQ(p.order[1], 2);
    for (int i = 0; i < 4; i++)
        if (i != 1)
            CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK(at(WHORL_SEC(2)));
    CHECK_EQ(p.semaphore.permits.free, 3);
    return 0;
}

TEST(semaphore, who_leaves_the_line_lets_the_next_one_in)
{
    run_everywhere(leave, NULL);
}

static intptr_t acquire_it(void *arg)
{
    return whorl_semaphore_acquire(arg);
}

static intptr_t cancel_served(void *arg)
{
    struct whorl_semaphore sem = {0};
    struct whorl_task *t = whorl_spawn(acquire_it, &sem);
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_sleep(1), 0);
    CHECK_EQ(whorl_semaphore_release(&sem), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, 0); /* it has it */
    CHECK_EQ(sem.permits.free, 0);
    CHECK_EQ(whorl_wait_for(acquire_it, &sem, WHORL_SEC(1), &result), -ETIMEDOUT);
    CHECK(at(WHORL_SEC(1)));
    CHECK_EQ(whorl_semaphore_release(&sem), 0);
    CHECK_EQ(sem.permits.free, 1);
    return 0;
}

TEST(semaphore, a_permit_that_was_handed_over_is_kept)
{
    run_everywhere(cancel_served, NULL);
}

TEST(semaphore, a_bounded_one_reports_what_is_released_too_often)
{
    struct whorl_semaphore s;

    whorl_semaphore_init_bounded(&s, 2);
    CHECK_EQ(whorl_semaphore_release(&s), -EOVERFLOW);
    CHECK_EQ(whorl_semaphore_acquire(&s), 0);
    CHECK_EQ(whorl_semaphore_release_many(&s, 2), -EOVERFLOW);
    CHECK_EQ(s.permits.free, 1);
    CHECK_EQ(whorl_semaphore_release(&s), 0);
    CHECK_EQ(whorl_semaphore_release(&s), -EOVERFLOW);
    CHECK_EQ(whorl_semaphore_acquire_many(&s, 3), -EINVAL);
    CHECK_EQ(whorl_semaphore_acquire_many(&s, 2), 0);
    CHECK_EQ(s.permits.free, 0);
    whorl_semaphore_init(&s, INT64_MAX);
    CHECK_EQ(whorl_semaphore_release(&s), -EOVERFLOW);
    CHECK_EQ(whorl_semaphore_release_many(&s, SIZE_MAX), -EOVERFLOW);
    CHECK_EQ(whorl_semaphore_acquire_many(&s, SIZE_MAX), -EINVAL);
}

static intptr_t init_too_many(void *arg)
{
    (void)arg;
    whorl_semaphore_init(&(struct whorl_semaphore){.bound = 0}, SIZE_MAX);
    return 0;
}

static intptr_t init_bounded_zero(void *arg)
{
    (void)arg;
    whorl_semaphore_init_bounded(&(struct whorl_semaphore){.bound = 0}, 0);
    return 0;
}

static intptr_t acquire_without_suspending(void *arg)
{
    struct whorl_semaphore s;

    (void)arg;
    whorl_semaphore_init(&s, 1);
    whorl_no_suspend_begin();
    CHECK_EQ(whorl_semaphore_try_acquire(&s), 0);
    return whorl_semaphore_acquire(&s);
}

TEST(semaphore, mistakes_abort)
{
    static const struct mistake mistakes[] = {
        {init_too_many, "whorl: whorl_semaphore_init was given 18446744073709551615 permits: that is more than there can be"},
        {init_bounded_zero, "whorl: whorl_semaphore_init_bounded was given 0 permits: nothing could ever be released into it"},
        {acquire_without_suspending, "whorl: whorl_semaphore_acquire"},
    };

    check_mistakes(mistakes, sizeof mistakes / sizeof *mistakes);
}

/* Seeds. */

enum { TAKERS = 4, TIMES = 4, PERMITS = 3 };

struct race {
    struct whorl_semaphore semaphore;
    uint64_t random;
    int64_t out;
    unsigned requests, cancelled;
};

static uint64_t draw(struct race *r, uint64_t n)
{
    return test_random(&r->random) % n;
}

static intptr_t take_often(void *arg)
{
    struct race *r = arg;

    for (int i = 0; i < TIMES; i++) {
        size_t wants = 1 + draw(r, PERMITS);
        bool try = wants == 1 && draw(r, 2);
        int err = try ? whorl_semaphore_try_acquire(&r->semaphore) : whorl_semaphore_acquire_many(&r->semaphore, wants);

        CHECK(err == 0 || err == (try ? -EAGAIN : -ECANCELED));
        r->cancelled += err == -ECANCELED;
        if (err == 0) {
            r->out += (int64_t)wants;
            CHECK(r->out <= PERMITS);
            if (draw(r, 2))
                r->cancelled += whorl_sleep((whorl_ns)draw(r, 3)) != 0;
            r->out -= (int64_t)wants;
            CHECK_EQ(whorl_semaphore_release_many(&r->semaphore, wants), 0);
        }
    }
    return 0;
}

static intptr_t race(void *arg)
{
    struct race *r = arg;
    struct whorl_task *tasks[TAKERS];

    whorl_semaphore_init_bounded(&r->semaphore, PERMITS);
    for (int i = 0; i < TAKERS; i++)
        tasks[i] = whorl_spawn(take_often, r);
    for (uint64_t n = draw(r, 20); n > 0; n--) {
        struct whorl_task *t = tasks[draw(r, TAKERS)];

        if (draw(r, 2))
            whorl_sleep((whorl_ns)draw(r, 3));
        if (whorl_result(t, NULL) == -EINPROGRESS) {
            r->requests++;
            whorl_cancel(t);
        }
    }
    for (int i = 0; i < TAKERS; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(r->out, 0);
    CHECK_EQ(r->semaphore.permits.free, PERMITS);
    CHECK(nobody_waits(&r->semaphore.permits.waiters));
    CHECK(r->cancelled <= r->requests);
    return 0;
}

TEST(semaphore, races_of_taking_giving_and_cancelling_lose_nothing, .timeout = 100)
{
    for (unsigned i = 0; i < test_seeds(MANY(5000, 500)); i++) {
        struct race r = {.random = test_seed() + i};

        if (!CHECK_EQ(null_run(race, &r, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0))
            return;
    }
}

static void take_and_put_back(void *s)
{
    CHECK_EQ(whorl_semaphore_acquire(s), 0);
    CHECK_EQ(whorl_semaphore_release(s), 0);
}

TEST(semaphore, who_never_waits_for_it_lets_others_run)
{
    struct whorl_semaphore s;

    whorl_semaphore_init(&s, 1);
    check_lets_others_run(take_and_put_back, &s);
}
