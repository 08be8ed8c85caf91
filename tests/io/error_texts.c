/* SPDX-License-Identifier: MIT */
/* The texts of failed calls on descriptors, addresses and paths. */
#include "loopback.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>

/* The caller's last call returned `err`, and this is what is said of it. */
__attribute__((format(printf, 3, 4))) static void says(intmax_t result, int err, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    CHECK_EQ(result, err);
    CHECK_EQ(whorl_error(), err);
    CHECK_STR(whorl_error_text(), text);
}

/* Addresses. */

TASK_TEST(error_texts, an_address_is_named, 2)
{
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL), port = whorl_tcp_port(listener);

    says(whorl_tcp_listen(LOOPBACK, (uint16_t)port, NULL), -EADDRINUSE, "listen on " LOOPBACK ":%d failed: address already in use",
         port);
    CHECK_EQ(whorl_close(listener), 0);
    says(whorl_tcp_connect(LOOPBACK, (uint16_t)port), -ECONNREFUSED, "connect to " LOOPBACK ":%d failed: connection refused", port);
    says(whorl_tcp_listen("192.0.2.1", 80, NULL), -EADDRNOTAVAIL, "listen on 192.0.2.1:80 failed: not an address of this machine");
}

TASK_TEST(error_texts, an_ipv6_address_is_named_in_brackets, 1)
{
    int fd = whorl_tcp_listen("2001:db8::1", 80, NULL); /* nobody's; or there is no IPv6 at all */

    if (CHECK(fd < 0)) {
        CHECK_HAS(whorl_error_text(), "listen on [2001:db8::1]:80 failed: ");
        CHECK_HAS(whorl_error_text(), whorl_strerror(fd));
    }
}

static intptr_t connect_nowhere(void *arg)
{
    (void)arg;
    says(whorl_tcp_connect("no-kernel", 7), -EOPNOTSUPP, "connect to no-kernel:7 failed: not supported here");
    says(whorl_tcp_listen(NULL, 7, NULL), -EOPNOTSUPP, "listen on *:7 failed: not supported here");
    return 0;
}

TEST(error_texts, without_a_kernel_that_is_said)
{
    struct whorl_options options = {.size = sizeof options, .reactor = "null"};

    CHECK_EQ(whorl_run(connect_nowhere, NULL, &options), 0);
}

/* Descriptors. */

