/* SPDX-License-Identifier: MIT */
/* Closing a descriptor that others use: they are let go, and its number is nobody else's before that. */
#include "loopback.h"

#include <fcntl.h>
#include <sys/eventfd.h>

/* What another task may be doing with the descriptor. Each returns its call's result. */

static intptr_t receive(void *arg)
{
    char byte;

    return whorl_recv((int)(intptr_t)arg, &byte, 1, 0);
}

static intptr_t send_much(void *arg)
{
    static const char bytes[1 << 16];
    ssize_t n;

    do
        n = whorl_send((int)(intptr_t)arg, bytes, sizeof bytes, 0);
    while (n > 0);
    return n;
}

static intptr_t accept_one(void *arg)
{
    return whorl_accept((int)(intptr_t)arg);
}

static intptr_t close_it(void *arg)
{
    return whorl_close((int)(intptr_t)arg);
}

static void *of(int fd)
{
    return (void *)(intptr_t)fd;
}

TASK_TEST(close, a_receiver_is_let_go, 2)
{
    struct whorl_task *t;
    int ends[2];

    if (!connect_ends(ends))
        return;
    t = start("user", receive, of(ends[0]));
    UNTIL(waiting("user", "recv"));
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(result_of(t), -ECANCELED);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(close, a_sender_is_let_go, 2)
{
    struct whorl_task *t;
    int ends[2];

    if (!connect_ends(ends))
        return;
    t = start("user", send_much, of(ends[0]));
    UNTIL(waiting("user", "send"));
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(result_of(t), -ECANCELED);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(close, one_who_accepts_is_let_go, 2)
{
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL);
    struct whorl_task *t = start("user", accept_one, of(listener));

    UNTIL(waiting("user", "accept"));
    CHECK_EQ(whorl_close(listener), 0);
    CHECK_EQ(result_of(t), -ECANCELED);
}

TASK_TEST(close, many_users_are_let_go_at_once, 4)
{
    enum { USERS = 200 };
    struct whorl_task *users[USERS];
    int ends[2];

    if (!connect_ends(ends))
        return;
    fill(ends[0]);
    for (int i = 0; i < USERS; i++)
        users[i] = start("user", i % 2 ? receive : send_much, of(ends[0]));
    UNTIL(waiting("user", "") == USERS);
    CHECK_EQ(whorl_close(ends[0]), 0);
    for (int i = 0; i < USERS; i++)
        CHECK_EQ(result_of(users[i]), -ECANCELED);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(close, a_user_whose_operation_has_not_reached_the_kernel_is_let_go, 1)
{
    for (int i = 0; i < 100; i++) {
        struct whorl_task *t;
        int ends[2];

        if (!connect_ends(ends))
            return;
        t = start("user", receive, of(ends[0]));
        whorl_yield(); /* on one worker it has begun now, and nobody has polled */
        CHECK_EQ(whorl_close(ends[0]), 0);
        CHECK_EQ(result_of(t), -ECANCELED);
        CHECK_EQ(whorl_close(ends[1]), 0);
    }
}

TASK_TEST(close, a_result_that_is_there_wins, 1)
{
    struct whorl_task *t;
    int ends[2];

    if (!connect_ends(ends))
        return;
    t = start("user", receive, of(ends[0]));
    UNTIL(waiting("user", "recv"));
    CHECK_EQ(plain_send(ends[1], "x", 1), 1); /* the kernel completes the receive now, and nobody has polled */
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(result_of(t), 1);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(close, a_second_descriptor_of_the_socket_goes_on, 2)
{
    struct whorl_task *t;
    int ends[2], second;

    if (!connect_ends(ends))
        return;
    second = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    t = start("user", receive, of(second));
    UNTIL(waiting("user", "recv"));
    CHECK_EQ(whorl_close(ends[0]), 0);
    UNTIL(waiting("user", "recv"));
    CHECK_EQ(whorl_send(ends[1], "x", 1, 0), 1);
    CHECK_EQ(result_of(t), 1);
    CHECK_EQ(whorl_close(second), 0);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

/* Numbers used again */

struct reuse {
    int number, port;
    bool wrong;
};

/* Its operation is under way when the number is closed, so it must not see what comes there afterwards. */
static intptr_t receive_old(void *arg)
{
    struct reuse *r = arg;
    char bytes[4];
    ssize_t n = whorl_recv(r->number, bytes, sizeof bytes, 0);

    CHECK(n == -ECANCELED || (n == 4 && memcmp(bytes, "old!", 4) == 0));
    return n;
}

/* Connections until one has this number. */
static int connect_as(int number, int port, int *others, int *count)
{
    for (;;) {
        int fd = whorl_tcp_connect(LOOPBACK, (uint16_t)port);

        if (fd == number || !CHECK(fd >= 0) || !CHECK(*count < 16))
            return fd;
        others[(*count)++] = fd;
    }
}

static void reuse_once(int listener, uint64_t *seed)
{
    struct reuse r = {.port = whorl_tcp_port(listener)};
    int old_peer, new_peer, others[16], count = 0;
    struct whorl_task *t;
    char bytes[4] = "";

    r.number = whorl_tcp_connect(LOOPBACK, (uint16_t)r.port);
    old_peer = whorl_accept(listener);
    t = start("user", receive_old, &r);
    if (test_random(seed) % 4 == 0)
        UNTIL(waiting("user", "recv"));
    else
        for (uint64_t i = test_random(seed) % 3 + 1; i > 0; i--)
            whorl_yield();
    while (whorl_result(t, NULL) < 0 && waiting("user", "recv") == 0)
        whorl_yield();
    if (test_random(seed) % 3 == 0)
        CHECK_EQ(plain_send(old_peer, "old!", 4), 4);
    CHECK_EQ(whorl_close(r.number), 0);
    CHECK_EQ(connect_as(r.number, r.port, others, &count), r.number);
    for (int i = 0; i <= count; i++) {
        new_peer = whorl_accept(listener);
        CHECK_EQ(whorl_send(new_peer, "new!", 4, 0), 4);
        CHECK_EQ(whorl_recv(i < count ? others[i] : r.number, bytes, 4, MSG_WAITALL), 4);
        CHECK(memcmp(bytes, "new!", 4) == 0);
        CHECK_EQ(whorl_close(new_peer), 0);
        CHECK_EQ(whorl_close(i < count ? others[i] : r.number), 0);
    }
    result_of(t);
    CHECK_EQ(whorl_close(old_peer), 0);
}

static void reuse_often(void)
{
    uint64_t seed = test_seed();
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL);

    for (unsigned i = 0; i < rounds(2000) && test_failures() == 0; i++)
        reuse_once(listener, &seed);
    CHECK_EQ(whorl_close(listener), 0);
}

TEST(close, an_old_operation_does_not_hit_a_number_used_again, .timeout = 60)
{
    in_runtime(4, reuse_often);
}

TEST(close, an_old_operation_does_not_hit_a_number_used_again_on_one_worker, .timeout = 60)
{
    in_runtime(1, reuse_often);
}

/* Descriptors made and closed on all workers at once: a number is another's as soon as it is closed. */
static intptr_t make_and_close(void *arg)
{
    for (unsigned i = 0; i < rounds(3000); i++) {
        int fd = eventfd(0, EFD_CLOEXEC);

        CHECK(fd >= 0);
        if (!CHECK_EQ(whorl_close(fd), 0))
            break;
        if (i % 16 == 0)
            whorl_yield();
    }
    return (intptr_t)arg;
}

TASK_TEST(close, numbers_pass_from_worker_to_worker, 4)
{
    enum { TASKS = 8 };
    struct whorl_task *tasks[TASKS];

    for (int i = 0; i < TASKS; i++)
        tasks[i] = start("maker", make_and_close, NULL);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
}

/* Closing twice, and by several */

TASK_TEST(close, a_second_close_finds_nothing, 2)
{
    int ends[2];

    if (!connect_ends(ends))
        return;
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(whorl_close(ends[0]), -EBADF);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(close, of_several_who_close_one_does, 4)
{
    enum { CLOSERS = 8 };

    for (unsigned round = 0; round < rounds(500); round++) {
        struct whorl_task *closers[CLOSERS], *user;
        int ends[2], closed = 0;

        if (!connect_ends(ends))
            return;
        user = start("user", receive, of(ends[0]));
        for (int i = 0; i < CLOSERS; i++)
            closers[i] = start("closer", close_it, of(ends[0]));
        for (int i = 0; i < CLOSERS; i++) {
            intptr_t result = result_of(closers[i]);

            CHECK(result == 0 || result == -EBADF);
            closed += result == 0;
        }
        CHECK_EQ(closed, 1);
        CHECK(result_of(user) < 0);
        CHECK_EQ(whorl_close(ends[1]), 0);
    }
}

TASK_TEST(close, what_begins_during_a_close_is_refused, 4)
{
    for (unsigned round = 0; round < rounds(500); round++) {
        struct whorl_task *users[8], *closer;
        int ends[2];

        if (!connect_ends(ends))
            return;
        closer = start("closer", close_it, of(ends[0]));
        for (int i = 0; i < 8; i++)
            users[i] = start("user", receive, of(ends[0]));
        CHECK_EQ(result_of(closer), 0);
        for (int i = 0; i < 8; i++) {
            intptr_t result = result_of(users[i]);

            CHECK(result == -ECANCELED || result == -EBADF);
        }
        CHECK_EQ(whorl_close(ends[1]), 0);
    }
}

/* Two tasks on two workers that set out at the same moment. */
struct meeting {
    int fd, arrived; /* arrived: atomic */
    uint64_t delay;
};

/* Waits for the other without letting go of the worker, then `delay` turns of a loop more. */
static void meet(struct meeting *m, uint64_t delay)
{
    __atomic_add_fetch(&m->arrived, 1, __ATOMIC_SEQ_CST);
    for (unsigned turn = 1; __atomic_load_n(&m->arrived, __ATOMIC_SEQ_CST) < 2; turn++)
        if (turn % 4096 == 0)
            whorl_yield(); /* or they are on one worker */
    for (volatile uint64_t i = 0; i < delay; i++)
        continue;
}

static intptr_t meet_and_receive(void *arg)
{
    struct meeting *m = arg;

    meet(m, m->delay % 64);
    return receive(of(m->fd));
}

static intptr_t meet_and_close(void *arg)
{
    struct meeting *m = arg;

    meet(m, m->delay / 64 % 64);
    return whorl_close(m->fd);
}

/* The receive may begin before the close, during each of its steps, or after it. If the close missed it, it would wait for ever. */
TASK_TEST(close, a_receive_and_a_close_may_begin_together, 2)
{
    struct whorl_spawn_options other = {.size = sizeof other, .worker = WHORL_WORKER(1)};
    uint64_t seed = test_seed();

    for (unsigned i = 0; i < rounds(5000) && test_failures() == 0; i++) {
        struct meeting m = {.delay = test_random(&seed)};
        struct whorl_task *user, *closer;
        intptr_t result;
        int ends[2];

        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        m.fd = ends[0];
        user = start("user", meet_and_receive, &m);
        closer = whorl_spawn_with(meet_and_close, &m, &other);
        CHECK_EQ(result_of(closer), 0);
        result = result_of(user);
        CHECK(result == -ECANCELED || result == -EBADF);
        CHECK_EQ(whorl_close(ends[1]), 0);
    }
}

/* Not to be stopped */

static intptr_t close_while_cancelled(void *arg)
{
    whorl_cancel(whorl_self());
    CHECK_EQ(whorl_close((int)(intptr_t)arg), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(100)), -ECANCELED); /* it was for this wait */
    return 0;
}

static intptr_t close_too_late(void *arg)
{
    whorl_deadline(0);
    CHECK_EQ(whorl_close((int)(intptr_t)arg), 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(100)), -ETIMEDOUT);
    return 0;
}

static void close_by(whorl_fn closer)
{
    struct whorl_task *user, *t;
    int ends[2];

    if (!connect_ends(ends))
        return;
    user = start("user", receive, of(ends[0]));
    UNTIL(waiting("user", "recv"));
    t = start("closer", closer, of(ends[0]));
    CHECK_EQ(result_of(t), 0);
    CHECK_EQ(result_of(user), -ECANCELED);
    CHECK_EQ(fcntl(ends[0], F_GETFD), -1);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(close, a_cancelled_task_closes_all_the_same, 2)
{
    close_by(close_while_cancelled);
}

TASK_TEST(close, a_task_past_its_deadline_closes_all_the_same, 2)
{
    close_by(close_too_late);
}

TASK_TEST(close, any_kind_of_descriptor_is_closed, 2)
{
    int pipe_ends[2], fd;

    CHECK_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
    close_ends(pipe_ends);
    fd = eventfd(0, EFD_CLOEXEC);
    CHECK_EQ(whorl_close(fd), 0);
    fd = whorl_open("/dev/null", O_RDONLY, 0);
    CHECK_EQ(whorl_close(fd), 0);
}
