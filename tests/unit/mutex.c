/* SPDX-License-Identifier: MIT */
/* Mutexes: one holder at a time, in the order of coming, and whoever is cancelled has it or has not. */
#include "sync.h"

#include <stdlib.h>

static bool is_free(const struct whorl_mutex *m)
{
    return !m->word && nobody_waits(&m->waiters);
}

/* Tasks that come one after the other, a millisecond apart, and hold it for a second. */
struct line {
    struct whorl_mutex mutex;
    int order[8], holders, had;
};

struct person {
    struct line *line;
    int number;
};

static intptr_t stand_in_line(void *arg)
{
    struct person *p = arg;
    struct line *l = p->line;
    int err = whorl_sleep(WHORL_MS(p->number));

    if (!err)
        err = whorl_mutex_lock(&l->mutex);
    if (err)
        return err;
    CHECK_EQ(++l->holders, 1);
    l->order[l->had++] = p->number;
    whorl_sleep(WHORL_SEC(1));
    CHECK_EQ(l->holders--, 1);
    whorl_mutex_unlock(&l->mutex);
    return 0;
}

static intptr_t take_turns(void *arg)
{
    struct line l = {.had = 0};
    struct person people[8];
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    for (int i = 0; i < 8; i++) {
        people[i] = (struct person){&l, i};
        CHECK_EQ(whorl_scope_spawn(&s, stand_in_line, &people[i]), 0);
    }
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    CHECK_EQ(whorl_mutex_try_lock(&l.mutex), -EBUSY);
    CHECK_EQ(whorl_scope_close(&s), 0);
    CHECK(at(WHORL_SEC(8)));
    CHECK_EQ(l.had, 8);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(l.order[i], i);
    CHECK(is_free(&l.mutex));
    CHECK_EQ(whorl_mutex_try_lock(&l.mutex), 0);
    CHECK_EQ(whorl_mutex_try_lock(&l.mutex), -EBUSY);
    whorl_mutex_unlock(&l.mutex);
    return 0;
}

TEST(mutex, one_holds_it_at_a_time_in_the_order_of_coming)
{
    run_everywhere(take_turns, NULL);
}

static intptr_t leave_line(void *arg)
{
    struct line l = {.had = 0};
    struct person people[4];
    struct whorl_task *tasks[4];
    intptr_t result;

    (void)arg;
    for (int i = 0; i < 4; i++) {
        people[i] = (struct person){&l, i};
        tasks[i] = whorl_spawn(stand_in_line, &people[i]);
    }
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    whorl_cancel(tasks[3]); /* the last, then the first of those who wait */
    CHECK_EQ(whorl_join(tasks[3], &result), 0);
    CHECK_EQ(result, -ECANCELED);
    whorl_cancel(tasks[1]);
    CHECK_EQ(whorl_join(tasks[1], &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK(at(WHORL_MS(500)));
    CHECK_EQ(whorl_join(tasks[2], &result), 0);
    CHECK_EQ(result, 0);
    CHECK(at(WHORL_SEC(2)));
    CHECK_EQ(whorl_join(tasks[0], NULL), 0);
    CHECK_EQ(l.had, 2);
    CHECK(is_free(&l.mutex));
    return 0;
}

TEST(mutex, who_is_cancelled_leaves_the_line)
{
    run_everywhere(leave_line, NULL);
}

static intptr_t lock_it(void *arg)
{
    struct whorl_mutex *m = arg;
    int err = whorl_mutex_lock(m);

    if (err)
        return err;
    CHECK_EQ(whorl_cancelled(), -ECANCELED); /* the request is for the next wait */
    CHECK_EQ(whorl_sleep(1), -ECANCELED);
    whorl_mutex_unlock(m);
    return 0;
}

static intptr_t cancel_the_next_holder(void *arg)
{
    struct whorl_mutex m = {0};
    struct whorl_task *t = whorl_spawn(lock_it, &m);
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_mutex_lock(&m), 0);
    CHECK_EQ(whorl_sleep(1), 0);
    whorl_mutex_unlock(&m); /* it is the task's, which has yet to learn it */
    whorl_cancel(t);
    CHECK_EQ(whorl_mutex_try_lock(&m), -EBUSY);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, 0);
    CHECK(is_free(&m));
    t = whorl_spawn(lock_it, &m);
    whorl_cancel(t); /* before it begins: a free one is locked all the same */
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, 0);
    return 0;
}

