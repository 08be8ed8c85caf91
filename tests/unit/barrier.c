/* SPDX-License-Identifier: MIT */
/* Barriers: nobody goes on before all have come, and nobody hangs when one will not. */
#include "sync.h"

enum { PARTIES = 4, ROUNDS = 5 };

struct march {
    struct whorl_barrier barrier;
    uint64_t random;
    int rounds[PARTIES];     /* how far each has come */
    unsigned places[ROUNDS]; /* bits */
};

struct party {
    struct march *march;
    int number;
    int err;
};

static intptr_t walk(void *arg)
{
    struct party *p = arg;
    struct march *m = p->march;

    for (int round = 0; round < ROUNDS; round++) {
        int place;

        if (test_random(&m->random) % 2)
            CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&m->random) % 100)), 0);
        m->rounds[p->number] = round + 1;
        place = whorl_barrier_wait(&m->barrier);
        if (!CHECK(place >= 0 && place < PARTIES))
            return place;
        CHECK(!(m->places[round] & 1u << place));
        m->places[round] |= 1u << place;
        for (int i = 0; i < PARTIES; i++)
            CHECK(m->rounds[i] == round + 1 || m->rounds[i] == round + 2);
    }
    return 0;
}

static intptr_t walk_together(void *arg)
{
    struct march m = {.random = test_seed()};
    struct party parties[PARTIES];
    struct whorl_scope s;

    (void)arg;
    whorl_barrier_init(&m.barrier, PARTIES);
    whorl_scope_open(&s);
    for (int i = 0; i < PARTIES; i++) {
        parties[i] = (struct party){.march = &m, .number = i};
        CHECK_EQ(whorl_scope_spawn(&s, walk, &parties[i]), 0);
    }
    CHECK_EQ(whorl_scope_close(&s), 0);
    for (int i = 0; i < ROUNDS; i++)
        CHECK_EQ(m.places[i], (1u << PARTIES) - 1);
    CHECK(nobody_waits(&m.barrier.waiters));
    return 0;
}

TEST(barrier, nobody_goes_on_before_all_have_come)
{
    run_everywhere(walk_together, NULL);
}

static intptr_t wait_once(void *arg)
{
    return whorl_barrier_wait(arg);
}

static intptr_t cancel_party(void *arg)
{
    struct whorl_barrier b;
    struct whorl_task *tasks[4];
    intptr_t result;

    (void)arg;
    whorl_barrier_init(&b, 4);
    for (int i = 0; i < 3; i++)
        tasks[i] = whorl_spawn(wait_once, &b);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(tasks[1]);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(whorl_join(tasks[i], &result), 0);
        CHECK_EQ(result, i == 1 ? -ECANCELED : -EPIPE);
    }
    CHECK(at(WHORL_SEC(1)));
    CHECK_EQ(whorl_barrier_wait(&b), -EPIPE); /* the fourth comes later */
    whorl_barrier_reset(&b);
    for (int i = 0; i < 3; i++)
        tasks[i] = whorl_spawn(wait_once, &b);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    CHECK_EQ(whorl_barrier_wait(&b), 3);
    whorl_cancel(tasks[0]); /* too late */
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(whorl_join(tasks[i], &result), 0);
        CHECK(result >= 0);
    }
    return 0;
}

TEST(barrier, a_party_that_is_cancelled_breaks_it_for_all)
{
    run_everywhere(cancel_party, NULL);
}

static intptr_t run_out_of_time(void *arg)
{
    struct whorl_barrier b;
    struct whorl_task *t;
    intptr_t result;

    (void)arg;
    whorl_barrier_init(&b, 3);
    t = whorl_spawn(wait_once, &b);
    CHECK_EQ(whorl_wait_for(wait_once, &b, WHORL_SEC(1), &result), -ETIMEDOUT);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, -EPIPE);
    whorl_barrier_reset(&b);
    t = whorl_spawn(wait_once, &b);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_barrier_break(&b);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, -EPIPE);
    whorl_barrier_reset(&b);
    t = whorl_spawn(wait_once, &b);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_barrier_reset(&b);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, -EPIPE);
    CHECK_EQ(b.waiting, 0);
    CHECK_EQ(b.broken, 0);
    return 0;
}

TEST(barrier, so_does_a_deadline_and_one_may_break_or_reset_it)
{
    run_everywhere(run_out_of_time, NULL);
}

static intptr_t init_no_parties(void *arg)
{
    (void)arg;
    whorl_barrier_init(&(struct whorl_barrier){.parties = 0}, 0);
    return 0;
}

static intptr_t wait_at_none(void *arg)
{
    (void)arg;
    return whorl_barrier_wait(&(struct whorl_barrier){.parties = 0});
}

TEST(barrier, mistakes_abort)
{
    static const struct mistake mistakes[] = {
        {init_no_parties, "whorl: whorl_barrier_init was given 0 parties: want 1 to 2147483647"},
        {wait_at_none, "whorl: whorl_barrier_wait was given a barrier without parties: call whorl_barrier_init before"},
    };

    check_mistakes(mistakes, sizeof mistakes / sizeof *mistakes);
}

/* Seeds: parties walk, one is cancelled at whatever point. All end; either all have walked all rounds, or it is broken. */

static intptr_t walk_until_broken(void *arg)
{
    struct party *p = arg;
    struct march *m = p->march;

    for (int round = 0; round < ROUNDS && p->err >= 0; round++) {
        if (test_random(&m->random) % 2)
            whorl_yield();
        m->rounds[p->number] = round + 1;
        p->err = whorl_barrier_wait(&m->barrier);
        for (int i = 0; p->err >= 0 && i < PARTIES; i++)
            CHECK(m->rounds[i] >= round + 1);
    }
    return 0;
}

static intptr_t race(void *arg)
{
    struct march *m = arg;
    struct party parties[PARTIES];
    struct whorl_task *tasks[PARTIES];
    int victim = (int)(test_random(&m->random) % PARTIES), broken = 0;

    whorl_barrier_init(&m->barrier, PARTIES);
    for (int i = 0; i < PARTIES; i++) {
        parties[i] = (struct party){.march = m, .number = i};
        tasks[i] = whorl_spawn(walk_until_broken, &parties[i]);
    }
    for (uint64_t n = test_random(&m->random) % 40; n > 0; n--)
        whorl_yield();
    whorl_cancel(tasks[victim]);
    for (int i = 0; i < PARTIES; i++) {
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
        CHECK(parties[i].err >= 0 || parties[i].err == (i == victim ? -ECANCELED : -EPIPE));
        broken += parties[i].err < 0;
    }
    CHECK(parties[victim].err < 0 ? broken == PARTIES : broken == 0);
    CHECK_EQ(m->barrier.broken, broken > 0);
    CHECK(nobody_waits(&m->barrier.waiters));
    return 0;
}

TEST(barrier, races_of_waiting_and_cancelling_let_nobody_hang, .timeout = 100)
{
    for (unsigned i = 0; i < test_seeds(MANY(5000, 500)); i++) {
        struct march m = {.random = test_seed() + i};

        if (!CHECK_EQ(null_run(race, &m, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0))
            return;
    }
}
