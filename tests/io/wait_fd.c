/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors, alone and in selects. */
#include "loopback.h"

#include <fcntl.h>

struct waiter {
    int fd, events, result;
};

static intptr_t wait_once(void *arg)
{
    struct waiter *w = arg;

    return w->result = whorl_wait_fd(w->fd, w->events);
}

static bool open_pipe(int ends[2])
{
    return CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
}

PLAIN_CALL void put_byte(int fd)
{
    CHECK_EQ(write(fd, "x", 1), 1);
}

PLAIN_CALL void get_byte(int fd)
{
    char byte;

    CHECK_EQ(read(fd, &byte, 1), 1);
}

TASK_TEST(wait_fd, tells_what_a_descriptor_is_ready_for, 2)
{
    int ends[2], bad;
    struct waiter w = {.events = POLLIN};

    if (!open_pipe(ends))
        return;
    w.fd = ends[0];
    for (int i = 0; i < 100; i++) {
        struct whorl_task *t = start("waiter", wait_once, &w);

        UNTIL(waiting("waiter", "poll"));
        put_byte(ends[1]);
        CHECK_EQ(result_of(t), POLLIN);
        CHECK_EQ(whorl_wait_fd(ends[0], POLLIN), POLLIN); /* it still is */
        get_byte(ends[0]);
    }
    CHECK_EQ(whorl_wait_fd(ends[1], POLLOUT | POLLIN), POLLOUT);
    CHECK_EQ(whorl_close(ends[1]), 0);
    CHECK_EQ(whorl_wait_fd(ends[0], POLLIN), POLLHUP);
    CHECK_EQ(whorl_close(ends[0]), 0);
    bad = ends[0];
    CHECK_EQ(whorl_wait_fd(bad, POLLIN), -EBADF);
    CHECK_EQ(whorl_wait_fd(-1, POLLIN), -EBADF);
}

TASK_TEST(wait_fd, ends_when_cancelled_late_or_closed, 2)
{
    int ends[2];
    struct waiter w = {.events = POLLIN};
    struct whorl_scope s;
    struct whorl_task *t;

    if (!open_pipe(ends))
        return;
    w.fd = ends[0];
    t = start("waiter", wait_once, &w);
    UNTIL(waiting("waiter", "poll"));
    whorl_cancel(t);
    CHECK_EQ(result_of(t), -ECANCELED);
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_deadline(&s, whorl_after(WHORL_MS(1))), 0);
    CHECK_EQ(whorl_wait_fd(ends[0], POLLIN), -ETIMEDOUT);
    CHECK_EQ(whorl_scope_close(&s), -ETIMEDOUT);
    t = start("waiter", wait_once, &w);
    UNTIL(waiting("waiter", "poll"));
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(result_of(t), -ECANCELED);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

/* One who does what the select is to see. */
struct other {
    struct whorl_channel *channel;
    int fd;
};

static intptr_t send_on(void *arg)
{
    struct other *o = arg;

    whorl_sleep(WHORL_US(200));
    return whorl_channel_send(o->channel, &(long){3});
}

static intptr_t write_on(void *arg)
{
    struct other *o = arg;

    whorl_sleep(WHORL_US(200));
    put_byte(o->fd);
    return 0;
}

