/* SPDX-License-Identifier: MIT */
/* Generators on real workers, whose functions and consumers are stolen from each other, and cancelled at any moment: every item comes once, in
 * order. */
#include "tests/io/loopback.h"

enum { WORKERS = 4, CONSUMERS = 12 };

static whorl_ns end;

struct source {
    uint64_t seed;
    int handed, cleaned;
};

/* Numbers from 0 on, until it is closed or its time is over. */
static int produce(struct whorl_generator *g, void *arg)
{
    struct source *s = arg;
    int err = 0;

    for (uint64_t left = test_random(&s->seed) % 300; !err && left > 0; left--) {
        uint64_t chance = test_random(&s->seed) % 32;

        if (chance == 0)
            err = whorl_sleep((whorl_ns)(test_random(&s->seed) % 50000));
        else if (chance < 4)
            whorl_yield();
        if (!err)
            err = whorl_generate(g, &s->handed);
        s->handed += !err;
    }
    s->cleaned = 1;
    return err;
}

/* Returns how many items came. */
static int consume(uint64_t *seed)
{
    struct source s = {.seed = test_random(seed)};
    struct whorl_generator g;
    uint64_t most = test_random(seed) % 400;
    int item = -1, next = 0, got = 1;

    CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof item), 0);
    while ((uint64_t)next < most && (got = whorl_generator_next(&g, &item)) != 0) {
        if (got > 0)
            CHECK_EQ(item, next++);
        else
            CHECK_EQ(got, -ECANCELED);
        if (test_random(seed) % 32 == 0)
            whorl_yield();
    }
    CHECK_EQ(whorl_generator_close(&g), 0);
    CHECK(most == 0 || s.cleaned);
    CHECK(s.handed == next || s.handed == next - 1);
    if (got == 0)
        CHECK_EQ(s.handed, next);
    return next;
}

static intptr_t consume_all(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;
    int items = 0;

    while (whorl_now() < end && test_failures() == 0)
        items |= consume(&seed);
    return items;
}

TASK_TEST_WITHIN(generator, consumers_are_stolen_and_cancelled, WORKERS, 120)
{
    struct whorl_task *consumers[CONSUMERS];
    uint64_t seed = test_seed();

    end = whorl_after(WHORL_SEC(test_seconds(1)));
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = start("consumer", consume_all, (void *)(uintptr_t)(i + 1));
    while (whorl_now() < end && test_failures() == 0) {
        whorl_sleep((whorl_ns)(test_random(&seed) % 50000));
        whorl_cancel(consumers[test_random(&seed) % CONSUMERS]);
    }
    for (int i = 0; i < CONSUMERS; i++)
        CHECK(result_of(consumers[i]) > 0);
}
