/* SPDX-License-Identifier: MIT */
/* Scopes: what is opened is joined, the first failure cancels the rest, and cancelling reaches all that is inside. */
#include <whorl/whorl.h>

#include <errno.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* The clock of null_run_real ticks while tasks run. */
static bool at(whorl_ns time)
{
    return whorl_now() >= time && whorl_now() < time + 1000 * NULL_TICK;
}

/* A child that sleeps twice, and what it saw. */
struct child {
    whorl_ns length;
    intptr_t result; /* what it returns if nothing cuts its sleep short */
    int first, second;
    whorl_ns end; /* of the first */
    bool ended;
};

static intptr_t sleep_twice(void *arg)
{
    struct child *c = arg;

    c->first = whorl_sleep(c->length);
    c->end = whorl_now();
    c->second = c->first ? whorl_sleep(WHORL_SEC(1)) : 0;
    c->ended = true;
    return c->first ? c->first : c->result;
}

static intptr_t join_all(void *arg)
{
    struct child children[] = {{.length = WHORL_SEC(1)}, {.length = WHORL_SEC(3)}, {.length = WHORL_SEC(2), .result = 7}};
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(whorl_scope_spawn(&s, sleep_twice, &children[i]), 0);
    CHECK_EQ(whorl_scope_close(&s), 0);
    CHECK(at(WHORL_SEC(3)));
    for (int i = 0; i < 3; i++)
        CHECK(children[i].ended && children[i].first == 0);
    CHECK(!whorl_scope_cancelled(&s) && !whorl_scope_reason(&s));
    return 0;
}

TEST(scope, close_waits_for_all_children)
{
    run_everywhere(join_all, NULL);
}

static intptr_t fail_twice(void *arg)
{
    struct child children[] = {{.length = WHORL_SEC(9)},
                               {.length = WHORL_SEC(2), .result = -EPIPE},
                               {.length = WHORL_SEC(9)},
                               {.length = WHORL_SEC(1), .result = 5}};
    struct whorl_scope s;
    struct whorl_task *t;
    intptr_t result;

    (void)arg;
    whorl_scope_open(&s);
    for (int i = 0; i < 4; i++) {
        struct whorl_spawn_options options = {.size = sizeof options, .name = i == 1 ? "bad" : "good"};

        CHECK_EQ(whorl_scope_spawn_with(&s, sleep_twice, &children[i], &options), 0);
    }
    CHECK_EQ(whorl_scope_join(&s), -EPIPE);
    CHECK(at(WHORL_SEC(2)));
    CHECK_EQ(children[0].first, -ECANCELED);
    CHECK_EQ(children[0].second, -ECANCELED);
    CHECK_EQ(children[2].first, -ECANCELED);
    CHECK_EQ(children[3].first, 0);
    t = whorl_scope_failed(&s, NULL);
    if (CHECK(t != NULL)) {
        CHECK_STR(whorl_name(t), "bad");
        CHECK_EQ(whorl_result(t, &result), 0);
        CHECK_EQ(result, -EPIPE);
        CHECK(!whorl_scope_failed(&s, t));
    }
    CHECK_STR(whorl_scope_reason(&s), "a task in it failed");
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), -ECANCELED); /* the body is in it, too */
    CHECK_EQ(whorl_scope_spawn(&s, sleep_twice, &children[0]), -ECANCELED);
    CHECK_EQ(whorl_scope_close(&s), -EPIPE);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    return 0;
}

TEST(scope, the_first_failure_cancels_the_siblings_and_is_returned)
{
    run_everywhere(fail_twice, NULL);
}

static intptr_t fail_when_cancelled(void *arg)
{
    (void)arg;
    return whorl_sleep(WHORL_SEC(9)) == -ECANCELED ? -EIO : 0;
}

static intptr_t fail_together(void *arg)
{
    struct whorl_scope s;
    int count = 0;
    intptr_t result;

    (void)arg;
    whorl_scope_open(&s);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(whorl_scope_spawn(&s, fail_when_cancelled, NULL), 0);
    whorl_scope_fail(&s, -EXDEV);
    CHECK_EQ(whorl_scope_join(&s), -EXDEV);
    for (struct whorl_task *t = NULL; (t = whorl_scope_failed(&s, t)) != NULL; count++)
        CHECK(whorl_result(t, &result) == 0 && result == -EIO);
    CHECK_EQ(count, 5);
    CHECK_EQ(whorl_scope_close(&s), -EXDEV);
    return 0;
}

TEST(scope, what_failed_besides_is_listed)
{
    run_everywhere(fail_together, NULL);
}