TASK_TEST(wait_fd, a_select_takes_what_comes_first_and_lets_go_of_the_rest, 2)
{
    int first[2], second[2];
    struct other o = {.channel = whorl_channel_create(sizeof(long), 0)};
    long item = 0;
    struct whorl_case cases[4];

    if (!open_pipe(first) || !open_pipe(second))
        return;
    cases[0] = whorl_case_fd(first[0], POLLIN);
    cases[1] = whorl_case_recv(o.channel, &item);
    cases[2] = whorl_case_fd(second[0], POLLIN);
    cases[3] = whorl_case_at(whorl_after(WHORL_SEC(1000)));
    CHECK_EQ(whorl_try_select(cases, 4), -EAGAIN);
    for (unsigned i = 0; i < rounds(300); i++) {
        int wanted = (int)(i % 3);
        struct whorl_task *t;

        o.fd = wanted == 0 ? first[1] : second[1];
        t = start("other", wanted == 1 ? send_on : write_on, &o);
        CHECK_EQ(whorl_select(cases, 4), wanted);
        CHECK_EQ(cases[wanted].result, wanted == 1 ? 0 : POLLIN);
        CHECK_EQ(result_of(t), 0);
        CHECK_EQ(waiting("select", "poll"), 0); /* those who helped have ended */
        if (wanted != 1) {
            CHECK_EQ(whorl_try_select(cases, 4), wanted);
            get_byte(wanted == 0 ? first[0] : second[0]);
        }
    }
    cases[3] = whorl_case_at(whorl_after(WHORL_MS(1)));
    CHECK_EQ(whorl_select(cases, 4), 3);
    CHECK_EQ(whorl_close(first[1]), 0);
    CHECK_EQ(whorl_select(cases, 1), 0);
    CHECK_EQ(cases[0].result, POLLHUP);
    CHECK_EQ(whorl_close(first[0]), 0);
    CHECK_EQ(whorl_select(cases, 1), 0);
    CHECK_EQ(cases[0].result, -EBADF);
    CHECK_EQ(whorl_close(second[0]), 0);
    CHECK_EQ(whorl_close(second[1]), 0);
    whorl_channel_destroy(o.channel);
}

static intptr_t select_descriptors(void *arg)
{
    const int *fds = arg;
    struct whorl_case cases[] = {whorl_case_fd(fds[0], POLLIN), whorl_case_fd(fds[1], POLLIN)};
    int chosen = whorl_select(cases, 2);

    return chosen < 0 ? chosen : cases[chosen].result;
}

TASK_TEST(wait_fd, a_select_that_is_cancelled_or_late_leaves_no_operation, 2)
{
    int first[2], second[2], fds[2];
    struct whorl_scope s;

    if (!open_pipe(first) || !open_pipe(second))
        return;
    fds[0] = first[0];
    fds[1] = second[0];
    for (unsigned i = 0; i < rounds(200); i++) {
        struct whorl_task *t = start("selects", select_descriptors, fds);

        if (i % 2)
            UNTIL(waiting("selects", "select"));
        whorl_cancel(t);
        CHECK_EQ(result_of(t), -ECANCELED);
    }
    for (int i = 0; i < 20; i++) { /* all waits in the scope are cut short, also that for the helpers' end */
        whorl_scope_open(&s);
        CHECK_EQ(whorl_scope_deadline(&s, whorl_after(WHORL_US(300))), 0);
        CHECK_EQ(select_descriptors(fds), -ETIMEDOUT);
        CHECK_EQ(select_descriptors(fds), -ETIMEDOUT);
        CHECK_EQ(whorl_scope_close(&s), -ETIMEDOUT);
    }
    for (int i = 0; i < 2; i++) { /* one of them is closed meanwhile */
        struct whorl_task *t = start("selects", select_descriptors, fds);

        UNTIL(waiting("select", "poll") == 2);
        CHECK_EQ(whorl_close(fds[i]), 0);
        CHECK_EQ(result_of(t), -ECANCELED);
        fds[i] = dup(fds[1 - i]);
    }
    CHECK_EQ(whorl_close(fds[0]), 0);
    CHECK_EQ(whorl_close(fds[1]), 0);
    CHECK_EQ(whorl_close(first[1]), 0);
    CHECK_EQ(whorl_close(second[1]), 0);
}

static intptr_t wait_without_kernel(void *arg)
{
    struct whorl_case fd = whorl_case_fd(0, POLLIN);

    CHECK_EQ(whorl_wait_fd(0, POLLIN), -EOPNOTSUPP);
    CHECK_EQ(whorl_try_select(&fd, 1), 0);
    CHECK_EQ(fd.result, -EOPNOTSUPP);
    CHECK_EQ(whorl_select(&fd, 1), 0);
    CHECK_EQ(fd.result, -EOPNOTSUPP);
    return (intptr_t)arg;
}

TEST(wait_fd, the_null_reactor_refuses)
{
    CHECK_EQ(whorl_run(wait_without_kernel, NULL, &(struct whorl_options){.size = sizeof(struct whorl_options), .reactor = "null"}),
             0);
}