TEST(mutex, one_that_was_handed_over_is_kept_by_who_is_cancelled_then)
{
    run_everywhere(cancel_the_next_holder, NULL);
}

static intptr_t wait_in_a_scope(void *arg)
{
    struct line l = {.had = 0};
    struct person first = {&l, 0};
    struct whorl_task *t = whorl_spawn(stand_in_line, &first);
    struct whorl_scope s;

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_MS(100)), 0);
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_deadline(&s, WHORL_MS(300)), 0);
    CHECK_EQ(whorl_mutex_lock(&l.mutex), -ETIMEDOUT);
    CHECK(at(WHORL_MS(300)));
    CHECK_EQ(whorl_mutex_lock(&l.mutex), -ETIMEDOUT);
    CHECK_EQ(whorl_scope_close(&s), -ETIMEDOUT);
    CHECK_EQ(whorl_mutex_lock(&l.mutex), 0);
    CHECK(at(WHORL_SEC(1)));
    whorl_mutex_unlock(&l.mutex);
    CHECK_EQ(whorl_join(t, NULL), 0);
    return 0;
}

TEST(mutex, a_deadline_ends_the_wait_for_it)
{
    run_everywhere(wait_in_a_scope, NULL);
}

/* An object that is freed by whoever lets go of it last, under its own lock. */
struct object {
    struct whorl_mutex mutex;
    int users;
};

static intptr_t use_and_free(void *arg)
{
    struct object *o = arg;
    bool last;

    CHECK_EQ(whorl_mutex_lock(&o->mutex), 0);
    whorl_yield();
    last = --o->users == 0;
    whorl_mutex_unlock(&o->mutex);
    if (last)
        free(o);
    return 0;
}

static intptr_t share_object(void *arg)
{
    struct object *o = calloc(1, sizeof *o);
    struct whorl_scope s;

    (void)arg;
    o->users = 5;
    whorl_scope_open(&s);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(whorl_scope_spawn(&s, use_and_free, o), 0);
    CHECK_EQ(whorl_scope_close(&s), 0);
    return 0;
}

TEST(mutex, may_be_freed_by_the_last_who_has_unlocked_it)
{
    run_everywhere(share_object, NULL);
}

TEST(mutex, needs_no_runtime)
{
    struct whorl_mutex m = {0};

    CHECK_EQ(whorl_mutex_lock(&m), 0);
    CHECK_EQ(whorl_mutex_try_lock(&m), -EBUSY);
    whorl_mutex_unlock(&m);
    CHECK(is_free(&m));
}

/* Mistakes. */

static struct whorl_mutex clumsy_mutex;

static intptr_t lock_at_home(void *arg)
{
    (void)arg;
    return whorl_mutex_lock_at(&clumsy_mutex, "home.c:1");
}

static intptr_t lock_twice(void *arg)
{
    lock_at_home(arg);
    return whorl_mutex_lock(&clumsy_mutex);
}

static intptr_t unlock_free(void *arg)
{
    (void)arg;
    whorl_mutex_unlock(&clumsy_mutex);
    return 0;
}

static intptr_t unlock_anothers(void *arg)
{
    CHECK_EQ(whorl_join(whorl_spawn(lock_at_home, arg), NULL), 0);
    return unlock_free(arg);
}