/* A child that opens a scope of its own. */
struct nest {
    struct child child;
    int depth;
    int closed;
};

static intptr_t nest(void *arg)
{
    struct nest *n = arg, inner = {.depth = n->depth - 1, .child.length = WHORL_SEC(9)};
    struct whorl_scope s;

    if (n->depth == 0)
        return sleep_twice(&n->child);
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, nest, &inner), 0);
    if (n->depth % 2)
        n->child.first = whorl_sleep(n->child.length);
    n->closed = whorl_scope_close(&s);
    n->child.second = whorl_sleep(WHORL_SEC(1));
    CHECK(inner.depth > 0 ? inner.closed == -ECANCELED : inner.child.first == -ECANCELED);
    CHECK_EQ(inner.child.second, -ECANCELED);
    return n->closed;
}

static intptr_t cancel_tree(void *arg)
{
    struct nest n = {.depth = 6, .child.length = WHORL_SEC(9)};
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, nest, &n), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(2)), 0);
    whorl_scope_cancel(&s, "enough");
    whorl_scope_cancel(&s, "more than enough");
    CHECK_STR(whorl_scope_reason(&s), "enough");
    CHECK_EQ(whorl_cancelled(), -ECANCELED);
    CHECK_EQ(whorl_scope_close(&s), -ECANCELED);
    CHECK_EQ(whorl_cancelled(), 0);
    CHECK(at(WHORL_SEC(2)));
    CHECK_EQ(n.closed, -ECANCELED);
    CHECK_EQ(n.child.second, -ECANCELED);
    return 0;
}

TEST(scope, cancelling_reaches_scopes_within_scopes)
{
    run_everywhere(cancel_tree, NULL);
}

static intptr_t let_expire(void *arg)
{
    struct child outer = {.length = WHORL_SEC(9)}, inner = {.length = WHORL_SEC(9)};
    struct whorl_scope far, near;

    (void)arg;
    whorl_scope_open(&far);
    CHECK_EQ(whorl_scope_deadline(&far, whorl_after(WHORL_SEC(3))), 0);
    CHECK_EQ(whorl_scope_spawn(&far, sleep_twice, &outer), 0);
    whorl_scope_open(&near);
    CHECK_EQ(whorl_scope_deadline(&near, whorl_after(WHORL_SEC(1))), 0);
    CHECK_EQ(whorl_scope_deadline(&near, whorl_after(WHORL_SEC(2))), 0);
    CHECK_EQ(whorl_scope_spawn(&near, sleep_twice, &inner), 0);
    CHECK_EQ(whorl_scope_close(&near), -ETIMEDOUT);
    CHECK(at(WHORL_SEC(2)));
    CHECK(whorl_scope_expired(&near) && !whorl_scope_expired(&far));
    CHECK_EQ(inner.first, -ETIMEDOUT);
    CHECK_EQ(inner.second, -ETIMEDOUT);
    CHECK_EQ(whorl_sleep(WHORL_SEC(9)), -ETIMEDOUT);
    CHECK(at(WHORL_SEC(3)));
    whorl_scope_open(&near); /* within what has expired */
    CHECK_EQ(whorl_scope_deadline(&near, WHORL_SEC(100)), 0);
    CHECK_EQ(whorl_scope_spawn(&near, sleep_twice, &inner), 0);
    CHECK_EQ(whorl_scope_close(&near), -ETIMEDOUT);
    CHECK(!whorl_scope_expired(&near) && whorl_scope_cancelled(&near));
    CHECK(at(WHORL_SEC(3)));
    CHECK_EQ(whorl_scope_deadline(&far, WHORL_NEVER), -ETIMEDOUT);
    CHECK_EQ(whorl_scope_close(&far), -ETIMEDOUT);
    CHECK_EQ(outer.first, -ETIMEDOUT);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    CHECK_EQ(whorl_sleep_until(WHORL_SEC(200)), 0); /* the inner one's does not matter any more */
    return 0;
}

TEST(scope, deadlines_nest_move_and_are_told_apart)
{
    run_everywhere(let_expire, NULL);
}

static intptr_t expire_at_once(void *arg)
{
    struct child c = {.length = WHORL_SEC(1)};
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, sleep_twice, &c), 0);
    CHECK_EQ(whorl_scope_deadline(&s, -1), -ETIMEDOUT);
    CHECK_EQ(whorl_scope_spawn(&s, sleep_twice, &c), -ECANCELED);
    CHECK_EQ(whorl_scope_close(&s), -ETIMEDOUT);
    CHECK_EQ(c.first, -ETIMEDOUT);
    CHECK(at(0));
    return 0;
}

