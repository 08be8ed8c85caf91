/* SPDX-License-Identifier: MIT */
/* Rate limiters, to the nanosecond of the virtual clock. */
#include "sync.h"

static intptr_t seven_a_second(void *arg)
{
    struct whorl_limiter l;

    (void)arg;
    CHECK_EQ(whorl_limiter_init(&l, 7, WHORL_SEC(1), 3), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(100)), 0); /* no more than three are saved up */
    for (int i = 0; i < 3; i++)
        CHECK_EQ(whorl_limiter_acquire(&l), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(100));
    CHECK_EQ(whorl_limiter_try_acquire(&l), -EAGAIN);
    for (int64_t i = 1; i <= 7000; i++) {
        CHECK_EQ(whorl_limiter_acquire(&l), 0);
        CHECK_EQ(whorl_now(), WHORL_SEC(100) + (i * WHORL_SEC(1) + 6) / 7); /* rounded up each time, never further */
    }
    CHECK_EQ(whorl_now(), WHORL_SEC(1100));
    CHECK_EQ(whorl_sleep((WHORL_SEC(1) + 6) / 7 - 1), 0);
    CHECK_EQ(whorl_limiter_try_acquire(&l), -EAGAIN);
    CHECK_EQ(whorl_sleep(1), 0);
    CHECK_EQ(whorl_limiter_try_acquire(&l), 0);
    CHECK_EQ(whorl_limiter_try_acquire(&l), -EAGAIN);
    return 0;
}

TEST(limiter, keeps_the_rate_exactly)
{
    for (int workers = 1; workers <= 4; workers++)
        CHECK_EQ(null_run(seven_a_second, NULL, &(struct whorl_options){.workers = workers}), 0);
}

struct client {
    struct whorl_limiter *limiter;
    int number;
    int64_t tokens;
    whorl_ns when;
};

static intptr_t request(void *arg)
{
    struct client *c = arg;
    int err = whorl_sleep(WHORL_MS(c->number));

    if (!err)
        err = whorl_limiter_acquire_many(c->limiter, c->tokens);
    c->when = whorl_now();
    return err;
}

