/* SPDX-License-Identifier: MIT */
/* Generators: an item for each time it is asked, nothing lost when somebody is cancelled, and an end that cleans up. */
#include <whorl/whorl.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "child.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

static void run_everywhere(whorl_fn fn)
{
    for (uint64_t i = 0; i < 40; i++)
        CHECK_EQ(null_run(fn, NULL, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, NULL, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* Numbers from 0 on. */
struct source {
    int items;        /* then it ends */
    whorl_ns between; /* it waits before each */
    int error;        /* what it returns at its end */
    /* What it sees. */
    int begun, handed, wait, generate, cleaned;
};

static int produce(struct whorl_generator *g, void *arg)
{
    struct source *s = arg;

    s->begun = 1;
    for (int i = 0; i < s->items && !s->wait && !s->generate; i++) {
        if (s->between)
            s->wait = whorl_sleep(s->between);
        if (!s->wait)
            s->generate = whorl_generate(g, &i);
        s->handed += !s->wait && !s->generate;
    }
    if (s->wait || s->generate)
        CHECK_EQ(whorl_sleep(WHORL_SEC(1)), -ECANCELED); /* each wait, not just one */
    s->cleaned = 1;
    return s->wait ? s->wait : s->generate ? s->generate : s->error;
}

static intptr_t count_up(void *arg)
{
    struct source s = {.items = 200};
    struct whorl_generator g;
    int item = -1, i = 0;

    CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof item), 0);
    whorl_yield();
    CHECK(!s.begun);
    while (whorl_generator_next(&g, &item) > 0) {
        CHECK_EQ(item, i);
        CHECK_EQ(s.handed, i); /* it stands where it was until the next is asked for */
        if (++i % 10 == 0)
            whorl_yield();
    }
    CHECK_EQ(i, 200);
    CHECK(s.cleaned);
    CHECK_EQ(whorl_generator_next(&g, &item), 0);
    CHECK_EQ(whorl_generator_close(&g), 0);
    return (intptr_t)arg;
}

TEST(generator, each_item_comes_when_it_is_asked_for)
{
    run_everywhere(count_up);
}

static intptr_t end_with_error(void *arg)
{
    struct source s = {.items = 3, .between = WHORL_MS(5), .error = -EIO};
    struct whorl_generator g;
    int item;

    CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof item), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(whorl_generator_next(&g, i == 1 ? NULL : &item), 1);
    CHECK_EQ(item, 2);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(whorl_generator_next(&g, &item), -EIO);
    CHECK_EQ(whorl_generator_close(&g), -EIO);
    return (intptr_t)arg;
}

TEST(generator, an_error_comes_after_the_items_and_stays)
{
    run_everywhere(end_with_error);
}

static intptr_t close_early(void *arg)
{
    for (int asked = 0; asked < 5; asked++) {
        struct source s = {.items = 3};
        struct whorl_generator g;
        int item = -1;

        CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof item), 0);
        for (int i = 0; i < asked; i++)
            CHECK_EQ(whorl_generator_next(&g, &item), i < 3);
        CHECK_EQ(whorl_generator_close(&g), 0);
        CHECK_EQ(s.begun, asked > 0);
        CHECK_EQ(s.cleaned, asked > 0);
        CHECK_EQ(s.generate, asked > 0 && asked < 4 ? -ECANCELED : 0);
    }
    return (intptr_t)arg;
}

TEST(generator, one_that_is_closed_early_cleans_up)
{
    run_everywhere(close_early);
}

/* The consumer is cut short while the function waits. The item is there the next time. */
static intptr_t be_cut_short(void *arg)
{
    struct source s = {.items = 4, .between = WHORL_SEC(2)};
    struct whorl_generator g;
    struct whorl_scope scope;
    int item = -1;

    CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof item), 0);
    CHECK_EQ(whorl_generator_next(&g, &item), 1);
    whorl_scope_open(&scope);
    CHECK_EQ(whorl_scope_deadline(&scope, whorl_after(WHORL_SEC(1))), 0);
    CHECK_EQ(whorl_generator_next(&g, &item), -ETIMEDOUT);
    CHECK_EQ(whorl_generator_next(&g, &item), -ETIMEDOUT);
    CHECK_EQ(whorl_scope_close(&scope), -ETIMEDOUT);
    CHECK_EQ(item, 0);
    CHECK_EQ(whorl_generator_next(&g, &item), 1); /* asks again while it is still under way */
    CHECK_EQ(item, 1);
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_generator_next(&g, &item), -ECANCELED); /* before it has asked */
    CHECK_EQ(s.handed, 1);
    whorl_scope_open(&scope);
    CHECK_EQ(whorl_scope_deadline(&scope, whorl_after(WHORL_SEC(1))), 0);
    CHECK_EQ(whorl_generator_next(&g, &item), -ETIMEDOUT);
    CHECK_EQ(whorl_scope_close(&scope), -ETIMEDOUT);
    CHECK_EQ(whorl_sleep(WHORL_SEC(5)), 0); /* it comes meanwhile */
    CHECK_EQ(s.handed, 2);
    CHECK_EQ(whorl_generator_next(&g, &item), 1);
    CHECK_EQ(item, 2);
    CHECK_EQ(whorl_generator_next(&g, &item), 1);
    CHECK_EQ(item, 3);
    CHECK_EQ(whorl_generator_next(&g, &item), 0);
    CHECK_EQ(whorl_generator_close(&g), 0);
    return (intptr_t)arg;
}

