/* SPDX-License-Identifier: MIT */
/* TCP connections: listening, connecting, accepting, their descriptors. What goes through them is in stream.c. */
#include "loopback.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

/* Listening and connecting */

/* Sends back what comes until the stream ends, and closes. */
static intptr_t echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[4096];
    ssize_t n;

    while ((n = whorl_recv(fd, buffer, sizeof buffer, 0)) > 0)
        n = whorl_send_all(fd, buffer, (size_t)n, 0);
    CHECK_EQ(n, 0);
    return whorl_close(fd);
}

static intptr_t accept_and_echo(void *arg)
{
    int fd = whorl_accept((int)(intptr_t)arg);

    return CHECK(fd >= 0) ? echo((void *)(intptr_t)fd) : fd;
}

static void talk(int fd)
{
    static const char text[] = "a few words";
    char back[sizeof text];

    CHECK_EQ(whorl_send_all(fd, text, sizeof text, 0), sizeof text);
    CHECK_EQ(whorl_recv(fd, back, sizeof back, MSG_WAITALL), sizeof back);
    CHECK_STR(back, text);
    CHECK_EQ(whorl_shutdown(fd, SHUT_WR), 0);
    CHECK_EQ(whorl_recv(fd, back, sizeof back, 0), 0);
}

static void echo_between(const char *listen_host, const char *connect_host)
{
    int listener = whorl_tcp_listen(listen_host, 0, NULL), fd;
    struct whorl_task *server;

    if (!CHECK(listener >= 0))
        return;
    server = start("server", accept_and_echo, (void *)(intptr_t)listener);
    fd = whorl_tcp_connect(connect_host, (uint16_t)whorl_tcp_port(listener));
    if (CHECK(fd >= 0)) {
        talk(fd);
        CHECK_EQ(whorl_close(fd), 0);
    } else {
        whorl_cancel(server);
    }
    CHECK_EQ(result_of(server), 0);
    CHECK_EQ(whorl_close(listener), 0);
}

TASK_TEST(net, an_ipv4_address_is_served, 2)
{
    echo_between("127.0.0.1", "127.0.0.1");
}

TASK_TEST(net, one_worker_serves_and_connects, 1)
{
    echo_between("127.0.0.1", "127.0.0.1");
}

TASK_TEST(net, a_name_is_looked_up, 2)
{
    struct addrinfo *found;

    if (getaddrinfo("localhost", NULL, NULL, &found) != 0)
        SKIP("this machine does not know localhost: it has no /etc/hosts");
    freeaddrinfo(found);
    echo_between("localhost", "localhost");
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

static void serve_ipv6(void)
{
    echo_between("::1", "::1");
}

TEST(net, an_ipv6_address_is_served)
{
    if (!has_ipv6())
        SKIP("there is no IPv6 here");
    in_runtime(2, serve_ipv6);
}

static void serve_both(void)
{
    echo_between(NULL, "127.0.0.1");
    if (has_ipv6())
        echo_between(NULL, "::1");
}

TEST(net, no_host_means_every_address)
{
    in_runtime(2, serve_both);
}

static void serve_v6_only(void)
{
    struct whorl_listen_options options = {.size = sizeof options, .v6_only = 1};
    int listener = whorl_tcp_listen("::", 0, &options);

    if (!CHECK(listener >= 0))
        return;
    CHECK_EQ(whorl_tcp_connect("127.0.0.1", (uint16_t)whorl_tcp_port(listener)), -ECONNREFUSED);
    CHECK_EQ(whorl_close(listener), 0);
}

TEST(net, v6_only_takes_no_ipv4_connection)
{
    if (!has_ipv6())
        SKIP("there is no IPv6 here");
    in_runtime(2, serve_v6_only);
}

static void look_up_in_vain(void)
{
    int fd = whorl_tcp_connect("no-such-host.invalid", 1);

    CHECK(fd == -ENOENT || fd == -EAGAIN);
    fd = whorl_tcp_listen("no-such-host.invalid", 0, NULL);
    CHECK(fd == -ENOENT || fd == -EAGAIN);
}

TEST(net, a_host_that_does_not_exist_is_reported, .timeout = 60)
{
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 1); /* there may be no name service */
    in_runtime(2, look_up_in_vain);
}