static intptr_t in_turn(void *arg)
{
    struct whorl_limiter l;
    struct client clients[] = {{&l, 0, 5, 0}, {&l, 1, 4, 0}, {&l, 2, 1, 0}, {&l, 3, 2, 0}};
    struct whorl_task *tasks[4];
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_limiter_init(&l, 1, WHORL_SEC(1), 5), 0);
    for (int i = 0; i < 4; i++)
        tasks[i] = whorl_spawn(request, &clients[i]);
    CHECK_EQ(whorl_sleep(WHORL_MS(2500)), 0);
    CHECK_EQ(whorl_limiter_try_acquire(&l), -EAGAIN); /* there are two, for the second */
    for (int i = 0; i < 4; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(clients[0].when, 0);
    CHECK_EQ(clients[1].when, WHORL_SEC(4));
    CHECK_EQ(clients[2].when, WHORL_SEC(5));
    CHECK_EQ(clients[3].when, WHORL_SEC(7));
    /* Who is cancelled has taken nothing, and those behind it come the earlier. */
    for (int i = 1; i < 4; i++)
        tasks[i] = whorl_spawn(request, &clients[i]);
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    whorl_cancel(tasks[3]);
    CHECK_EQ(whorl_join(tasks[3], &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(tasks[1]);
    CHECK_EQ(whorl_join(tasks[1], &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(whorl_join(tasks[2], &result), 0);
    CHECK_EQ(result, 0);
    CHECK_EQ(clients[2].when, WHORL_MS(8500)); /* of the one and a half that have come meanwhile */
    CHECK_EQ(l.line.word, 0);
    CHECK_EQ(l.level, WHORL_MS(500));
    return 0;
}

TEST(limiter, serves_in_the_order_of_coming_and_loses_no_token_of_who_is_cancelled)
{
    for (int workers = 1; workers <= 4; workers++)
        CHECK_EQ(null_run(in_turn, NULL, &(struct whorl_options){.workers = workers}), 0);
}

static intptr_t wait_for_token(void *arg)
{
    return whorl_limiter_acquire(arg);
}

static intptr_t run_out_of_time(void *arg)
{
    struct whorl_limiter l;
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_limiter_init(&l, 1, WHORL_SEC(10), 1), 0);
    CHECK_EQ(whorl_limiter_acquire(&l), 0);
    CHECK_EQ(whorl_wait_for(wait_for_token, &l, WHORL_SEC(4), &result), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_SEC(4));
    CHECK_EQ(whorl_limiter_acquire(&l), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(10));
    CHECK_EQ(whorl_limiter_acquire_many(&l, 0), 0);
    CHECK_EQ(whorl_limiter_acquire_many(&l, 2), -EINVAL);
    CHECK_EQ(whorl_limiter_acquire_many(&l, -1), -EINVAL);
    return 0;
}

TEST(limiter, a_deadline_ends_the_wait)
{
    CHECK_EQ(null_run(run_out_of_time, NULL, NULL), 0);
}

static intptr_t go_to_extremes(void *arg)
{
    struct whorl_limiter l;

    (void)arg;
    CHECK_EQ(whorl_limiter_init(&l, 0, 1, 1), -EINVAL);
    CHECK_EQ(whorl_limiter_init(&l, 1, 0, 1), -EINVAL);
    CHECK_EQ(whorl_limiter_init(&l, 1, 1, 0), -EINVAL);
    CHECK_EQ(whorl_limiter_init(&l, 1, WHORL_NEVER / 2, 2), -EINVAL);
    CHECK_EQ(whorl_limiter_init(&l, INT64_MAX, 1, 1), -EINVAL);
    CHECK_EQ(whorl_limiter_init(&l, INT64_MAX / 2, 1, INT64_MAX / 2), 0);
    CHECK_EQ(whorl_limiter_acquire_many(&l, INT64_MAX / 2), 0);
    CHECK_EQ(whorl_limiter_acquire_many(&l, INT64_MAX / 2), 0);
    CHECK_EQ(whorl_now(), 1);
    CHECK_EQ(whorl_limiter_init(&l, 1, WHORL_NEVER / 2, 1), 0);
    CHECK_EQ(whorl_limiter_acquire(&l), 0);
    CHECK_EQ(whorl_sleep(WHORL_NEVER / 2 - 1), 0);
    CHECK_EQ(whorl_limiter_try_acquire(&l), -EAGAIN);
    CHECK_EQ(whorl_limiter_acquire(&l), 0);
    CHECK_EQ(whorl_now(), WHORL_NEVER / 2 + 1);
    return 0;
}

TEST(limiter, numbers_may_be_large_and_wrong_ones_are_told)
{
    CHECK_EQ(null_run(go_to_extremes, NULL, NULL), 0);
}

static intptr_t acquire_from_none(void *arg)
{
    struct whorl_limiter l = {.count = 0};

    (void)arg;
    return whorl_limiter_acquire(&l);
}

static intptr_t try_none(void *arg)
{
    struct whorl_limiter l = {.count = 0};

    (void)arg;
    return whorl_limiter_try_acquire(&l);
}

TEST(limiter, one_without_a_rate_aborts)
{
    static const struct mistake mistakes[] = {
        {acquire_from_none,
         "whorl: whorl_limiter_acquire was given a limiter that lets nothing pass: call whorl_limiter_init before"},
        {try_none, "whorl: whorl_limiter_try_acquire was given a limiter that lets nothing pass: call whorl_limiter_init before"},
    };

    check_mistakes(mistakes, sizeof mistakes / sizeof *mistakes);
}

/* Seeds: in no stretch of time does more pass than the burst and what comes in it, whoever is cancelled; and in the end all that
 * has come is there. */

enum { CLIENTS = 4, TIMES = 3, BURST = 3, PERIOD = 100 };

struct race {
    struct whorl_limiter limiter;
    uint64_t random;
    struct {
        whorl_ns when;
        int64_t tokens;
    } passed[CLIENTS * TIMES];
    int count;
};

static intptr_t pass_often(void *arg)
{
    struct race *r = arg;

    for (int i = 0; i < TIMES; i++) {
        int64_t tokens = 1 + (int64_t)(test_random(&r->random) % BURST);
        int err = whorl_limiter_acquire_many(&r->limiter, tokens);

        CHECK(err == 0 || err == -ECANCELED);
        if (err == 0) {
            r->passed[r->count].when = whorl_now();
            r->passed[r->count++].tokens = tokens;
        }
    }
    return 0;
}

static void check_rate(const struct race *r)
{
    for (int from = 0; from < r->count; from++) {
        int64_t sum = 0;

        for (int to = from; to < r->count; to++) {
            sum += r->passed[to].tokens;
            CHECK(sum * PERIOD <= BURST * PERIOD + (r->passed[to].when - r->passed[from].when));
        }
    }
}

static intptr_t race(void *arg)
{
    struct race *r = arg;
    struct whorl_task *tasks[CLIENTS];
    int64_t passed = 0;

    CHECK_EQ(whorl_limiter_init(&r->limiter, 1, PERIOD, BURST), 0);
    for (int i = 0; i < CLIENTS; i++)
        tasks[i] = whorl_spawn(pass_often, r);
    for (uint64_t n = test_random(&r->random) % 10; n > 0; n--) {
        struct whorl_task *t = tasks[test_random(&r->random) % CLIENTS];

        whorl_sleep((whorl_ns)(test_random(&r->random) % (2 * PERIOD)));
        if (whorl_result(t, NULL) == -EINPROGRESS)
            whorl_cancel(t);
    }
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    check_rate(r);
    for (int i = 0; i < r->count; i++)
        passed += r->passed[i].tokens;
    CHECK_EQ(r->limiter.line.word, 0);
    /* Without a pause that fills it the level is what has come less what has passed: nobody who was cancelled has taken any. */
    CHECK(r->limiter.level >= BURST * PERIOD - passed * PERIOD);
    CHECK(r->limiter.level <= r->limiter.seen + BURST * PERIOD - passed * PERIOD || r->limiter.level == BURST * PERIOD);
    return 0;
}

TEST(limiter, races_of_passing_and_cancelling_keep_the_rate, .timeout = 100)
{
    for (unsigned i = 0; i < test_seeds(MANY(3000, 300)); i++) {
        struct race r = {.random = test_seed() + i};

        if (!CHECK_EQ(null_run(race, &r, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0))
            return;
    }
}
