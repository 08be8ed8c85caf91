/* SPDX-License-Identifier: MIT */
/* Waits that end early, by a cancel or a deadline: at each place where a task can wait, and at any moment. */
#include "loopback.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>

#include "runtime/scheduler.h" /* whorl__interrupt */

/* Places to wait */

static const char zeros[1 << 16];

/* What there is to wait for; none of it ever comes by itself. */
static struct {
    int quiet[2];    /* a connection on which nothing is sent */
    int full[2];     /* one that takes no more at its first end: local sockets, since TCP finds room later */
    int listener;    /* nobody connects to it */
    int unreachable; /* a port that does not answer: its backlog is full */
    int backlog[20]; /* descriptors that make it so */
    int backlog_size;
    int pipe[2]; /* empty */
    struct whorl_task *endless;
} place;

static intptr_t wait_in_recv(void)
{
    char byte;

    return whorl_recv(place.quiet[0], &byte, 1, 0);
}

static intptr_t wait_in_recv_all(void)
{
    char bytes[100];

    return whorl_recv(place.quiet[0], bytes, sizeof bytes, MSG_WAITALL);
}

static intptr_t wait_in_send(void)
{
    return whorl_send(place.full[0], zeros, sizeof zeros, 0);
}

static intptr_t wait_in_send_all(void)
{
    return whorl_send_all(place.full[0], zeros, sizeof zeros, 0);
}

static intptr_t wait_in_accept(void)
{
    return whorl_accept(place.listener);
}

static intptr_t wait_in_connect(void)
{
    return whorl_tcp_connect(LOOPBACK, (uint16_t)place.unreachable);
}

static intptr_t wait_in_read(void)
{
    char byte;

    return whorl_read_at(place.pipe[0], &byte, 1, 0);
}

static intptr_t wait_for_signal(void)
{
    static const int signals[] = {SIGUSR1, SIGUSR2};

    return whorl_signal_wait(signals, 2);
}

static intptr_t wait_in_sleep(void)
{
    return whorl_sleep(WHORL_SEC(1000));
}

static intptr_t wait_in_join(void)
{
    return whorl_join(place.endless, NULL);
}

static const struct point {
    const char *what; /* as in dumps */
    intptr_t (*call)(void);
} points[] = {
    {"recv", wait_in_recv},         {"recv", wait_in_recv_all},   {"send", wait_in_send}, {"send", wait_in_send_all},
    {"accept", wait_in_accept},     {"connect", wait_in_connect}, {"read", wait_in_read}, {"poll", wait_for_signal},
    {"sleep until", wait_in_sleep}, {"join", wait_in_join},
};
enum { POINTS = sizeof points / sizeof points[0] };

static intptr_t sleep_until_cancelled(void *arg)
{
    CHECK_EQ(whorl_sleep_until(WHORL_NEVER - 1), -ECANCELED);
    return (intptr_t)arg;
}

/* Begins a connection to `port`. True once one is not answered. */
PLAIN_CALL bool overfill_backlog(int port)
{
    struct sockaddr_in a = loopback_address(port);
    struct tcp_info info;
    socklen_t size = sizeof info;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    place.backlog[place.backlog_size++] = fd;
    CHECK(connect(fd, (struct sockaddr *)&a, sizeof a) == 0 || errno == EINPROGRESS);
    CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info.tcpi_state == TCP_SYN_SENT;
}

static bool open_place(void)
{
    struct whorl_listen_options small = {.size = sizeof small, .backlog = 1};
    int listener = whorl_tcp_listen(LOOPBACK, 0, &small);

    memset(&place, 0, sizeof place);
    place.backlog[place.backlog_size++] = listener;
    place.unreachable = whorl_tcp_port(listener);
    while (place.backlog_size < 19 && !overfill_backlog(place.unreachable))
        continue;
    place.listener = whorl_tcp_listen(LOOPBACK, 0, NULL);
    place.endless = start("endless", sleep_until_cancelled, NULL);
    CHECK_EQ(pipe2(place.pipe, O_CLOEXEC), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, place.full), 0);
    if (!connect_ends(place.quiet) || !CHECK(place.backlog_size < 19))
        return false;
    fill(place.full[0]);
    return true;
}

