/* SPDX-License-Identifier: MIT */
/* Connections by the thousand: closed under those who use them while their numbers pass to others, broken off by cancels and
 * deadlines, reset, left by clients that are no tasks. Every byte that arrives is the right one, and nothing is left behind. */
#include "tests/io/loopback.h"

#include <pthread.h>
#include <time.h>

#include "runtime/task.h" /* whether a task has parked */

enum { WORKERS = 4, DRIVERS = 8, USERS_MAX = 4, THREADS = 4, CANARY = 0xee };

static whorl_ns end; /* written before the tasks that read it */
static int names;    /* atomic: of connections so far */
static int let_go;   /* atomic: users whose operation a close has ended */

/* Closing under users. Every byte that a connection carries is its own name, so one that comes by a number used again shows. */

struct link {
    unsigned char name;
    int fd, peer;
};

static bool is_all(const unsigned char *bytes, size_t size, unsigned char value)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

/* One operation, under way before the close begins: its buffer is somebody else's after it. */
static intptr_t receive_once(void *arg)
{
    const struct link l = *(struct link *)arg;
    unsigned char bytes[100];
    ssize_t n = whorl_recv(l.fd, bytes, sizeof bytes, 0);

    CHECK(n > 0 || n == -ECANCELED);
    CHECK(n <= 0 || is_all(bytes, (size_t)n, l.name));
    memset(bytes, CANARY, sizeof bytes);
    whorl_yield();
    CHECK(is_all(bytes, sizeof bytes, CANARY));
    return n;
}

static intptr_t send_once(void *arg)
{
    const struct link l = *(struct link *)arg;
    unsigned char bytes[20000];
    ssize_t n;

    memset(bytes, l.name, sizeof bytes);
    n = whorl_send(l.fd, bytes, sizeof bytes, 0);
    memset(bytes, CANARY, sizeof bytes);
    CHECK(n > 0 || n == -ECANCELED);
    return n;
}