TEST(generator, a_consumer_that_is_cut_short_loses_nothing)
{
    run_everywhere(be_cut_short);
}

/* Closing one that is under way, in each of its waits. */
static intptr_t close_under_way(void *arg)
{
    struct source s = {.items = 4, .between = WHORL_SEC(2)};
    struct whorl_generator g;
    struct whorl_scope scope;
    whorl_ns start;

    CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof(int)), 0);
    whorl_scope_open(&scope);
    CHECK_EQ(whorl_scope_deadline(&scope, whorl_after(WHORL_SEC(1))), 0);
    CHECK_EQ(whorl_generator_next(&g, NULL), -ETIMEDOUT);
    start = whorl_now();
    CHECK_EQ(whorl_generator_close(&g), 0); /* not cut short itself */
    CHECK(whorl_now() - start < WHORL_MS(1));
    CHECK_EQ(whorl_scope_close(&scope), -ETIMEDOUT);
    CHECK_EQ(s.wait, -ECANCELED);
    CHECK(s.cleaned);
    return (intptr_t)arg;
}

TEST(generator, closing_ends_the_waits_of_the_function)
{
    run_everywhere(close_under_way);
}

/* Generators of generators: items of `arg`, another one, that are even. */
static int filter(struct whorl_generator *g, void *arg)
{
    struct source *s = arg;
    struct whorl_generator inner;
    int item, got, err = 0;

    CHECK_EQ(whorl_generator_open(&inner, produce, s, sizeof item), 0);
    while (!err && (got = whorl_generator_next(&inner, &item)) > 0)
        if (item % 2 == 0)
            err = whorl_generate(g, &item);
    got = whorl_generator_close(&inner);
    return err ? err : got;
}

static intptr_t nest(void *arg)
{
    struct source one = {.items = 60}, other = {.items = 1000, .between = 10};
    struct whorl_generator a, b;
    int item, i = 0;

    CHECK_EQ(whorl_generator_open(&a, filter, &one, sizeof item), 0);
    CHECK_EQ(whorl_generator_open(&b, filter, &other, sizeof item), 0);
    for (; whorl_generator_next(&a, &item) > 0; i += 2) {
        CHECK_EQ(item, i);
        CHECK_EQ(whorl_generator_next(&b, &item), 1);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(i, 60);
    CHECK_EQ(whorl_generator_close(&a), 0); /* in either order */
    CHECK_EQ(whorl_generator_close(&b), 0);
    CHECK(one.cleaned && other.cleaned);
    return (intptr_t)arg;
}

TEST(generator, generators_use_generators)
{
    run_everywhere(nest);
}

/* Cancels, deadlines, yields and closes at any moment: the items are a prefix of what there is, in order. */

struct storm {
    struct source source;
    uint64_t seed;
    int next, cut;
};

static intptr_t consume(void *arg)
{
    struct storm *s = arg;
    struct whorl_generator g;
    int item = -1, got;

    CHECK_EQ(whorl_generator_open(&g, produce, &s->source, sizeof item), 0);
    while ((got = whorl_generator_next(&g, &item)) != 0) {
        if (got < 0) {
            CHECK(got == -ECANCELED);
            if (++s->cut == 3)
                break;
        } else {
            CHECK_EQ(item, s->next++);
        }
        if (test_random(&s->seed) % 8 == 0)
            whorl_yield();
    }
    if (!got)
        CHECK_EQ(s->next, s->source.items);
    CHECK_EQ(whorl_generator_close(&g), 0);
    CHECK_EQ(s->source.cleaned, s->source.begun);
    return 0;
}

static intptr_t cancel_in_a_storm(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;

    for (int i = 0; i < MANY(60, 15); i++) {
        struct storm storms[4];
        struct whorl_task *tasks[4];

        for (int k = 0; k < 4; k++) {
            storms[k] =
                (struct storm){.source = {.items = 20, .between = (whorl_ns)(test_random(&seed) % 3)}, .seed = test_random(&seed)};
            tasks[k] = whorl_spawn(consume, &storms[k]);
        }
        for (int k = 0; k < 8; k++) {
            if (test_random(&seed) % 4)
                CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&seed) % 10)), 0);
            if (whorl_result(tasks[k % 4], NULL) == -EINPROGRESS)
                whorl_cancel(tasks[k % 4]);
        }
        for (int k = 0; k < 4; k++)
            CHECK_EQ(whorl_join(tasks[k], NULL), 0);
    }
    return 0;
}

