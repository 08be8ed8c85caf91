/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* preadv2 */
#include "io/sys.h"
#include "runtime/current.h"
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

WHORL__OPAQUE int whorl__sys_close(int fd)
{
    return close(fd) < 0 ? -errno : 0;
}

WHORL__OPAQUE int whorl__sys_socket(int family, int type)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

WHORL__OPAQUE int whorl__sys_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    return bind(fd, address, size) < 0 ? -errno : 0;
}

WHORL__OPAQUE int whorl__sys_listen(int fd, int backlog)
{
    return listen(fd, backlog) < 0 ? -errno : 0;
}

WHORL__OPAQUE int whorl__sys_set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

WHORL__OPAQUE int whorl__sys_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;
    socklen_t size = sizeof address;

    if (getsockname(fd, &address.any, &size) < 0)
        return -errno;
    if (address.any.sa_family == AF_INET)
        return ntohs(address.v4.sin_port);
    return address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port) : -EINVAL;
}

WHORL__OPAQUE int whorl__sys_socket_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof error;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

WHORL__OPAQUE int whorl__sys_shutdown(int fd, int how)
{
    return shutdown(fd, how) < 0 ? -errno : 0;
}

WHORL__OPAQUE ssize_t whorl__sys_recv(int fd, void *buffer, size_t size, int flags)
{
    ssize_t n = recv(fd, buffer, size, flags);

    return n < 0 ? -errno : n;
}

WHORL__OPAQUE ssize_t whorl__sys_send(int fd, const void *buffer, size_t size, int flags)
{
    ssize_t n = send(fd, buffer, size, flags);

    return n < 0 ? -errno : n;
}

WHORL__OPAQUE ssize_t whorl__sys_read_at_nowait(int fd, void *buffer, size_t size, int64_t offset)
{
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    ssize_t n = preadv2(fd, &part, 1, offset, RWF_NOWAIT);

    return n < 0 ? -errno : n;
}

WHORL__OPAQUE int whorl__sys_signalfd(const int *signals, size_t count)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    for (size_t i = 0; i < count; i++)
        if (sigaddset(&set, signals[i]) < 0)
            return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

WHORL__OPAQUE int whorl__sys_poll(int fd, int events)
{
    struct pollfd p = {.fd = fd, .events = (short)events};
    int n = poll(&p, 1, 0);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    return p.revents & POLLNVAL ? -EBADF : p.revents;
}

WHORL__OPAQUE ssize_t whorl__sys_read(int fd, void *buffer, size_t size)
{
    ssize_t n = read(fd, buffer, size);

    return n < 0 ? -errno : n;
}

WHORL__OPAQUE void whorl__sys_pause(whorl_ns duration)
{
    struct timespec t = {.tv_sec = duration / 1000000000, .tv_nsec = duration % 1000000000};

    if (duration > 0)
        nanosleep(&t, NULL);
    else
        sched_yield();
}

WHORL__OPAQUE uint64_t whorl__sys_random(void)
{
    uint64_t n = 0;

    while (getrandom(&n, sizeof n, 0) != sizeof n)
        continue;
    return n;
}

WHORL__OPAQUE whorl_ns whorl__sys_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (whorl_ns)t.tv_sec * 1000000000 + t.tv_nsec;
}
