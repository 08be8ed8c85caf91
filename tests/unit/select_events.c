/* SPDX-License-Identifier: MIT */
/* Events and futures among what is selected over. */
#include <whorl/whorl.h>

#include <errno.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 50; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* What is done after a while. */
struct later {
    struct whorl_event *event;
    struct whorl_future *future;
    int error;
    whorl_ns when;
};

static intptr_t do_later(void *arg)
{
    struct later *l = arg;

    CHECK_EQ(whorl_sleep_until(l->when), 0);
    if (l->event)
        whorl_event_set(l->event);
    else if (l->error)
        CHECK_EQ(whorl_future_fail(l->future, l->error), 0);
    else
        CHECK_EQ(whorl_future_set(l->future, 42), 0);
    return 0;
}

static intptr_t choose_first(void *arg)
{
    struct whorl_event event = {0};
    struct whorl_future good = {0}, bad = {0};
    struct later laters[] = {{.event = &event, .when = WHORL_SEC(1)},
                             {.future = &good, .when = WHORL_SEC(2)},
                             {.future = &bad, .error = -EIO, .when = WHORL_SEC(3)}};
    intptr_t value = 0, none = 7;
    struct whorl_case cases[] = {whorl_case_event(&event), whorl_case_future(&good, &value), whorl_case_future(&bad, &none),
                                 whorl_case_at(WHORL_SEC(9))};
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(whorl_scope_spawn(&s, do_later, &laters[i]), 0);
    CHECK_EQ(whorl_try_select(cases, 4), -EAGAIN);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(whorl_select(cases, 4), i);
        CHECK_EQ(cases[i].result, i == 2 ? -EIO : 0);
        CHECK(whorl_now() >= laters[i].when && whorl_now() < laters[i].when + 1000 * NULL_TICK);
        if (i == 0)
            whorl_event_clear(&event);
        else
            cases[i] = whorl_case_event(&event); /* it stays so: not again */
    }
    CHECK_EQ(value, 42);
    CHECK_EQ(none, 7);
    CHECK_EQ(whorl_scope_close(&s), 0);
    whorl_event_set(&event);
    CHECK_EQ(whorl_select(cases, 1), 0);
    return 0;
}

TEST(select_events, the_first_that_is_set_is_chosen)
{
    run_everywhere(choose_first, NULL);
}

/* Whatever comes first: all who select over an event that is set go on, and a wait that is cut off leaves nothing behind. */
struct crowd {
    struct whorl_event *event;
    struct whorl_future *future;
    int went_on, cut_off;
};

static intptr_t be_one_of_many(void *arg)
{
    struct crowd *c = arg;
    struct whorl_case cases[] = {whorl_case_event(c->event), whorl_case_future(c->future, NULL)};
    int chosen = whorl_select(cases, 2);

    if (chosen >= 0)
        c->went_on++;
    else if (CHECK_EQ(chosen, -ECANCELED))
        c->cut_off++;
    return 0;
}

static intptr_t cut_some_off(void *arg)
{
    enum { PEOPLE = 20 };
    struct whorl_event event = {0};
    struct whorl_future future = {0};
    struct crowd crowd = {&event, &future, 0, 0};
    struct whorl_task *people[PEOPLE];
    uint64_t random = test_seed() + (uintptr_t)arg;
    int cancelled = 0;

    for (int i = 0; i < PEOPLE; i++)
        people[i] = whorl_spawn(be_one_of_many, &crowd);
    for (int i = 0; i < PEOPLE; i++) {
        if (test_random(&random) % 3 == 0)
            whorl_yield();
        if (test_random(&random) % 3 == 0) {
            whorl_cancel(people[i]);
            cancelled++;
        }
        if (i == PEOPLE / 2) {
            if (test_random(&random) % 2)
                whorl_event_set(&event);
            else
                CHECK_EQ(whorl_future_set(&future, 1), 0);
        }
    }
    for (int i = 0; i < PEOPLE; i++)
        CHECK_EQ(whorl_join(people[i], NULL), 0);
    CHECK_EQ(crowd.went_on + crowd.cut_off, PEOPLE);
    CHECK(crowd.cut_off <= cancelled);
    CHECK(!event.waiters.first && !future.waiters.first);
    return 0;
}

TEST(select_events, a_crowd_goes_on_and_who_is_cut_off_is_gone, .timeout = 60)
{
    for (unsigned i = 0; i < test_seeds(MANY(2000, 300)); i++)
        if (!CHECK_EQ(null_run(cut_some_off, (void *)(uintptr_t)i,
                               &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}),
                      0))
            return;
}