TEST(scope, a_deadline_in_the_past_counts_at_once)
{
    run_everywhere(expire_at_once, NULL);
}

static intptr_t say_goodbye(void *arg)
{
    struct child *c = arg;
    struct whorl_scope s;

    c->first = whorl_sleep(WHORL_SEC(9));
    whorl_scope_open(&s);
    whorl_scope_shield(&s);
    CHECK_EQ(whorl_cancelled(), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    CHECK_EQ(whorl_scope_deadline(&s, whorl_after(WHORL_SEC(1))), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(9)), -ETIMEDOUT);
    CHECK_EQ(whorl_scope_close(&s), -ETIMEDOUT);
    c->end = whorl_now();
    c->second = whorl_sleep(WHORL_SEC(1));
    return 0;
}

static intptr_t cut_off(void *arg)
{
    struct child c;
    struct whorl_scope s;
    struct whorl_task *t;

    (void)arg;
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, say_goodbye, &c), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_scope_cancel(&s, NULL);
    CHECK_EQ(whorl_scope_close(&s), -ECANCELED);
    CHECK(at(WHORL_SEC(3)));
    CHECK_EQ(c.first, -ECANCELED);
    CHECK_EQ(c.second, -ECANCELED);

    t = whorl_spawn(say_goodbye, &c);
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    whorl_cancel(t); /* in the shield: for what comes after it */
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(c.first, -ECANCELED);
    CHECK_EQ(c.second, -ECANCELED);
    return 0;
}

TEST(scope, a_shield_keeps_out_what_comes_from_outside)
{
    run_everywhere(cut_off, NULL);
}

static intptr_t close_cancelled(void *arg)
{
    struct child *c = arg;
    struct whorl_scope s;
    int err;

    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, sleep_twice, c), 0);
    err = whorl_scope_close(&s);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0); /* that was for one wait */
    return err;
}

static intptr_t cancel_closer(void *arg)
{
    struct child c = {.length = WHORL_SEC(9)};
    struct whorl_task *t = whorl_spawn(close_cancelled, &c);
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(c.first, -ECANCELED);
    CHECK_EQ(c.end < WHORL_MS(1001), 1);
    return 0;
}

TEST(scope, who_is_cancelled_while_closing_cancels_the_children)
{
    run_everywhere(cancel_closer, NULL);
}

static intptr_t spawn_sibling(void *arg)
{
    struct whorl_scope *s = arg;

    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    return whorl_scope_spawn(s, sleep_twice, &(struct child){0}) == -ECANCELED ? 0 : -EIO;
}

static intptr_t join_sibling(void *arg)
{
    static struct child c;
    struct whorl_scope *s = arg;

    c = (struct child){.length = WHORL_SEC(1)};
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    return whorl_scope_spawn(s, sleep_twice, &c);
}

static intptr_t spawn_late(void *arg)
{
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, join_sibling, &s), 0);
    CHECK_EQ(whorl_scope_join(&s), 0);
    CHECK(at(WHORL_SEC(2)));
    CHECK_EQ(whorl_scope_spawn(&s, spawn_sibling, &s), 0);
    CHECK_EQ(whorl_scope_close(&s), 0);
    return 0;
}

TEST(scope, spawning_into_a_closing_one_fails_into_a_joining_one_does_not)
{
    run_everywhere(spawn_late, NULL);
}

/* Forks are in the scopes of their task, whoever has taken them. */
struct forked {
    struct whorl_fork fork;
    int depth;
    int results[2];
};

static void fork_and_sleep(struct whorl_fork *self)
{
    struct forked *f = whorl_fork_of(self, struct forked, fork), halves[2] = {{.depth = f->depth - 1}, {.depth = f->depth - 1}};

    if (f->depth > 0) {
        whorl_fork(&halves[0].fork, fork_and_sleep);
        fork_and_sleep(&halves[1].fork);
        whorl_sync(&halves[0].fork);
        for (int i = 0; i < 2; i++)
            f->results[i] = halves[0].results[i] == halves[1].results[i] ? halves[0].results[i] : 1;
        return;
    }
    f->results[0] = whorl_sleep(WHORL_SEC(9));
    f->results[1] = whorl_sleep(WHORL_SEC(9));
}

static intptr_t cancel_forks(void *arg)
{
    struct forked f = {.depth = 3};
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_deadline(&s, whorl_after(WHORL_SEC(1))), 0);
    fork_and_sleep(&f.fork);
    CHECK_EQ(f.results[0], -ETIMEDOUT);
    CHECK_EQ(f.results[1], -ETIMEDOUT);
    CHECK(at(WHORL_SEC(1)));
    CHECK_EQ(whorl_scope_close(&s), -ETIMEDOUT);
    return 0;
}

