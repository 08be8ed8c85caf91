/* SPDX-License-Identifier: MIT */
/* Cancels and deadlines that meet what they are to end: whoever is first, a result is delivered once and a cancel ends one wait. Each
 * test runs thousands of rounds on a few workers, the moments drawn from the seed. */
#include "loopback.h"

#include <signal.h>

enum { WORKERS = 4, ROUNDS = 4000 };

/* A round's tasks, each with a moment at which it acts. */
struct round {
    int fd, port;
    int number; /* of connections accepted */
    uint64_t moments[3];
    struct whorl_task *user, *child;
    unsigned char expected;
};

/* Lets a moment pass that `chance` decides on: nothing, a few turns of the others, or some time that nobody else gets. */
static void dally(uint64_t chance)
{
    unsigned length = (unsigned)(chance >> 8) % 8;

    if (chance % 3 == 1)
        while (length--)
            whorl_yield();
    else if (chance % 3 == 2)
        for (whorl_ns end = whorl_after(WHORL_US(2) * length); whorl_now() < end;)
            continue;
}

static intptr_t cancel_user(void *arg)
{
    struct round *r = arg;

    dally(r->moments[0]);
    whorl_cancel(r->user);
    return 0;
}

/* After a result the cancel is still to come, or to be obeyed; it ends a wait that nothing else would. */
static void expect_cancel_later(void)
{
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
}

/* Runs the user, its canceller and the third party of many rounds. `prepare` may be NULL. */
static void race(struct round *r, whorl_fn user, whorl_fn other, void (*prepare)(struct round *))
{
    uint64_t seed = test_seed();

    for (unsigned i = 0; i < rounds(ROUNDS) && test_failures() == 0; i++) {
        struct whorl_task *canceller, *third;

        r->expected = (unsigned char)i;
        for (int m = 0; m < 3; m++)
            r->moments[m] = test_random(&seed);
        if (prepare)
            prepare(r);
        r->user = start("user", user, r);
        canceller = start("canceller", cancel_user, r);
        third = start("third", other, r);
        CHECK_EQ(result_of(r->user), 0);
        CHECK_EQ(result_of(canceller), 0);
        CHECK_EQ(result_of(third), 0);
    }
}

/* A byte that comes, once */

enum { CANARY = 0xee };

static intptr_t receive_byte(void *arg)
{
    struct round *r = arg;
    unsigned char buffer[64], after = 0;
    ssize_t n;

    memset(buffer, CANARY, sizeof buffer);
    dally(r->moments[2]);
    n = whorl_recv(r->fd, buffer, sizeof buffer, 0);
    if (n == 1) {
        CHECK_EQ(buffer[0], r->expected);
        expect_cancel_later();
        buffer[0] = CANARY;
    } else {
        CHECK_EQ(n, -ECANCELED);
        CHECK_EQ(whorl_recv(r->fd, &after, 1, 0), 1);
        CHECK_EQ(after, r->expected);
    }
    for (size_t i = 0; i < sizeof buffer; i++)
        CHECK_EQ(buffer[i], CANARY);
    return 0;
}

static intptr_t send_byte(void *arg)
{
    struct round *r = arg;

    dally(r->moments[1]);
    CHECK_EQ(plain_send(r->port, &r->expected, 1), 1);
    return 0;
}

TASK_TEST_WITHIN(races, a_byte_is_received_once_whenever_the_cancel_comes, WORKERS, 60)
{
    struct round r;
    int ends[2];

    if (!connect_ends(ends))
        return;
    r.fd = ends[0];
    r.port = ends[1];
    race(&r, receive_byte, send_byte, NULL);
    CHECK_EQ(readable(ends[0]), 0);
    close_ends(ends);
}