static void close_place(void)
{
    whorl_cancel(place.endless);
    CHECK_EQ(result_of(place.endless), 0);
    for (int i = 0; i < place.backlog_size; i++)
        CHECK_EQ(whorl_close(place.backlog[i]), 0);
    CHECK_EQ(whorl_close(place.listener), 0);
    close_ends(place.pipe);
    close_ends(place.quiet);
    close_ends(place.full);
}

static void in_place(int workers, void (*fn)(void))
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    in_runtime(workers, fn);
}

#define PLACE_TEST(name)                                                                                                           \
    static void name(void);                                                                                                        \
    static void name##__in_place(void)                                                                                             \
    {                                                                                                                              \
        if (open_place())                                                                                                          \
            name();                                                                                                                \
        close_place();                                                                                                             \
    }                                                                                                                              \
    TEST(cancel, name)                                                                                                             \
    {                                                                                                                              \
        in_place(2, name##__in_place);                                                                                             \
    }                                                                                                                              \
    static void name(void)

/* Each place, each way */

static intptr_t wait_there(void *arg)
{
    const struct point *p = arg;
    intptr_t result = p->call();

    CHECK_EQ(whorl_sleep(1), 0); /* one cancel, one wait */
    return result;
}

PLACE_TEST(a_waiting_task_is_cancelled)
{
    for (int i = 0; i < POINTS; i++) {
        struct whorl_task *t = start("user", wait_there, (void *)(uintptr_t)&points[i]);

        UNTIL(waiting("user", points[i].what));
        whorl_cancel(t);
        CHECK_EQ(result_of(t), -ECANCELED);
    }
}

PLACE_TEST(a_task_on_its_way_to_wait_is_cancelled)
{
    for (int i = 0; i < POINTS; i++)
        for (int yields = 0; yields < 3; yields++) {
            struct whorl_task *t = start("user", wait_there, (void *)(uintptr_t)&points[i]);

            for (int y = 0; y < yields; y++)
                whorl_yield();
            whorl_cancel(t);
            CHECK_EQ(result_of(t), -ECANCELED);
        }
}

static intptr_t wait_cancelled(void *arg)
{
    whorl_cancel(whorl_self());
    return wait_there(arg);
}

PLACE_TEST(a_cancelled_task_does_not_begin_to_wait)
{
    for (int i = 0; i < POINTS; i++)
        CHECK_EQ(result_of(start("user", wait_cancelled, (void *)(uintptr_t)&points[i])), -ECANCELED);
}

static intptr_t wait_with_deadline(void *arg)
{
    const struct point *p = arg;
    intptr_t result;

    CHECK_EQ(whorl_deadline(whorl_after(WHORL_MS(2))), WHORL_NEVER);
    result = p->call();
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ETIMEDOUT); /* every wait, until there is another deadline */
    CHECK(whorl_deadline(WHORL_NEVER) <= whorl_now());
    CHECK_EQ(whorl_sleep(1), 0);
    return result;
}

PLACE_TEST(a_deadline_ends_a_wait)
{
    for (int i = 0; i < POINTS; i++)
        CHECK_EQ(result_of(start("user", wait_with_deadline, (void *)(uintptr_t)&points[i])), -ETIMEDOUT);
}

static intptr_t wait_too_late(void *arg)
{
    const struct point *p = arg;
    intptr_t result;

    whorl_deadline(whorl_now() - 1);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ETIMEDOUT);
    result = p->call();
    whorl_deadline(WHORL_NEVER);
    return result;
}

PLACE_TEST(a_task_past_its_deadline_does_not_begin_to_wait)
{
    for (int i = 0; i < POINTS; i++)
        CHECK_EQ(result_of(start("user", wait_too_late, (void *)(uintptr_t)&points[i])), -ETIMEDOUT);
}

/* Whether the operation that `t` waits for can be found by who cancels it, or even is the kernel's by now. */
static bool has_come(struct whorl_task *t, bool to_the_kernel)
{
    struct whorl__port *port = whorl__load_acquire(&t->op.port);

    return port && (!to_the_kernel || whorl__load_relaxed(&port->pending) == 0);
}

static uint64_t submitted(void)
{
    struct whorl_stats stats = {.size = sizeof stats};

    CHECK_EQ(whorl_stats(-1, &stats), 0);
    return stats.submitted;
}