TEST(scope, forks_are_in_it)
{
    run_everywhere(cancel_forks, NULL);
}

static intptr_t sleep_for(void *arg)
{
    return whorl_sleep((whorl_ns)(intptr_t)arg);
}

static intptr_t limit(void *arg)
{
    intptr_t result = 5;

    (void)arg;
    CHECK_EQ(whorl_wait_for(sleep_for, (void *)(intptr_t)WHORL_SEC(1), WHORL_SEC(3), &result), 0);
    CHECK_EQ(result, 0);
    CHECK_EQ(whorl_wait_for(sleep_for, (void *)(intptr_t)WHORL_SEC(9), WHORL_SEC(3), &result), -ETIMEDOUT);
    CHECK(at(WHORL_SEC(4)));
    result = 5;
    CHECK_EQ(whorl_wait_for(sleep_for, (void *)(intptr_t)WHORL_SEC(9), 0, &result), -ETIMEDOUT);
    CHECK_EQ(result, 5);
    CHECK_EQ(whorl_wait_for(fail_when_cancelled, NULL, WHORL_SEC(1), &result), 0); /* it timed out, and said something else */
    CHECK_EQ(result, 0);
    return 0;
}

TEST(scope, wait_for_ends_in_time)
{
    run_everywhere(limit, NULL);
}

static intptr_t leave_children(void *arg)
{
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open(&s);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(whorl_scope_spawn(&s, sleep_for, (void *)(intptr_t)WHORL_SEC(9)), 0);
    return whorl_scope_close(&s);
}

static intptr_t end_early(void *arg)
{
    (void)arg;
    whorl_detach(whorl_spawn(leave_children, NULL));
    whorl_sleep(WHORL_SEC(1));
    return 0;
}

TEST(scope, the_end_of_the_runtime_cancels_it)
{
    for (int workers = 1; workers <= 4; workers++)
        CHECK_EQ(null_run(end_early, NULL, &(struct whorl_options){.workers = workers, .exit_policy = WHORL_EXIT_CANCEL}), 0);
}

/* A random tree: each task opens scopes, spawns, sleeps, cancels, fails. Whatever happens, who closes a scope finds its children ended. */
struct tree {
    uint64_t random;
    int alive;
};

struct leaf {
    struct tree *tree;
    struct whorl_scope *in;
    int depth;
};

static unsigned choose(struct leaf *l, unsigned n)
{
    return (unsigned)(test_random(&l->tree->random) % n);
}

static intptr_t grow(void *arg)
{
    struct leaf *l = arg, below[3];
    struct whorl_scope s;
    int err;

    l->tree->alive++;
    if (choose(l, 3) == 0)
        whorl_sleep(WHORL_MS(choose(l, 10)));
    if (l->depth > 0) {
        whorl_scope_open(&s);
        if (choose(l, 4) == 0)
            whorl_scope_shield(&s);
        if (choose(l, 3) == 0)
            whorl_scope_deadline(&s, whorl_after(WHORL_MS(choose(l, 12))));
        for (unsigned i = 0, n = choose(l, 4); i < n; i++) {
            below[i] = (struct leaf){.tree = l->tree, .in = &s, .depth = l->depth - 1};
            err = whorl_scope_spawn(&s, grow, &below[i]);
            CHECK(err == 0 || (err == -ECANCELED && whorl_scope_cancelled(&s)));
        }
        if (choose(l, 6) == 0)
            whorl_scope_cancel(&s, NULL);
        if (choose(l, 3) == 0)
            whorl_sleep(WHORL_MS(choose(l, 10)));
        err = whorl_scope_close(&s);
        CHECK(err != 0 || !whorl_scope_cancelled(&s));
        CHECK(!whorl_scope_expired(&s) || err == -ETIMEDOUT || err == -EIO);
    }
    if (l->in && choose(l, 10) == 0)
        whorl_scope_cancel(l->in, NULL);
    l->tree->alive--;
    return choose(l, 8) == 0 ? -EIO : 0;
}

static intptr_t grow_tree(void *arg)
{
    struct tree *tree = arg;
    struct leaf root = {.tree = tree, .depth = 5};

    grow(&root);
    CHECK_EQ(tree->alive, 0);
    CHECK_EQ(whorl_cancelled(), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    return 0;
}

TEST(scope, trees_of_scopes_end_whatever_happens, .timeout = 100)
{
    for (unsigned i = 0; i < test_seeds(MANY(400, 60)); i++) {
        struct tree tree = {.random = test_seed() + i};

        if (!CHECK_EQ(null_run(grow_tree, &tree, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0))
            return;
    }
}