static intptr_t receive_by_deadline(void *arg)
{
    struct round *r = arg;
    unsigned char buffer[64], after = 0;
    ssize_t n;

    memset(buffer, CANARY, sizeof buffer);
    whorl_deadline(whorl_after((whorl_ns)(r->moments[2] % 20000)));
    n = whorl_recv(r->fd, buffer, sizeof buffer, 0);
    whorl_deadline(WHORL_NEVER);
    if (n == 1) {
        CHECK_EQ(buffer[0], r->expected);
        buffer[0] = CANARY;
    } else {
        CHECK_EQ(n, -ETIMEDOUT);
        CHECK_EQ(whorl_recv(r->fd, &after, 1, 0), 1);
        CHECK_EQ(after, r->expected);
    }
    for (size_t i = 0; i < sizeof buffer; i++)
        CHECK_EQ(buffer[i], CANARY);
    return 0;
}

TASK_TEST_WITHIN(races, a_byte_is_received_once_whenever_the_deadline_comes, WORKERS, 60)
{
    struct round r = {.port = -1};
    uint64_t seed = test_seed();
    int ends[2];

    if (!connect_ends(ends))
        return;
    r.fd = ends[0];
    r.port = ends[1];
    for (unsigned i = 0; i < rounds(ROUNDS) && test_failures() == 0; i++) {
        struct whorl_task *sender;

        r.expected = (unsigned char)i;
        r.moments[1] = test_random(&seed);
        r.moments[2] = test_random(&seed);
        r.user = start("user", receive_by_deadline, &r);
        sender = start("sender", send_byte, &r);
        CHECK_EQ(result_of(r.user), 0);
        CHECK_EQ(result_of(sender), 0);
    }
    close_ends(ends);
}

/* Bytes that are sent, as many as were said */

enum { SENDS = 400 };

static intptr_t send_cancelled(void *arg)
{
    static const char bytes[1 << 14];
    struct round *r = arg;
    intptr_t sent = 0;

    for (unsigned i = 0; i < rounds(SENDS); i++) {
        ssize_t n = whorl_send(r->fd, bytes, sizeof bytes, 0);

        CHECK(n > 0 || n == -ECANCELED);
        sent += n > 0 ? n : 0;
    }
    CHECK_EQ(whorl_shutdown(r->fd, SHUT_WR), 0);
    return sent;
}

static intptr_t receive_to_the_end(void *arg)
{
    static char bytes[3000];
    struct round *r = arg;
    uint64_t seed = test_seed();
    intptr_t received = 0;
    ssize_t n;

    while ((n = whorl_recv(r->port, bytes, sizeof bytes, 0)) > 0) {
        received += n;
        if (test_random(&seed) % 16 == 0)
            dally(test_random(&seed));
    }
    CHECK_EQ(n, 0);
    return received;
}

TASK_TEST_WITHIN(races, a_cancelled_send_has_sent_nothing, WORKERS, 60)
{
    struct round r = {.port = -1};
    struct whorl_task *receiver;
    uint64_t seed = test_seed();
    int ends[2];

    if (!connect_ends(ends))
        return;
    r.fd = ends[0];
    r.port = ends[1];
    r.user = start("user", send_cancelled, &r);
    receiver = start("receiver", receive_to_the_end, &r);
    while (whorl_result(r.user, NULL) < 0) {
        dally(test_random(&seed));
        whorl_cancel(r.user);
        whorl_yield();
    }
    CHECK_EQ(result_of(r.user), result_of(receiver));
    close_ends(ends);
}

/* A connection, accepted once */

static intptr_t accept_connection(void *arg)
{
    struct round *r = arg;
    int fd;

    dally(r->moments[2]);
    fd = whorl_accept(r->fd);
    if (fd >= 0) {
        expect_cancel_later();
    } else {
        CHECK_EQ(fd, -ECANCELED);
        fd = whorl_accept(r->fd);
    }
    if (CHECK(fd >= 0))
        CHECK_EQ(whorl_close(fd), 0);
    return 0;
}

static intptr_t make_connection(void *arg)
{
    struct round *r = arg;
    int fd;

    dally(r->moments[1]);
    fd = plain_connect(r->port);
    return CHECK(fd >= 0) ? whorl_close(fd) : fd;
}

TASK_TEST_WITHIN(races, a_connection_is_accepted_once_whenever_the_cancel_comes, WORKERS, 60)
{
    struct round r = {.fd = whorl_tcp_listen(LOOPBACK, 0, NULL)};

    r.port = whorl_tcp_port(r.fd);
    race(&r, accept_connection, make_connection, NULL);
    CHECK_EQ(whorl_close(r.fd), 0);
}