static intptr_t lock_without_suspending(void *arg)
{
    (void)arg;
    whorl_no_suspend_begin();
    CHECK_EQ(whorl_mutex_try_lock(&clumsy_mutex), 0);
    whorl_mutex_unlock(&clumsy_mutex);
    return whorl_mutex_lock(&clumsy_mutex);
}

static const struct mistake mistakes[] = {
    {lock_twice, "whorl: whorl_mutex_lock was given a mutex that the caller has locked already, at home.c:1: unlock it before"},
    {unlock_free, "whorl: whorl_mutex_unlock was given a mutex that is not locked"},
    {unlock_anothers, "whorl: whorl_mutex_unlock was given a mutex that another task has locked, at home.c:1: who locks it is to"},
    {lock_without_suspending, "whorl: whorl_mutex_lock"},
};

TEST(mutex, mistakes_abort_and_say_where_it_was_locked)
{
    check_mistakes(mistakes, sizeof mistakes / sizeof *mistakes);
}

/* Seeds: tasks lock, try, hold it over waits, and are cancelled at whatever point. */

enum { RACERS = 4, LOCKS = 4 };

struct race {
    struct whorl_mutex mutex;
    uint64_t random;
    int holders;
    unsigned had, gave_up, requests, cancelled;
    unsigned long guarded;
};

static void hold(struct race *r)
{
    unsigned long seen = r->guarded;

    CHECK_EQ(++r->holders, 1);
    if (test_random(&r->random) % 2)
        r->cancelled += whorl_sleep((whorl_ns)(test_random(&r->random) % 3)) != 0;
    CHECK_EQ(r->guarded, seen);
    r->guarded = seen + 1;
    CHECK_EQ(--r->holders, 0);
    whorl_mutex_unlock(&r->mutex);
}

static intptr_t lock_often(void *arg)
{
    struct race *r = arg;

    for (int i = 0; i < LOCKS; i++) {
        bool try = test_random(&r->random) % 4 == 0;
        int err = try ? whorl_mutex_try_lock(&r->mutex) : whorl_mutex_lock(&r->mutex);

        CHECK(err == 0 || err == (try ? -EBUSY : -ECANCELED));
        r->cancelled += err == -ECANCELED;
        r->had += err == 0;
        r->gave_up += err != 0;
        if (err == 0)
            hold(r);
        if (test_random(&r->random) % 2)
            whorl_yield();
    }
    return 0;
}

static intptr_t race(void *arg)
{
    struct race *r = arg;
    struct whorl_task *tasks[RACERS];

    for (int i = 0; i < RACERS; i++)
        tasks[i] = whorl_spawn(lock_often, r);
    for (unsigned n = (unsigned)(test_random(&r->random) % 20); n > 0; n--) {
        struct whorl_task *t = tasks[test_random(&r->random) % RACERS];

        if (test_random(&r->random) % 2)
            whorl_sleep((whorl_ns)(test_random(&r->random) % 3));
        if (whorl_result(t, NULL) == -EINPROGRESS) {
            r->requests++;
            whorl_cancel(t);
        }
    }
    for (int i = 0; i < RACERS; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(r->had + r->gave_up, RACERS * LOCKS);
    CHECK_EQ(r->guarded, r->had);
    CHECK(r->cancelled <= r->requests);
    CHECK(is_free(&r->mutex));
    return 0;
}

TEST(mutex, races_of_locking_and_cancelling_lose_nothing, .timeout = 100)
{
    for (unsigned i = 0; i < test_seeds(MANY(5000, 500)); i++) {
        struct race r = {.random = test_seed() + i};

        if (!CHECK_EQ(null_run(race, &r, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0))
            return;
    }
}

static void lock_and_unlock(void *m)
{
    CHECK_EQ(whorl_mutex_lock((struct whorl_mutex *)m), 0);
    whorl_mutex_unlock(m);
}

TEST(mutex, who_never_waits_for_it_lets_others_run)
{
    check_lets_others_run(lock_and_unlock, &(struct whorl_mutex){.word = 0});
}