PLAIN_CALL int bound_socket(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address = loopback_address(0);
    CHECK_EQ(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

TASK_TEST(net, a_port_that_nobody_listens_at_refuses, 2)
{
    struct sockaddr_in address;
    int fd = bound_socket(&address);

    CHECK_EQ(whorl_tcp_connect(LOOPBACK, ntohs(address.sin_port)), -ECONNREFUSED);
    CHECK_EQ(whorl_close(fd), 0);
}

TASK_TEST(net, a_port_is_listened_at_once, 2)
{
    int first = whorl_tcp_listen(LOOPBACK, 0, NULL);
    uint16_t port = (uint16_t)whorl_tcp_port(first);

    CHECK(port != 0);
    CHECK_EQ(whorl_tcp_listen(LOOPBACK, port, NULL), -EADDRINUSE);
    CHECK_EQ(whorl_close(first), 0);
    first = whorl_tcp_listen(LOOPBACK, port, NULL);
    CHECK(first >= 0);
    CHECK_EQ(whorl_close(first), 0);
}

TASK_TEST(net, several_sockets_share_a_port_that_is_reused, 2)
{
    struct whorl_listen_options options = {.size = sizeof options, .reuse_port = 1};
    int first = whorl_tcp_listen(LOOPBACK, 0, &options);
    int second = whorl_tcp_listen(LOOPBACK, (uint16_t)whorl_tcp_port(first), &options);

    CHECK(second >= 0);
    CHECK_EQ(whorl_tcp_port(second), whorl_tcp_port(first));
    CHECK_EQ(whorl_close(first), 0);
    CHECK_EQ(whorl_close(second), 0);
}

TASK_TEST(net, an_address_of_another_machine_is_not_listened_at, 2)
{
    CHECK_EQ(whorl_tcp_listen("192.0.2.1", 0, NULL), -EADDRNOTAVAIL);
}

/* Descriptors */

PLAIN_CALL int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof value;

    CHECK_EQ(getsockopt(fd, level, option, &value, &size), 0);
    return value;
}

TASK_TEST(net, connections_send_small_messages_at_once, 2)
{
    int ends[2];

    if (!connect_ends(ends))
        return;
    CHECK(option_of(ends[0], IPPROTO_TCP, TCP_NODELAY) > 0);
    CHECK(option_of(ends[1], IPPROTO_TCP, TCP_NODELAY) > 0);
    close_ends(ends);
}

TASK_TEST(net, sockets_are_closed_on_exec, 2)
{
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL), ends[2];

    if (!connect_ends(ends))
        return;
    CHECK(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    CHECK(fcntl(ends[1], F_GETFD) & FD_CLOEXEC);
    close_ends(ends);
    CHECK_EQ(whorl_close(listener), 0);
}

/* Notes which descriptors there are, by number. */
static void note_descriptors(bool *open, int count)
{
    for (int fd = 0; fd < count; fd++)
        open[fd] = fcntl(fd, F_GETFD) >= 0;
}

enum { DESCRIPTORS_MAX = 256 };
static bool open_before[DESCRIPTORS_MAX];

static intptr_t check_descriptors(void *arg)
{
    int seen = 0;

    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        int flags = open_before[fd] ? -1 : fcntl(fd, F_GETFD);

        seen += flags >= 0;
        CHECK(flags < 0 || (flags & FD_CLOEXEC));
    }
    CHECK(seen >= 2); /* a ring for each worker */
    return (intptr_t)arg;
}

TEST(net, the_runtimes_own_descriptors_are_closed_on_exec)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    NEED_URING();
    note_descriptors(open_before, DESCRIPTORS_MAX);
    CHECK_EQ(whorl_run(check_descriptors, NULL, &options), 0);
}

TASK_TEST(net, what_is_no_open_descriptor_is_refused, 2)
{
    static const int bad[] = {-1, -100, INT32_MIN, INT32_MAX, 1 << 25, 987654};
    char byte = 0;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(whorl_recv(bad[i], &byte, 1, 0), -EBADF);
        CHECK_EQ(whorl_send(bad[i], &byte, 1, 0), -EBADF);
        CHECK_EQ(whorl_send_all(bad[i], &byte, 1, 0), -EBADF);
        CHECK_EQ(whorl_accept(bad[i]), -EBADF);
        CHECK_EQ(whorl_shutdown(bad[i], SHUT_RDWR), -EBADF);
        CHECK_EQ(whorl_tcp_port(bad[i]), -EBADF);
        CHECK_EQ(whorl_close(bad[i]), -EBADF);
    }
}