TASK_TEST(error_texts, a_descriptor_is_named, 2)
{
    char byte = 0;
    int ends[2], file = open("/dev/null", O_RDONLY | O_CLOEXEC);

    says(whorl_recv(-1, &byte, 1, 0), -EBADF, "recv on descriptor -1 failed: not an open descriptor");
    says(whorl_send(-1, &byte, 1, 0), -EBADF, "send on descriptor -1 failed: not an open descriptor");
    says(whorl_send_all(file, &byte, 1, 0), -ENOTSOCK, "send on descriptor %d failed: not a socket", file);
    says(whorl_accept(-1), -EBADF, "accept on descriptor -1 failed: not an open descriptor");
    says(whorl_tcp_port(file), -ENOTSOCK, "port of descriptor %d failed: not a socket", file);
    says(whorl_shutdown(file, SHUT_RD), -ENOTSOCK, "shutdown of descriptor %d failed: not a socket", file);
    says(whorl_read_at(file, &byte, 1, -1), -EINVAL, "read on descriptor %d failed: wrong argument", file);
    says(whorl_close(-1), -EBADF, "close of descriptor -1 failed: not an open descriptor");
    CHECK_EQ(whorl_close(file), 0);
    if (!connect_ends(ends))
        return;
    reset_at_close(ends[0]);
    CHECK_EQ(whorl_close(ends[0]), 0);
    says(whorl_recv(ends[1], &byte, 1, 0), -ECONNRESET, "recv on descriptor %d failed: connection reset by the other side",
         ends[1]);
    says(whorl_send(ends[1], &byte, 1, 0), -EPIPE, "send on descriptor %d failed: closed", ends[1]);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

/* Waits that end early. */

struct reader {
    int fd;
    const char *cause;
};

static intptr_t read_in_vain(void *arg)
{
    const struct reader *r = arg;
    char byte;

    says(whorl_recv(r->fd, &byte, 1, 0), -ECANCELED, "recv on descriptor %d: %s", r->fd, r->cause);
    return 0;
}

TASK_TEST(error_texts, what_ended_a_receive_is_said, 2)
{
    struct whorl_spawn_options named = {.size = sizeof named, .name = "reader"};
    struct reader r;
    struct whorl_scope s;
    struct whorl_task *t;
    int ends[2];
    char byte;

    if (!connect_ends(ends))
        return;
    r = (struct reader){ends[0], "cancelled with the scope opened at server.c:40, because the peer is too slow"};
    whorl_scope_open_at(&s, "server.c:40");
    CHECK_EQ(whorl_scope_spawn_with(&s, read_in_vain, &r, &named), 0);
    UNTIL(waiting("reader", "recv") == 1);
    whorl_scope_cancel(&s, "the peer is too slow");
    says(whorl_scope_close(&s), -ECANCELED, "scope opened at server.c:40: cancelled because the peer is too slow");

    r.cause = "cancelled";
    t = start("cancelled", read_in_vain, &r);
    UNTIL(waiting("cancelled", "recv") == 1);
    whorl_cancel(t);
    CHECK_EQ(result_of(t), 0);

    whorl_deadline(whorl_after(WHORL_MS(1)));
    says(whorl_recv(ends[0], &byte, 1, 0), -ETIMEDOUT, "recv on descriptor %d: timed out because the task's deadline passed",
         ends[0]);
    whorl_deadline(WHORL_NEVER);

    r.cause = "cancelled because another task closed it";
    t = start("closed", read_in_vain, &r);
    UNTIL(waiting("closed", "recv") == 1);
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(result_of(t), 0);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(error_texts, what_kept_a_call_from_beginning_is_said, 2)
{
    int signals[] = {SIGUSR1}, listener = whorl_tcp_listen(LOOPBACK, 0, NULL);
    struct whorl_scope s;
    static const char with[] = "timed out with the scope opened at late.c:1, because its deadline passed";
    char byte = 0;

    whorl_scope_open_at(&s, "late.c:1");
    CHECK_EQ(whorl_scope_deadline(&s, 0), -ETIMEDOUT);
    says(whorl_accept(listener), -ETIMEDOUT, "accept on descriptor %d: %s", listener, with);
    says(whorl_tcp_connect(LOOPBACK, 9), -ETIMEDOUT, "connect to " LOOPBACK ":9: %s", with);
    says(whorl_tcp_listen(LOOPBACK, 9, NULL), -ETIMEDOUT, "listen on " LOOPBACK ":9: %s", with);
    says(whorl_send(listener, &byte, 1, 0), -ETIMEDOUT, "send on descriptor %d: %s", listener, with);
    says(whorl_open("/dev/null", O_RDONLY, 0), -ETIMEDOUT, "open /dev/null: %s", with);
    says(whorl_read_at(listener, &byte, 1, 0), -ETIMEDOUT, "read on descriptor %d: %s", listener, with);
    says(whorl_signal_wait(signals, 1), -ETIMEDOUT, "signal_wait: %s", with);
    CHECK_EQ(whorl_close(listener), 0);
    says(whorl_scope_close(&s), -ETIMEDOUT, "scope opened at late.c:1: timed out because its deadline passed");
    says(whorl_signal_wait((const int[]){-1}, 1), -EINVAL, "signal_wait failed: wrong argument");
}

/* Paths. */

TASK_TEST(error_texts, a_path_is_named, 2)
{
    struct statx about;
    char path[1000];
    int fd;

    says(whorl_open("/no/such/file", O_RDONLY, 0), -ENOENT, "open /no/such/file failed: no such file or directory");
    says(whorl_open("/", O_WRONLY, 0), -EISDIR, "open / failed: Is a directory");
    says(whorl_statx(AT_FDCWD, "/no/such/file", 0, STATX_SIZE, &about), -ENOENT,
         "statx of /no/such/file failed: no such file or directory");
    says(whorl_statx(-1, "", AT_EMPTY_PATH, STATX_SIZE, &about), -EBADF, "statx of descriptor -1 failed: not an open descriptor");
    says(whorl_open(NULL, O_RDONLY, 0), -EFAULT, "open failed: %s", whorl_strerror(-EFAULT));
    memset(path, 'x', sizeof path);
    path[sizeof path - 1] = 0;
    fd = whorl_open(path, O_RDONLY, 0); /* more than there is room for */
    CHECK_EQ(fd, -ENAMETOOLONG);
    path[200] = 0;
    CHECK_HAS(whorl_error_text(), path);
    CHECK_HAS(whorl_error_text(), whorl_strerror(-ENAMETOOLONG));
}

/* A scope fails with what failed in a task of it; the name is copied once more. */
static intptr_t open_nothing(void *arg)
{
    return whorl_open(arg, O_RDONLY, 0);
}

TASK_TEST(error_texts, a_path_that_failed_in_a_task_is_named, 2)
{
    static char path[] = "/no/such/file";
    struct whorl_scope s;

    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_spawn_at(&s, open_nothing, path, NULL, "child.c:8"), 0);
    says(whorl_scope_close(&s), -ENOENT, "open /no/such/file failed: no such file or directory, in the task spawned at child.c:8");
}
