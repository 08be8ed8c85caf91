/* SPDX-License-Identifier: MIT */
/* Conditions: no notification is missed or lost, and the mutex is held again in any case. */
#include "sync.h"

/* A box for one thing, and who has looked into it. */
struct box {
    struct whorl_mutex mutex;
    struct whorl_condition changed;
    int things, waiting;
};

static intptr_t take_thing(void *arg)
{
    struct box *b = arg;
    int err = whorl_mutex_lock(&b->mutex);

    if (err)
        return err;
    b->waiting++;
    while (!err && b->things == 0)
        err = whorl_condition_wait(&b->changed, &b->mutex);
    b->waiting--;
    b->things -= err == 0;
    CHECK_EQ(whorl_mutex_try_lock(&b->mutex), -EBUSY); /* it is held, whatever has happened */
    whorl_mutex_unlock(&b->mutex);
    return err;
}

static void add_things(struct box *b, int count, bool all)
{
    CHECK_EQ(whorl_mutex_lock(&b->mutex), 0);
    b->things += count;
    if (all)
        whorl_condition_notify_all(&b->changed);
    else
        whorl_condition_notify(&b->changed);
    whorl_mutex_unlock(&b->mutex);
}

static intptr_t notify(void *arg)
{
    struct box b = {.things = 0};
    struct whorl_task *tasks[5];

    (void)arg;
    whorl_condition_notify_all(&b.changed); /* nobody */
    for (int i = 0; i < 5; i++) {
        tasks[i] = whorl_spawn(take_thing, &b);
        CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    }
    add_things(&b, 1, false);
    CHECK_EQ(whorl_join(tasks[0], NULL), 0); /* who has waited longest */
    CHECK_EQ(b.waiting, 4);
    add_things(&b, 3, true);
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    CHECK_EQ(b.things, 0);
    CHECK_EQ(b.waiting, 1);
    add_things(&b, 1, true);
    for (int i = 1; i < 5; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK(nobody_waits(&b.changed.waiters));
    CHECK_EQ(b.mutex.word, 0);
    return 0;
}

TEST(condition, lets_one_go_or_all)
{
    run_everywhere(notify, NULL);
}

static intptr_t cancel_waiter(void *arg)
{
    struct box b = {.things = 0};
    struct whorl_task *t = whorl_spawn(take_thing, &b);
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    CHECK_EQ(whorl_mutex_lock(&b.mutex), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    CHECK_EQ(whorl_result(t, NULL), -EINPROGRESS); /* it needs the mutex first */
    whorl_cancel(t);                               /* which it gets though it is cancelled again */
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    CHECK_EQ(whorl_result(t, NULL), -EINPROGRESS);
    whorl_mutex_unlock(&b.mutex);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK(at(WHORL_SEC(3)));
    CHECK_EQ(whorl_wait_for(take_thing, &b, WHORL_SEC(1), &result), -ETIMEDOUT);
    CHECK(at(WHORL_SEC(4)));
    CHECK_EQ(b.mutex.word, 0);
    return 0;
}

TEST(condition, the_mutex_is_held_again_also_when_cancelled)
{
    run_everywhere(cancel_waiter, NULL);
}

static intptr_t cancel_notified(void *arg)
{
    struct box b = {.things = 0};
    struct whorl_task *first = whorl_spawn(take_thing, &b), *second;
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_sleep(1), 0);
    second = whorl_spawn(take_thing, &b);
    CHECK_EQ(whorl_sleep(1), 0);
    add_things(&b, 1, false);
    whorl_cancel(first); /* it has been told: the other one will not be */
    CHECK_EQ(whorl_join(first, &result), 0);
    CHECK_EQ(result, 0);
    CHECK_EQ(b.things, 0);
    whorl_cancel(second); /* before it is told */
    CHECK_EQ(whorl_sleep(1), 0);
    add_things(&b, 1, false);
    CHECK_EQ(whorl_join(second, &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(b.things, 1);
    return 0;
}

TEST(condition, a_notification_that_has_come_counts)
{
    run_everywhere(cancel_notified, NULL);
}

static intptr_t wait_without_mutex(void *arg)
{
    static struct box b;

    (void)arg;
    return whorl_condition_wait(&b.changed, &b.mutex);
}

static struct box anothers;

static intptr_t lock_box(void *arg)
{
    (void)arg;
    return whorl_mutex_lock_at(&anothers.mutex, "home.c:1");
}

static intptr_t wait_with_anothers(void *arg)
{
    CHECK_EQ(whorl_join(whorl_spawn(lock_box, arg), NULL), 0);
    return whorl_condition_wait(&anothers.changed, &anothers.mutex);
}

TEST(condition, mistakes_abort)
{
    static const struct mistake mistakes[] = {
        {wait_without_mutex, "whorl: whorl_condition_wait was given a mutex that is not locked"},
        {wait_with_anothers, "whorl: whorl_condition_wait was given a mutex that another task has locked, at home.c:1"},
    };

    check_mistakes(mistakes, sizeof mistakes / sizeof *mistakes);
}

/* Seeds: as many things are put in, one notification each, as there are takers; some takers are cancelled. If one notification were
 * lost, a thing would be left over while somebody waits. */

enum { TAKERS = 5 };

struct race {
    struct box box;
    uint64_t random;
};

static uint64_t draw(struct race *r, uint64_t n)
{
    return test_random(&r->random) % n;
}

static intptr_t race(void *arg)
{
    struct race *r = arg;
    struct whorl_task *tasks[TAKERS];
    int put = 0, taken = 0;

    for (int i = 0; i < TAKERS; i++)
        tasks[i] = whorl_spawn(take_thing, &r->box);
    while (put < TAKERS) {
        struct whorl_task *t = tasks[draw(r, TAKERS)];

        if (draw(r, 2))
            whorl_sleep((whorl_ns)draw(r, 3));
        if (draw(r, 2)) {
            add_things(&r->box, 1, false);
            put++;
        } else if (draw(r, 2)) {
            whorl_cancel(t);
        }
        if (draw(r, 3) == 0) {
            whorl_sleep(WHORL_MS(1)); /* all that can go on do */
            CHECK(r->box.things == 0 || r->box.waiting == 0);
        }
    }
    for (int i = 0; i < TAKERS; i++) {
        intptr_t result;

        CHECK_EQ(whorl_join(tasks[i], &result), 0);
        CHECK(result == 0 || result == -ECANCELED);
        taken += result == 0;
    }
    CHECK_EQ(r->box.things, put - taken);
    CHECK(nobody_waits(&r->box.changed.waiters));
    CHECK_EQ(r->box.mutex.word, 0);
    return 0;
}

TEST(condition, races_of_waiting_notifying_and_cancelling_lose_nothing, .timeout = 100)
{
    for (unsigned i = 0; i < test_seeds(MANY(5000, 500)); i++) {
        struct race r = {.random = test_seed() + i};

        if (!CHECK_EQ(null_run(race, &r, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0))
            return;
    }
}