static intptr_t connect_once(void *arg)
{
    struct round *r = arg;
    int fd;

    dally(r->moments[2]);
    fd = whorl_tcp_connect(LOOPBACK, (uint16_t)r->port);
    if (fd >= 0) {
        expect_cancel_later();
    } else {
        CHECK_EQ(fd, -ECANCELED);
        fd = whorl_tcp_connect(LOOPBACK, (uint16_t)r->port);
    }
    return CHECK(fd >= 0) ? whorl_close(fd) : fd;
}

static intptr_t take_connections(void *arg)
{
    struct round *r = arg;
    int fd;

    while ((fd = whorl_accept(r->fd)) >= 0) {
        CHECK_EQ(whorl_close(fd), 0);
        __atomic_add_fetch(&r->number, 1, __ATOMIC_SEQ_CST);
    }
    CHECK(fd == -ECANCELED || fd == -EBADF); /* of the close, during the call or before it */
    return 0;
}

static intptr_t nothing(void *arg)
{
    return arg ? 0 : -1;
}

TASK_TEST_WITHIN(races, a_cancelled_connect_leaves_nothing_behind, WORKERS, 60)
{
    struct round r = {.fd = whorl_tcp_listen(LOOPBACK, 0, NULL)};
    struct whorl_task *acceptor;

    r.port = whorl_tcp_port(r.fd);
    acceptor = start("acceptor", take_connections, &r);
    race(&r, connect_once, nothing, NULL);
    UNTIL(__atomic_load_n(&r.number, __ATOMIC_SEQ_CST) >= (int)rounds(ROUNDS) || test_failures());
    CHECK_EQ(whorl_close(r.fd), 0);
    CHECK_EQ(result_of(acceptor), 0);
}

/* Waits without descriptors */

static intptr_t join_child(void *arg)
{
    struct round *r = arg;
    int err;

    dally(r->moments[2]);
    err = whorl_join(r->child, NULL);
    if (err == 0) {
        expect_cancel_later();
    } else {
        CHECK_EQ(err, -ECANCELED);
        CHECK_EQ(whorl_join(r->child, NULL), 0); /* the handle was still good */
    }
    return 0;
}

static intptr_t end_soon(void *arg)
{
    struct round *r = arg;

    dally(r->moments[1]);
    return 0;
}

static void start_child(struct round *r)
{
    r->child = start("child", end_soon, r);
}

TASK_TEST_WITHIN(races, a_join_succeeds_once_whenever_the_cancel_comes, WORKERS, 60)
{
    struct round r;

    race(&r, join_child, nothing, start_child);
}

static intptr_t sleep_a_moment(void *arg)
{
    struct round *r = arg;
    int err = whorl_sleep((whorl_ns)(r->moments[2] % 20000));

    if (err == 0)
        expect_cancel_later();
    else
        CHECK_EQ(err, -ECANCELED);
    CHECK_EQ(whorl_sleep(1), 0);
    return 0;
}

TASK_TEST_WITHIN(races, a_cancel_ends_one_sleep, WORKERS, 60)
{
    struct round r;

    race(&r, sleep_a_moment, nothing, NULL);
}

static intptr_t wait_for_signal(void *arg)
{
    static const int signals[] = {SIGUSR1};
    struct round *r = arg;
    int n;

    dally(r->moments[2]);
    n = whorl_signal_wait(signals, 1);
    if (n == SIGUSR1) {
        expect_cancel_later();
    } else {
        CHECK_EQ(n, -ECANCELED);
        CHECK_EQ(whorl_signal_wait(signals, 1), SIGUSR1);
    }
    return 0;
}

static intptr_t raise_signal(void *arg)
{
    struct round *r = arg;

    dally(r->moments[1]);
    kill(getpid(), SIGUSR1);
    return 0;
}

static void race_for_signal(void)
{
    struct round r;

    race(&r, wait_for_signal, raise_signal, NULL);
}

TEST(races, a_signal_is_reported_once_whenever_the_cancel_comes, .timeout = 60)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    in_runtime(WORKERS, race_for_signal);
}