TEST(generator, nothing_is_lost_in_a_storm_of_cancels, .timeout = 60)
{
    unsigned seeds = test_seeds(30);

    for (uint64_t i = 0; i < seeds; i++)
        CHECK_EQ(null_run(cancel_in_a_storm, (void *)(uintptr_t)i,
                          &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}),
                 0);
}

/* The end of a runtime that cancels. */
static intptr_t consume_for_ever(void *arg)
{
    struct source *s = arg;
    struct whorl_generator g;

    CHECK_EQ(whorl_generator_open(&g, produce, s, sizeof(int)), 0);
    while (whorl_generator_next(&g, NULL) > 0)
        CHECK(whorl_sleep(WHORL_MS(1)) <= 0);
    CHECK_EQ(whorl_generator_close(&g), 0);
    return 0;
}

static intptr_t leave_one_behind(void *arg)
{
    whorl_detach(whorl_spawn(consume_for_ever, arg));
    return whorl_sleep(WHORL_MS(20));
}

TEST(generator, a_runtime_that_cancels_ends_generators)
{
    for (uint64_t i = 0; i < 20; i++) {
        struct source s = {.items = 1 << 30};
        struct whorl_options options = {.workers = 1 + (int)(i % 4), .seed = test_seed() + i, .exit_policy = WHORL_EXIT_CANCEL};

        CHECK_EQ(null_run(leave_one_behind, &s, &options), 0);
        CHECK(s.cleaned && s.handed > 0);
    }
}

/* Other tasks have their turns, however fast the items come. */
static intptr_t count_turns(void *arg)
{
    for (int *turns = arg; *turns < 50; ++*turns)
        whorl_yield();
    return 0;
}

static intptr_t consume_beside(void *arg)
{
    struct source s = {.items = 1 << 30};
    struct whorl_generator g;
    int turns = 0, items = 0;
    struct whorl_task *t;

    CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof(int)), 0);
    t = whorl_spawn(count_turns, &turns);
    for (; turns < 50 && items < 50 * 61; items++)
        CHECK_EQ(whorl_generator_next(&g, NULL), 1);
    CHECK_EQ(turns, 50);
    CHECK_EQ(whorl_generator_close(&g), 0);
    CHECK_EQ(whorl_join(t, NULL), 0);
    return (intptr_t)arg;
}

TEST(generator, others_have_their_turns_meanwhile)
{
    run_everywhere(consume_beside);
}

/* Mistakes. */

static void run_fn(void *arg)
{
    null_run(*(whorl_fn *)arg, NULL, NULL);
}

static void dies(whorl_fn fn, const char *message)
{
    char err[2048];
    int status = run_in_child(run_fn, &fn, err, sizeof err);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(err, message);
}

static intptr_t leave_open(void *arg)
{
    static struct source s = {.items = 1};
    static struct whorl_generator g;

    return whorl_generator_open_at(&g, produce, &s, sizeof(int), "left.c:3") + (intptr_t)arg;
}

static intptr_t close_twice(void *arg)
{
    struct source s = {.items = 1};
    struct whorl_generator g;

    CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof(int)), 0);
    whorl_generator_close(&g);
    return whorl_generator_close(&g) + (intptr_t)arg;
}

static intptr_t generate_outside(void *arg)
{
    struct source s = {.items = 1};
    struct whorl_generator g;

    CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof(int)), 0);
    return whorl_generate(&g, &s) + (intptr_t)arg;
}

static intptr_t next_elsewhere(void *arg)
{
    return whorl_generator_next(arg, NULL);
}

static intptr_t share(void *arg)
{
    struct source s = {.items = 1};
    struct whorl_generator g;

    CHECK_EQ(whorl_generator_open(&g, produce, &s, sizeof(int)), 0);
    return whorl_join(whorl_spawn(next_elsewhere, &g), NULL) + (intptr_t)arg;
}

static intptr_t open_nothing(void *arg)
{
    struct whorl_generator g;

    return whorl_generator_open(&g, NULL, arg, 1);
}

TEST(generator, mistakes_abort_and_say_what_to_do)
{
    dies(leave_open, "ended without having closed the generator that it opened at left.c:3");
    dies(close_twice, "whorl_generator_close was given a generator that is closed");
    dies(generate_outside, "whorl_generate was given a generator that this task is not the function of");
    dies(share,
         "whorl_generator_next was given a generator that is closed, or that another task has opened: only who opened it may");
    dies(open_nothing, "whorl_generator_open was given no function");
}
