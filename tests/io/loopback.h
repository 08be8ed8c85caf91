/* SPDX-License-Identifier: MIT */
/* What the tests of io/ share: a runtime around a test's body, connections over loopback, and ways to wait for a condition. */
#ifndef WHORL_TESTS_LOOPBACK_H
#define WHORL_TESTS_LOOPBACK_H

#include "runtime/context.h"
#include "tests/support/seeds.h"
#include "tests/support/test.h"
#include "tests/support/uring.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <whorl/whorl.h>

#define LOOPBACK "127.0.0.1"

#if defined(WHORL__ASAN) || defined(WHORL__TSAN)
#define SANITIZED true
#else
#define SANITIZED false
#endif

/* The compiler must not keep the address of errno over a call that suspends, so that what reads errno is a function of its own. */
#define PLAIN_CALL static __attribute__((noinline, unused))

/* A repetition count, cut down where everything is slow. */
static inline unsigned rounds(unsigned count)
{
    return SANITIZED ? count / 8 + 1 : count;
}

/* Lets others go on until `condition` holds, and fails the check when it never does. Only in a task. */
#define UNTIL(condition)                                                                                                           \
    do {                                                                                                                           \
        whorl_ns until_end = whorl_after(WHORL_SEC(15));                                                                           \
        bool until_held;                                                                                                           \
        while (!(until_held = (condition)) && whorl_now() < until_end)                                                             \
            whorl_sleep(WHORL_US(50));                                                                                             \
        whorl_test_check_at(until_held, WHORL_HERE, #condition);                                                                   \
    } while (0)

PLAIN_CALL int open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int count = -3; /* ".", ".." and the directory's own */

    if (!d)
        return -errno;
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* How many tasks of this name wait for `what`, according to the task dump. */
PLAIN_CALL int waiting(const char *name, const char *what)
{
    int fd = memfd_create("dump", MFD_CLOEXEC), count = 0;
    char wanted[64], *text;
    off_t size;

    if (!CHECK(fd >= 0))
        return -1;
    whorl_dump(fd);
    size = lseek(fd, 0, SEEK_END);
    text = calloc(1, (size_t)size + 1);
    if (CHECK(text) && CHECK_EQ(pread(fd, text, (size_t)size, 0), size)) {
        snprintf(wanted, sizeof wanted, "\"%s\" waits for %s", name, what);
        for (const char *at = text; (at = strstr(at, wanted)) != NULL; at++)
            count++;
    }
    free(text);
    close(fd);
    return count;
}

/* Starts a task with a name, which `waiting` knows it by. */
static inline struct whorl_task *start(const char *name, whorl_fn fn, void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = name};
    struct whorl_task *t = whorl_spawn_with(fn, arg, &options);

    CHECK(t);
    return t;
}

/* Joins `t`; its result. */
static inline intptr_t result_of(struct whorl_task *t)
{
    intptr_t result = INTPTR_MIN;

    if (t)
        CHECK_EQ(whorl_join(t, &result), 0);
    return result;
}

/* Two ends of a TCP connection. Only in a task. */
static inline bool connect_ends(int ends[2])
{
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL);

    ends[0] = ends[1] = -1;
    if (!CHECK(listener >= 0))
        return false;
    ends[0] = whorl_tcp_connect(LOOPBACK, (uint16_t)whorl_tcp_port(listener));
    if (CHECK(ends[0] >= 0))
        ends[1] = whorl_accept(listener);
    CHECK_EQ(whorl_close(listener), 0);
    return CHECK(ends[1] >= 0);
}

static inline void close_ends(const int ends[2])
{
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

/* Makes close(2) of a connection send a reset. */
PLAIN_CALL void reset_at_close(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

PLAIN_CALL struct sockaddr_in loopback_address(int port)
{
    struct sockaddr_in a;

    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons((uint16_t)port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* A connection made by plain calls, for threads that are no workers. The descriptor, or -errno. */
PLAIN_CALL int plain_connect(int port)
{
    struct sockaddr_in a = loopback_address(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err;

    if (fd < 0)
        return -errno;
    do
        err = connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -errno : 0;
    while (err == -EINTR);
    if (err) {
        close(fd);
        return err;
    }
    return fd;
}

/* How many bytes a plain call would send now: `size`, fewer, or -errno. */
PLAIN_CALL ssize_t plain_send(int fd, const void *buffer, size_t size)
{
    ssize_t n = send(fd, buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL);

    return n < 0 ? -errno : n;
}

/* Sends until nothing more goes just then: the peer reads nothing. */
PLAIN_CALL void fill(int fd)
{
    static const char zeros[1 << 16];

    while (plain_send(fd, zeros, sizeof zeros) > 0)
        continue;
}

/* How many bytes wait to be received. */
PLAIN_CALL int readable(int fd)
{
    int n = 0;

    CHECK_EQ(ioctl(fd, FIONREAD, &n), 0);
    return n;
}

struct body {
    void (*fn)(void);
};

/* The body, and what must hold after every one: an operation that was begun has ended. */
static inline intptr_t run_body(void *arg)
{
    struct whorl_stats stats = {.size = sizeof stats};

    ((struct body *)arg)->fn();
    CHECK_EQ(whorl_stats(-1, &stats), 0);
    CHECK_EQ(stats.submitted, stats.completed);
    return 0;
}

/* Runs a test's body as the first task of a runtime, and checks that no descriptor is left. */
static inline void in_runtime(int workers, void (*fn)(void))
{
    struct whorl_options options = {.size = sizeof options, .workers = workers};
    struct body body = {fn};
    int before = open_descriptors();

    NEED_URING();
    CHECK_EQ(whorl_run(run_body, &body, &options), 0);
    CHECK_EQ(open_descriptors(), before);
}

/* A test whose body is a task. It joins what it spawns. */
#define TASK_TEST(suite, name, workers) TASK_TEST_WITHIN(suite, name, workers, 20)
#define TASK_TEST_WITHIN(suite, name, workers, seconds)                                                                            \
    static void suite##__##name##__body(void);                                                                                     \
    TEST(suite, name, .timeout = seconds)                                                                                          \
    {                                                                                                                              \
        in_runtime(workers, suite##__##name##__body);                                                                              \
    }                                                                                                                              \
    static void suite##__##name##__body(void)

#endif