static void interrupt_there(const struct point *p)
{
    struct whorl_task *t = start("user", wait_there, (void *)(uintptr_t)p);
    bool operates = p->call != wait_in_sleep && p->call != wait_in_join;
    uint64_t before;

    for (int late = 0; late < 6; late++) {
        UNTIL(waiting("user", "") || whorl_result(t, NULL) == 0);
        if (operates)
            UNTIL(has_come(t, late % 2) || whorl_result(t, NULL) == 0);
        before = submitted();
        whorl__interrupt(t);
        if (operates)
            UNTIL(submitted() > before || whorl_result(t, NULL) == 0); /* it waits again */
    }
    UNTIL(waiting("user", "") || whorl_result(t, NULL) == 0);
    whorl_cancel(t);
    if (!CHECK_EQ(result_of(t), -ECANCELED))
        fprintf(stderr, "in %s\n", p->what);
}

/* A canceller may be so late that the task waits for something else already (wait.c). That is as if nothing had been. */
PLACE_TEST(a_cancel_meant_for_an_earlier_wait_does_no_harm)
{
    for (int i = 0; i < POINTS; i++)
        interrupt_there(&points[i]);
}

/* Nothing is lost, nothing is touched */

struct transfer {
    int fd;
    size_t size;
    int flags;
    unsigned char buffer[256], after[256];
    ssize_t first, second;
};

enum { CANARY = 0xee };

/* Receives, then once more into other memory, the buffer of the first call being somebody else's meanwhile. */
static intptr_t receive_twice(void *arg)
{
    struct transfer *t = arg;

    t->first = whorl_recv(t->fd, t->buffer, t->size, t->flags);
    if (t->first < 0)
        memset(t->buffer, CANARY, sizeof t->buffer);
    whorl_deadline(WHORL_NEVER);
    t->second = whorl_recv(t->fd, t->after, t->size, t->flags);
    return 0;
}

TASK_TEST(cancel, a_buffer_is_not_written_after_its_call_has_returned, 2)
{
    for (int flags = 0; flags <= MSG_WAITALL; flags += MSG_WAITALL) {
        struct transfer transfer = {.size = 200, .flags = flags};
        struct whorl_task *t;
        char bytes[200];
        int ends[2];

        if (!connect_ends(ends))
            return;
        transfer.fd = ends[0];
        t = start("user", receive_twice, &transfer);
        UNTIL(waiting("user", "recv"));
        whorl_cancel(t);
        memset(bytes, 'x', sizeof bytes);
        CHECK_EQ(whorl_send_all(ends[1], bytes, sizeof bytes, 0), sizeof bytes);
        CHECK_EQ(result_of(t), 0);
        CHECK_EQ(transfer.first, -ECANCELED);
        CHECK_EQ(transfer.second, 200);
        for (size_t i = 0; i < sizeof transfer.buffer; i++)
            CHECK_EQ(transfer.buffer[i], CANARY);
        CHECK(memcmp(transfer.after, bytes, sizeof bytes) == 0);
        close_ends(ends);
    }
}

static intptr_t receive_in_parts(void *arg)
{
    struct transfer *t = arg;

    t->first = whorl_recv(t->fd, t->buffer, 200, MSG_WAITALL);
    t->second = whorl_sleep(WHORL_SEC(1000));
    return whorl_recv(t->fd, t->after, 100, MSG_WAITALL);
}

TASK_TEST(cancel, what_was_received_before_is_returned, 2)
{
    struct transfer transfer = {.fd = -1};
    struct whorl_task *t;
    int ends[2];

    if (!connect_ends(ends))
        return;
    transfer.fd = ends[0];
    t = start("user", receive_in_parts, &transfer);
    CHECK_EQ(whorl_send_all(ends[1], zeros, 100, 0), 100);
    UNTIL(waiting("user", "recv") && readable(ends[0]) == 0); /* it has half of what it wants */
    whorl_cancel(t);
    UNTIL(transfer.first || whorl_result(t, NULL) == 0);
    CHECK_EQ(transfer.first, 100);
    CHECK_EQ(whorl_send_all(ends[1], zeros, 100, 0), 100);
    CHECK_EQ(result_of(t), 100);
    CHECK_EQ(transfer.second, -ECANCELED); /* the cancel was left for the next wait */
    close_ends(ends);
}
