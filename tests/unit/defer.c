/* SPDX-License-Identifier: MIT */
/* What is deferred runs at the end of its task, once, the last first, whatever way the task ends. Linked with --wrap=malloc, so that
 * there may be no memory. */
#include <whorl/whorl.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

static bool no_memory;
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return no_memory ? NULL : __real_malloc(size);
}

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* What has happened, a letter each. */
struct log {
    char text[64];
    bool wait, shield; /* in what is deferred */
    int result;        /* of that wait */
};

static void say(struct log *log, char letter)
{
    size_t n = strlen(log->text);

    if (CHECK(n + 1 < sizeof log->text))
        log->text[n] = letter;
}

/* For each letter something to defer. */
static void say_a(void *arg)
{
    say(arg, 'a');
}

static void say_b(void *arg)
{
    say(arg, 'b');
}

static void say_c(void *arg)
{
    struct log *log = arg;
    struct whorl_scope s;

    if (log->shield) {
        whorl_scope_open(&s);
        whorl_scope_shield(&s);
    }
    if (log->wait)
        log->result = whorl_sleep(WHORL_SEC(1));
    if (log->shield)
        CHECK_EQ(whorl_scope_close(&s), 0);
    say(log, 'c');
    CHECK_EQ(whorl_defer(say_b, log), 0); /* it is the next to run */
}

static intptr_t defer_three(void *arg)
{
    struct log *log = arg;
    int err;

    CHECK_EQ(whorl_defer(say_a, log), 0);
    CHECK_EQ(whorl_defer(say_b, log), 0);
    CHECK_EQ(whorl_defer(say_c, log), 0);
    err = whorl_sleep(WHORL_SEC(5));
    say(log, 'r');
    return err ? err : 7;
}

static intptr_t return_and_defer(void *arg)
{
    struct log log = {.wait = true};
    struct whorl_task *t = whorl_spawn(defer_three, &log);
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, 7);
    CHECK_EQ(log.result, 0);
    CHECK(whorl_now() >= WHORL_SEC(6));
    CHECK_STR(log.text, "rcbba");
    return 0;
}

TEST(defer, the_last_runs_first_and_joiners_see_the_end_after_all)
{
    run_everywhere(return_and_defer, NULL);
}

static intptr_t cancel_and_defer(void *arg)
{
    struct log log = {.wait = true, .result = -1};
    struct whorl_task *t = whorl_spawn(defer_three, &log);
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(log.result, 0); /* that was for one wait */
    CHECK_STR(log.text, "rcbba");
    return 0;
}

TEST(defer, who_is_cancelled_does_it_too)
{
    run_everywhere(cancel_and_defer, NULL);
}

static intptr_t cancel_scope(void *arg)
{
    bool shield = *(bool *)arg;
    struct log log = {.wait = true, .shield = shield, .result = -1};
    struct whorl_scope s;
    whorl_ns before = whorl_now();

    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, defer_three, &log), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_scope_cancel(&s, "enough");
    CHECK_EQ(whorl_scope_close(&s), -ECANCELED);
    CHECK_STR(log.text, "rcbba");
    CHECK_EQ(log.result, shield ? 0 : -ECANCELED);
    CHECK_EQ(whorl_now() - before >= WHORL_SEC(2), shield);
    return 0;
}

TEST(defer, a_cancelled_scope_is_in_force_there_unless_shielded)
{
    run_everywhere(cancel_scope, &(bool){false});
    run_everywhere(cancel_scope, &(bool){true});
}

static intptr_t take_back(void *arg)
{
    struct log *log = arg;

    CHECK_EQ(whorl_undefer(say_a, log), -ENOENT);
    CHECK_EQ(whorl_defer(say_a, log), 0);
    CHECK_EQ(whorl_defer(say_b, log), 0);
    CHECK_EQ(whorl_defer(say_a, log), 0);
    CHECK_EQ(whorl_defer(say_b, NULL), 0);
    CHECK_EQ(whorl_undefer(say_b, NULL), 0);
    CHECK_EQ(whorl_undefer(say_b, NULL), -ENOENT);
    CHECK_EQ(whorl_undefer(say_a, log), 0);
    return 0;
}

static intptr_t undefer(void *arg)
{
    struct log log = {.text = ""};

    (void)arg;
    CHECK_EQ(whorl_join(whorl_spawn(take_back, &log), NULL), 0);
    CHECK_STR(log.text, "ba");
    return 0;
}

TEST(defer, what_is_taken_back_does_not_run)
{
    run_everywhere(undefer, NULL);
}

/* Forks defer for their task, whoever has taken them. */
struct forked {
    struct whorl_fork fork;
    struct log *log;
    int depth;
};

