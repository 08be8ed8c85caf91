/* SPDX-License-Identifier: MIT */
/* What is declared to be closed when its block is left is closed, whichever way that is left, once. */
#include <whorl/whorl.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "child.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* Not with a thread-local's address kept over a switch: a function of its own. */
static __attribute__((noinline)) bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static __attribute__((noinline)) int open_one(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

enum way { END, RETURN, BREAK, GOTO, CLOSED, CANCELLED, WAYS };

static intptr_t sleep_a_second(void *arg)
{
    int *ended = arg;
    int err = whorl_sleep(WHORL_SEC(1));

    ++*ended;
    return err;
}

/* Leaves a block, and says which descriptor was open in there. */
static int leave(enum way way, int *ended)
{
    int before = -1;

    for (int i = 0; i < 2; i++) {
        WHORL_AUTO_FD(fd, open_one());
        WHORL_AUTO_SCOPE(s);

        before = fd;
        CHECK(is_open(fd));
        CHECK_EQ(whorl_scope_spawn(&s, sleep_a_second, ended), 0);
        if (way == RETURN)
            return before;
        if (way == BREAK)
            break;
        if (way == GOTO)
            goto out;
        if (way == CANCELLED)
            whorl_scope_cancel(&s, "no more of it");
        if (way == CLOSED) {
            CHECK_EQ(whorl_scope_close(&s), 0);
            CHECK_EQ(*ended, i + 1);
        }
    }
out:
    return before;
}

static intptr_t leave_every_way(void *arg)
{
    (void)arg;
    for (enum way way = END; way < WAYS; way++) {
        bool twice = way != RETURN && way != BREAK && way != GOTO;
        int ended = 0;
        whorl_ns before = whorl_now();

        CHECK(!is_open(leave(way, &ended)));
        CHECK_EQ(ended, twice ? 2 : 1);
        CHECK_EQ(whorl_now() - before >= WHORL_SEC(twice ? 2 : 1), way != CANCELLED);
    }
    return 0;
}

TEST(cleanup_scope, a_block_may_be_left_in_any_way)
{
    run_everywhere(leave_every_way, NULL);
}

static int give_away(void)
{
    WHORL_AUTO_FD(none, -1);
    WHORL_AUTO_FD(fd, open_one());
    int kept = fd;

    CHECK_EQ(none, -1);
    fd = -1;
    return kept;
}

static intptr_t keep(void *arg)
{
    int fd = give_away();

    (void)arg;
    CHECK(is_open(fd));
    CHECK_EQ(whorl_close(fd), 0);
    return 0;
}

TEST(cleanup_scope, a_descriptor_can_be_kept)
{
    run_everywhere(keep, NULL);
}

/* Who is cancelled leaves through the same blocks. */
static intptr_t wait_inside(void *arg)
{
    WHORL_AUTO_SCOPE(outer);
    WHORL_AUTO_SCOPE(inner);

    CHECK_EQ(whorl_scope_spawn(&outer, sleep_a_second, arg), 0);
    CHECK_EQ(whorl_scope_spawn(&inner, sleep_a_second, arg), 0);
    return whorl_sleep(WHORL_SEC(9));
}

static intptr_t cancel_inside(void *arg)
{
    struct whorl_scope s;
    int ended = 0;

    (void)arg;
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn(&s, wait_inside, &ended), 0);
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    whorl_scope_cancel(&s, NULL);
    CHECK_EQ(whorl_scope_close(&s), -ECANCELED);
    CHECK_EQ(ended, 2);
    CHECK(whorl_now() < WHORL_SEC(1));
    return 0;
}

TEST(cleanup_scope, who_is_cancelled_closes_too)
{
    run_everywhere(cancel_inside, NULL);
}

static intptr_t close_twice(void *arg)
{
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open_at(&s, "twice.c:1");
    CHECK_EQ(whorl_scope_close(&s), 0);
    return whorl_scope_close(&s);
}

static void run_close_twice(void *arg)
{
    null_run(close_twice, arg, NULL);
}

TEST(cleanup_scope, a_scope_that_is_closed_is_known_to_be)
{
    char err[1024];
    int status = run_in_child(run_close_twice, NULL, err, sizeof err);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(err, "whorl_scope_close was given the scope opened at twice.c:1, which is closed");
}