/* Leaves no room for what a user is going to send. */
PLAIN_CALL void fill_with_name(const struct link *l)
{
    unsigned char bytes[4096];
    int small = 4096;

    CHECK_EQ(setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    CHECK_EQ(setsockopt(l->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    memset(bytes, l->name, sizeof bytes);
    while (plain_send(l->fd, bytes, sizeof bytes) > 0)
        continue;
}

/* Takes what has come to the peer. */
static void drain(const struct link *l)
{
    unsigned char bytes[4096];
    ssize_t n;

    while ((n = whorl_recv(l->peer, bytes, sizeof bytes, 0)) > 0)
        CHECK(is_all(bytes, (size_t)n, l->name));
    CHECK(n == 0 || n == -ECONNRESET);
}

/* Users are seen to wait, or to have ended, before the number is given up: none may begin a call with it later. */
static void use_and_close(const struct link *l, uint64_t *seed)
{
    struct whorl_task *users[USERS_MAX];
    unsigned char bytes[8];
    int count = 1 + (int)(test_random(seed) % USERS_MAX);
    bool sending = test_random(seed) % 4 == 0;

    if (sending)
        fill_with_name(l);
    for (int i = 0; i < count; i++)
        users[i] = start("user", sending ? send_once : receive_once, (void *)(uintptr_t)l);
    for (int i = 0; i < count; i++)
        while (users[i] && whorl__load_relaxed(&users[i]->state) != WHORL__PARKED && whorl_result(users[i], NULL) < 0)
            whorl_yield();
    memset(bytes, l->name, sizeof bytes);
    if (test_random(seed) % 2)
        CHECK_EQ(plain_send(l->peer, bytes, sizeof bytes), sizeof bytes);
    for (uint64_t turns = test_random(seed) % 8; turns > 0; turns--)
        whorl_yield();
    CHECK_EQ(whorl_close(l->fd), 0);
    for (int i = 0; i < count; i++)
        __atomic_add_fetch(&let_go, result_of(users[i]) == -ECANCELED, __ATOMIC_RELAXED);
}

static intptr_t link_and_close(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;

    while (whorl_now() < end && test_failures() == 0) {
        struct link l = {.name = (unsigned char)(1 + __atomic_add_fetch(&names, 1, __ATOMIC_RELAXED) % 200)};
        int ends[2];

        if (!connect_ends(ends))
            break;
        l.fd = ends[0];
        l.peer = ends[1];
        use_and_close(&l, &seed);
        drain(&l);
        if (test_random(&seed) % 2)
            reset_at_close(l.peer);
        CHECK_EQ(whorl_close(l.peer), 0);
    }
    return 0;
}

static void link_all(void)
{
    struct whorl_task *drivers[DRIVERS];

    names = let_go = 0;
    end = whorl_after(WHORL_SEC(test_seconds(1)));
    for (intptr_t i = 0; i < DRIVERS; i++)
        drivers[i] = start("driver", link_and_close, (void *)i);
    for (int i = 0; i < DRIVERS; i++)
        CHECK_EQ(result_of(drivers[i]), 0);
    CHECK(let_go > 0);
}

TEST(net, nothing_crosses_over_when_numbers_are_used_again, .timeout = 120)
{
    in_runtime(WORKERS, link_all);
}

/* A server, and clients that end their connections in every way */

static int port;        /* written before the clients that read it */
static int sessions[2]; /* atomic: begun, ended */

static intptr_t echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char bytes[1000];
    ssize_t n;

    whorl_deadline(whorl_after(WHORL_SEC(20)));
    while ((n = whorl_recv(fd, bytes, sizeof bytes, 0)) > 0)
        if ((n = whorl_send_all(fd, bytes, (size_t)n, 0)) < 0)
            break;
    CHECK(n == 0 || n == -ECONNRESET || n == -EPIPE);
    CHECK_EQ(whorl_close(fd), 0);
    __atomic_add_fetch(&sessions[1], 1, __ATOMIC_SEQ_CST);
    return 0;
}

static intptr_t serve(void *arg)
{
    int listener = (int)(intptr_t)arg, fd;

    while ((fd = whorl_accept(listener)) >= 0) {
        __atomic_add_fetch(&sessions[0], 1, __ATOMIC_SEQ_CST);
        whorl_detach(start("session", echo, (void *)(intptr_t)fd));
    }
    CHECK(fd == -ECANCELED || fd == -EBADF);
    return 0;
}

/* Runs `clients` on the server's port until they have ended, then checks that every session has. */
static void serve_while(void (*clients)(void))
{
    struct whorl_task *acceptors[2];
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL);

    sessions[0] = sessions[1] = 0;
    port = whorl_tcp_port(listener);
    for (int i = 0; i < 2; i++)
        acceptors[i] = start("acceptor", serve, (void *)(intptr_t)listener);
    clients();
    CHECK_EQ(whorl_close(listener), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(result_of(acceptors[i]), 0);
    UNTIL(__atomic_load_n(&sessions[1], __ATOMIC_SEQ_CST) == __atomic_load_n(&sessions[0], __ATOMIC_SEQ_CST));
    CHECK(sessions[0] > 0);
}

/* Tasks that are cancelled and time out */

enum { CLIENTS = 24 };

static int echoed; /* messages that came back, atomic */

/* Sends and takes back; what comes is what went. The error of what ended it early, or the number of bytes. */
static ssize_t exchange_in_task(int fd, uint64_t *seed)
{
    unsigned char out[3000], in[3000], value = (unsigned char)test_random(seed);
    size_t size = 1 + test_random(seed) % sizeof out, got = 0;
    ssize_t n;

    memset(out, value, size);
    n = whorl_send_all(fd, out, size, 0);
    while (n > 0 && got < size) {
        n = whorl_recv(fd, in + got, size - got, 0);
        got += n > 0 ? (size_t)n : 0;
    }
    if (n > 0) {
        CHECK(is_all(in, size, value));
        __atomic_add_fetch(&echoed, 1, __ATOMIC_RELAXED);
    }
    CHECK(n > 0 || n == -ECANCELED || n == -ETIMEDOUT);
    return n;
}

static intptr_t come_and_go(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;

    while (whorl_now() < end && test_failures() == 0) {
        int fd = whorl_tcp_connect(LOOPBACK, (uint16_t)port);

        if (fd == -ECANCELED)
            continue;
        if (!CHECK(fd >= 0))
            break;
        if (test_random(&seed) % 4 == 0)
            whorl_deadline(whorl_after((whorl_ns)(test_random(&seed) % 2000000)));
        for (uint64_t n = test_random(&seed) % 20; n > 0 && exchange_in_task(fd, &seed) > 0; n--)
            continue;
        whorl_deadline(WHORL_NEVER);
        if (test_random(&seed) % 4 == 0)
            reset_at_close(fd);
        CHECK_EQ(whorl_close(fd), 0);
    }
    return 0;
}

static void harass_tasks(void)
{
    struct whorl_task *clients[CLIENTS];
    uint64_t seed = test_seed();

    echoed = 0;
    end = whorl_after(WHORL_SEC(test_seconds(1)));
    for (intptr_t i = 0; i < CLIENTS; i++)
        clients[i] = start("client", come_and_go, (void *)i);
    while (whorl_now() < end) {
        whorl_sleep((whorl_ns)(test_random(&seed) % 300000));
        whorl_cancel(clients[test_random(&seed) % CLIENTS]);
    }
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(result_of(clients[i]), 0);
    CHECK(echoed > 0);
}

static void serve_tasks(void)
{
    serve_while(harass_tasks);
}

TEST(net, clients_may_be_cancelled_at_any_moment, .timeout = 120)
{
    in_runtime(WORKERS, serve_tasks);
}

/* Plain threads */

static int clients_ended; /* atomic */

/* Sends `size` bytes and, if they are wanted, takes them back. */
static bool exchange(int fd, size_t size, unsigned char value, bool wanted)
{
    unsigned char out[3000], in[3000];
    size_t got = 0;
    ssize_t n = 1;

    memset(out, value, size);
    if (send(fd, out, size, MSG_NOSIGNAL) != (ssize_t)size)
        return false;
    while (wanted && got < size && n > 0) { /* even MSG_WAITALL gives less when the process was stopped meanwhile */
        n = recv(fd, in + got, size - got, MSG_WAITALL);
        got += n > 0 ? (size_t)n : 0;
    }
    return !wanted || (got == size && is_all(in, size, value));
}

static void *be_client(void *arg)
{
    uint64_t seed = test_seed() + (uintptr_t)arg;
    struct timespec begin, now;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        int fd = plain_connect(port);
        uint64_t way = test_random(&seed) % 4;
        char byte;

        if (!CHECK(fd >= 0))
            break;
        for (uint64_t n = test_random(&seed) % 10; n > 0; n--)
            CHECK(exchange(fd, 1 + test_random(&seed) % 3000, (unsigned char)n, true));
        if (way < 2)
            CHECK(exchange(fd, 1 + test_random(&seed) % 3000, 1, false)); /* and does not wait for it */
        if (way == 1)
            reset_at_close(fd);
        if (way == 2) {
            CHECK_EQ(shutdown(fd, SHUT_WR), 0);
            CHECK_EQ(recv(fd, &byte, 1, 0), 0);
        }
        close(fd);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - begin.tv_sec < (time_t)test_seconds(1) && test_failures() == 0);
    __atomic_add_fetch(&clients_ended, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void run_threads(void)
{
    pthread_t threads[THREADS];

    clients_ended = 0;
    for (intptr_t i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, be_client, (void *)i), 0);
    while (__atomic_load_n(&clients_ended, __ATOMIC_SEQ_CST) < THREADS)
        whorl_sleep(WHORL_MS(1));
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void serve_threads(void)
{
    serve_while(run_threads);
}

TEST(net, clients_of_every_kind_are_served, .timeout = 120)
{
    in_runtime(WORKERS, serve_threads);
}
