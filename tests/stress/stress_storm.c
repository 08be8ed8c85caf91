/* SPDX-License-Identifier: MIT */
/* Storms of connections that echo, break off, are reset, cancelled and timed out, on as many workers as WHORL_WORKERS says: every byte that
 * comes back is the right one, every descriptor is closed, and the counts balance. */
#include "tests/io/loopback.h"

enum { CLIENTS = 24, SIZE_MAX_ = 3000 };

static struct {
    int listener;
    uint16_t port;
    whorl_ns until;
    uint64_t echoed; /* bytes, atomic */
} storm;

static intptr_t echo_session(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char bytes[1024];
    ssize_t n;

    while ((n = whorl_recv(fd, bytes, sizeof bytes, 0)) > 0)
        if (whorl_send_all(fd, bytes, (size_t)n, 0) < 0)
            break;
    return whorl_close(fd);
}

static intptr_t accept_all(void *arg)
{
    int fd;

    (void)arg;
    while ((fd = whorl_accept(storm.listener)) >= 0)
        whorl_detach(start("session", echo_session, (void *)(intptr_t)fd));
    CHECK(fd == -ECANCELED || fd == -EBADF);
    return 0;
}

/* Sends and takes back; what comes must be what went. The error that ended it, if the peer, a cancel or a deadline did. */
static ssize_t exchange(int fd, uint64_t *state)
{
    char out[SIZE_MAX_], in[SIZE_MAX_];
    size_t size = 1 + test_random(state) % SIZE_MAX_, got = 0;
    ssize_t n;

    memset(out, (int)(test_random(state) % 256), size);
    n = whorl_send_all(fd, out, size, 0);
    while (n > 0 && got < size) {
        n = whorl_recv(fd, in + got, size - got, 0);
        got += n > 0 ? (size_t)n : 0;
    }
    if (n > 0) {
        CHECK(memcmp(in, out, size) == 0);
        __atomic_add_fetch(&storm.echoed, size, __ATOMIC_RELAXED);
    }
    return n;
}

PLAIN_CALL void reset_on_close(int fd)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
}

static intptr_t client(void *arg)
{
    uint64_t state = test_seed() + (uint64_t)(uintptr_t)arg * 977;

    while (whorl_now() < storm.until) {
        int fd = whorl_tcp_connect(LOOPBACK, storm.port);

        if (fd == -ECANCELED)
            continue; /* a canceller's doing: once */
        if (!CHECK(fd >= 0))
            break;
        if (test_random(&state) % 4 == 0)
            whorl_deadline(whorl_after((whorl_ns)(test_random(&state) % 2000000)));
        for (uint64_t n = test_random(&state) % 20; n > 0 && exchange(fd, &state) > 0; n--)
            continue;
        whorl_deadline(WHORL_NEVER);
        if (test_random(&state) % 4 == 0)
            reset_on_close(fd);
        CHECK_EQ(whorl_close(fd), 0);
    }
    return 0;
}

/* Cancels clients at random. */
static void harass(struct whorl_task **clients, uint64_t *state)
{
    while (whorl_now() < storm.until) {
        whorl_sleep((whorl_ns)(test_random(state) % 1000000));
        whorl_cancel(clients[test_random(state) % CLIENTS]);
    }
}

static intptr_t run_storm(void *arg)
{
    struct whorl_task *clients[CLIENTS], *acceptors[2];
    struct whorl_stats stats = {.size = sizeof stats};
    uint64_t state = test_seed();

    storm.listener = whorl_tcp_listen(LOOPBACK, 0, NULL);
    storm.port = (uint16_t)whorl_tcp_port(storm.listener);
    storm.until = whorl_after(WHORL_SEC(test_seconds(3)));
    for (int i = 0; i < 2; i++)
        acceptors[i] = start("acceptor", accept_all, NULL);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = start("client", client, (void *)(intptr_t)i);
    harass(clients, &state);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(result_of(clients[i]), 0);
    CHECK_EQ(whorl_close(storm.listener), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(result_of(acceptors[i]), 0);
    UNTIL(whorl_stats(-1, &stats) == 0 && stats.finished == stats.spawned - 1); /* all but main */
    CHECK_EQ(stats.submitted, stats.completed);
    return (intptr_t)arg;
}

TEST(stress_storm, a_storm_of_connections_leaves_nothing_behind, .timeout = 200)
{
    int before;

    NEED_URING();
    before = open_descriptors();
    CHECK_EQ(whorl_run(run_storm, (void *)5, NULL), 5);
    CHECK(storm.echoed > 0);
    CHECK_EQ(open_descriptors(), before);
}