TASK_TEST(net, a_closed_descriptor_is_refused, 2)
{
    int ends[2];
    char byte = 0;

    if (!connect_ends(ends))
        return;
    close_ends(ends);
    CHECK_EQ(whorl_recv(ends[0], &byte, 1, 0), -EBADF);
    CHECK_EQ(whorl_send(ends[0], &byte, 1, 0), -EBADF);
    CHECK_EQ(whorl_accept(ends[0]), -EBADF);
    CHECK_EQ(whorl_shutdown(ends[0], SHUT_RDWR), -EBADF);
    CHECK_EQ(whorl_tcp_port(ends[0]), -EBADF);
    CHECK_EQ(whorl_close(ends[0]), -EBADF);
}

TASK_TEST(net, operations_that_do_not_fit_the_descriptor_are_refused, 2)
{
    int ends[2], pipe_ends[2];
    char byte = 0;

    if (!connect_ends(ends) || !CHECK_EQ(pipe2(pipe_ends, O_CLOEXEC), 0))
        return;
    CHECK_EQ(whorl_accept(ends[0]), -EINVAL);
    CHECK_EQ(whorl_recv(pipe_ends[0], &byte, 1, 0), -ENOTSOCK);
    CHECK_EQ(whorl_send(pipe_ends[1], &byte, 1, 0), -ENOTSOCK);
    CHECK_EQ(whorl_accept(pipe_ends[0]), -ENOTSOCK);
    CHECK_EQ(whorl_tcp_port(pipe_ends[0]), -ENOTSOCK);
    CHECK_EQ(whorl_shutdown(ends[0], 77), -EINVAL);
    close_ends(ends);
    close_ends(pipe_ends);
}

/* Accepting on many workers */

enum { ACCEPTORS = 4, CONNECTIONS = 1024 };

static struct {
    int listener, total;
    int by_task[ACCEPTORS];
} shares;

static intptr_t take_connections(void *arg)
{
    int *mine = &shares.by_task[(intptr_t)arg], fd;

    while ((fd = whorl_accept(shares.listener)) >= 0) {
        ++*mine;
        __atomic_add_fetch(&shares.total, 1, __ATOMIC_SEQ_CST);
        CHECK_EQ(whorl_close(fd), 0);
    }
    return fd;
}

/* One after the other, each when the last was accepted: who is woken for one then depends on whose turn it is, not on who was
 * quick. */
static void *make_connections(void *arg)
{
    int port = (int)(intptr_t)arg;

    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = plain_connect(port);

        if (!CHECK(fd >= 0))
            break;
        while (__atomic_load_n(&shares.total, __ATOMIC_SEQ_CST) <= i)
            sched_yield();
        close(fd);
    }
    return NULL;
}

TASK_TEST_WITHIN(net, connections_spread_over_all_who_accept, ACCEPTORS, 40)
{
    struct whorl_task *acceptors[ACCEPTORS];
    pthread_t client;

    memset(&shares, 0, sizeof shares);
    shares.listener = whorl_tcp_listen(LOOPBACK, 0, NULL);
    for (int i = 0; i < ACCEPTORS; i++) {
        struct whorl_spawn_options there = {.size = sizeof there, .name = "acceptor", .worker = WHORL_WORKER(i)};

        acceptors[i] = whorl_spawn_with(take_connections, (void *)(intptr_t)i, &there);
        CHECK(acceptors[i]);
    }
    UNTIL(waiting("acceptor", "accept") == ACCEPTORS);
    CHECK_EQ(pthread_create(&client, NULL, make_connections, (void *)(intptr_t)whorl_tcp_port(shares.listener)), 0);
    UNTIL(__atomic_load_n(&shares.total, __ATOMIC_SEQ_CST) == CONNECTIONS);
    pthread_join(client, NULL);
    UNTIL(waiting("acceptor", "accept") == ACCEPTORS);
    CHECK_EQ(whorl_close(shares.listener), 0);
    for (int i = 0; i < ACCEPTORS; i++) {
        CHECK_EQ(result_of(acceptors[i]), -ECANCELED);
        CHECK(shares.by_task[i] >= CONNECTIONS / ACCEPTORS / 2);
    }
}