static void fork_and_defer(struct whorl_fork *self)
{
    struct forked *f = whorl_fork_of(self, struct forked, fork);
    struct forked halves[2] = {{.log = f->log, .depth = f->depth - 1}, {.log = f->log, .depth = f->depth - 1}};

    if (f->depth > 0) {
        whorl_fork(&halves[0].fork, fork_and_defer);
        fork_and_defer(&halves[1].fork);
        whorl_sync(&halves[0].fork);
        return;
    }
    whorl_sleep(WHORL_MS(1));
    CHECK_EQ(whorl_defer(say_a, f->log), 0);
    CHECK_EQ(whorl_defer(say_b, f->log), 0);
    CHECK_EQ(whorl_undefer(say_b, f->log), 0);
}

static intptr_t defer_in_forks(void *arg)
{
    struct forked f = {.log = arg, .depth = 4};

    fork_and_defer(&f.fork);
    say(arg, 'r');
    return 0;
}

static intptr_t join_forked(void *arg)
{
    struct log log = {.text = ""};

    (void)arg;
    CHECK_EQ(whorl_join(whorl_spawn(defer_in_forks, &log), NULL), 0);
    CHECK_STR(log.text, "raaaaaaaaaaaaaaaa");
    return 0;
}

TEST(defer, forks_defer_to_the_end_of_their_task)
{
    run_everywhere(join_forked, NULL);
}

static intptr_t defer_in_vain(void *arg)
{
    struct log *log = arg;

    CHECK_EQ(whorl_defer(say_a, log), 0);
    no_memory = true;
    CHECK_EQ(whorl_defer(say_b, log), -ENOMEM);
    no_memory = false;
    CHECK_EQ(whorl_defer(free, malloc(10)), 0);
    return 0;
}

static intptr_t run_out(void *arg)
{
    struct log log = {.text = ""};

    (void)arg;
    CHECK_EQ(whorl_join(whorl_spawn(defer_in_vain, &log), NULL), 0);
    CHECK_STR(log.text, "a");
    return 0;
}

TEST(defer, without_memory_nothing_is_deferred)
{
    run_everywhere(run_out, NULL);
}

static intptr_t end_main(void *arg)
{
    CHECK_EQ(whorl_defer(say_a, arg), 0);
    whorl_detach(whorl_spawn(defer_three, arg));
    return 0;
}

TEST(defer, main_and_those_that_it_leaves_behind_do_it_too)
{
    for (int workers = 1; workers <= 4; workers++) {
        struct log log = {.wait = true, .result = 1};
        struct whorl_options options = {.workers = workers, .exit_policy = WHORL_EXIT_CANCEL};

        CHECK_EQ(null_run(end_main, &log, &options), 0);
        CHECK(strlen(log.text) == 6 && strchr(log.text, 'r') && strchr(log.text, 'c'));
        CHECK_EQ(log.result, -ECANCELED); /* the end of the runtime ends every wait */
    }
}

/* Many tasks defer, take back, wait and are cancelled at random: each does what it owes, in order. */
struct owing {
    uint64_t random;
    int owed[32], count;
};

struct debt {
    struct owing *owing;
    int number;
};

static void pay(void *arg)
{
    struct debt *d = arg;
    struct owing *o = d->owing;

    if (CHECK(o->count > 0))
        CHECK_EQ(o->owed[--o->count], d->number);
    if (test_random(&o->random) % 3 == 0)
        whorl_sleep(WHORL_MS(test_random(&o->random) % 5));
    free(d);
}

static intptr_t owe(void *arg)
{
    struct owing *o = arg;
    struct debt *d = NULL;

    for (int i = 0, n = (int)(test_random(&o->random) % 32); i < n; i++) {
        d = malloc(sizeof *d);
        *d = (struct debt){.owing = o, .number = i};
        o->owed[o->count++] = i;
        CHECK_EQ(whorl_defer(pay, d), 0);
        if (test_random(&o->random) % 4 == 0) {
            CHECK_EQ(whorl_undefer(pay, d), 0);
            o->count--;
            free(d);
        }
        if (test_random(&o->random) % 4 == 0 && whorl_sleep(WHORL_MS(test_random(&o->random) % 10)) < 0)
            break;
    }
    return 0;
}

enum { OWING = 20 };

static intptr_t many_owe(void *arg)
{
    static struct owing all[OWING];
    struct whorl_task *tasks[OWING];
    uint64_t *random = arg;

    for (int i = 0; i < OWING; i++) {
        all[i] = (struct owing){.random = test_random(random) | 1};
        tasks[i] = whorl_spawn(owe, &all[i]);
    }
    for (int i = 0; i < OWING; i++) {
        if (test_random(random) % 2 == 0) {
            whorl_sleep(WHORL_MS(test_random(random) % 5));
            whorl_cancel(tasks[i]);
        }
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
        CHECK_EQ(all[i].count, 0);
    }
    return 0;
}

TEST(defer, each_task_does_what_it_owes_in_order, .timeout = 60)
{
    for (unsigned i = 0; i < test_seeds(200); i++) {
        uint64_t random = test_seed() + i;

        CHECK_EQ(null_run(many_owe, &random, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = random}), 0);
    }
}
