/* SPDX-License-Identifier: MIT */
#include "io/fd.h"
#include "io/op.h"
#include "io/resolve.h"
#include "io/sys.h"
#include "runtime/atomic.h"
#include "runtime/error.h"
#include "runtime/fatal.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <whorl/net.h>

#ifndef IORING_CQE_F_SOCK_NONEMPTY
#define IORING_CQE_F_SOCK_NONEMPTY (1U << 2)
#endif

#define BACKLOG_DEFAULT 4096

/* `err`, of an operation on an address; `detail` as for whorl__failed. */
static int failed_with_address(int err, const char *operation, const char *host, uint16_t port, const char *detail)
{
    return whorl__failed_with(err, operation, detail, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

static int listen_at(const struct whorl__address *a, const struct whorl_listen_options *o)
{
    int fd = whorl__sys_socket(a->any.sa_family, SOCK_STREAM);
    int err;

    if (fd < 0)
        return fd;
    err = whorl__sys_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (!err && o && o->reuse_port)
        err = whorl__sys_set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!err && a->any.sa_family == AF_INET6)
        err = whorl__sys_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, o && o->v6_only);
    if (!err)
        err = whorl__sys_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted sockets inherit it */
    if (!err)
        err = whorl__sys_bind(fd, &a->any, a->size);
    if (!err)
        err = whorl__sys_listen(fd, o && o->backlog > 0 ? o->backlog : BACKLOG_DEFAULT);
    if (err) {
        whorl__sys_close(fd);
        return err;
    }
    return fd;
}

static int listen_on(const char *host, uint16_t port, const struct whorl_listen_options *o, const char **detail)
{
    struct whorl__addresses found;
    struct whorl_task *t;
    int err = whorl__begin("whorl_tcp_listen", &t);
    int fd;

    if (err)
        return err;
    if (!whorl__has_kernel())
        return -EOPNOTSUPP;
    if (o && o->size != sizeof *o)
        whorl__misuse("whorl_listen_options.size is %zu: set it to sizeof(struct whorl_listen_options), %zu", o->size, sizeof *o);
    err = whorl__resolve(host ? host : "::", port, &found);
    if (err) {
        *detail = whorl__resolve_detail(err);
        return err;
    }
    fd = listen_at(&found.list[0], o);
    if (!host && fd == -EAFNOSUPPORT && whorl__resolve("0.0.0.0", port, &found) == 0)
        fd = listen_at(&found.list[0], o); /* a machine without IPv6 */
    return fd;
}

int whorl_tcp_listen(const char *host, uint16_t port, const struct whorl_listen_options *o)
{
    const char *detail = NULL;
    int fd = listen_on(host, port, o, &detail);

    return fd < 0 ? failed_with_address(fd, "listen on", host ? host : "*", port, detail) : fd;
}

int whorl_tcp_port(int fd)
{
    int port = whorl__sys_port(fd);

    return port < 0 ? whorl__failed_on(port, "port of descriptor", fd) : port;
}

static int accept_on(int fd)
{
    struct whorl__request r = {.code = WHORL__OP_ACCEPT, .fd = fd, .flags = SOCK_CLOEXEC};
    struct whorl__fd *entry;
    struct whorl_task *t;
    int err = whorl__begin("whorl_accept", &t);
    int accepted;

    if (!err)
        err = whorl__fd_hold(fd, &entry);
    if (err)
        return err;
    accepted = whorl__operate(t, &r, NULL);
    whorl__fd_release(entry);
    return accepted;
}

int whorl_accept(int fd)
{
    int accepted = accept_on(fd);

    return accepted < 0 ? whorl__failed_on(accepted, "accept on descriptor", fd) : accepted;
}

/* Connects and waits. An interruption that was not meant for this wait (see runtime/wait.c) has the connection under way when the
 * operation is begun again: then its outcome is asked of the socket. */
static int await_connection(struct whorl_task *t, const struct whorl__request *connect)
{
    struct whorl__request writable = {.code = WHORL__OP_POLL, .fd = connect->fd, .flags = POLLOUT, .reason = "connect"};
    int result = whorl__operate(t, connect, NULL);

    if (result == -EISCONN)
        return 0;
    if (result != -EALREADY && result != -EINPROGRESS)
        return result;
    result = whorl__operate(t, &writable, NULL);
    return result < 0 ? result : whorl__sys_socket_error(connect->fd);
}

static int connect_at(struct whorl_task *t, const struct whorl__address *a)
{
    struct whorl__request r = {.code = WHORL__OP_CONNECT, .address = &a->any, .offset = a->size};
    struct whorl__fd *entry;
    int err;

    r.fd = whorl__sys_socket(a->any.sa_family, SOCK_STREAM);
    if (r.fd < 0)
        return r.fd;
    err = whorl__fd_hold(r.fd, &entry);
    if (!err) {
        err = whorl__sys_set_option(r.fd, IPPROTO_TCP, TCP_NODELAY, 1);
        if (!err)
            err = await_connection(t, &r);
        whorl__fd_release(entry);
    }
    if (err) {
        whorl__sys_close(r.fd);
        return err;
    }
    return r.fd;
}

static int connect_to(const char *host, uint16_t port, const char **detail)
{
    struct whorl__addresses found;
    struct whorl_task *t;
    int err = whorl__begin("whorl_tcp_connect", &t);
    int fd = err;

    if (!host)
        whorl__misuse("whorl_tcp_connect was given no host");
    if (!err && !whorl__has_kernel())
        return -EOPNOTSUPP;
    if (!err)
        fd = err = whorl__resolve(host, port, &found);
    if (err)
        *detail = whorl__resolve_detail(err);
    for (int i = 0; !err && i < found.count; i++) {
        fd = connect_at(t, &found.list[i]);
        if (fd >= 0 || fd == -ECANCELED || fd == -EMFILE || fd == -ENFILE)
            break;
    }
    return fd;
}

int whorl_tcp_connect(const char *host, uint16_t port)
{
    const char *detail = NULL;
    int fd = connect_to(host, port, &detail);

    return fd < 0 ? failed_with_address(fd, "connect to", host, port, detail) : fd;
}

static ssize_t receive(int fd, void *buffer, size_t size, int flags)
{
    struct whorl__request r = {
        .code = WHORL__OP_RECV, .fd = fd, .flags = (uint32_t)flags, .length = whorl__length(size), .address = buffer};
    struct whorl__fd *entry;
    struct whorl_task *t;
    uint32_t result_flags = 0;
    ssize_t n = whorl__begin("whorl_recv", &t);

    if (!n)
        n = whorl__fd_hold(fd, &entry);
    if (n)
        return n;
    if (size == 0) { /* the kernel would wait for something to receive nothing of */
        whorl__fd_release(entry);
        return 0;
    }
    /* A plain receive that finds nothing costs as much as a quarter of one that does: it is tried only when the last one said that
     * there is more. */
    n = -EAGAIN;
    if (whorl__load_relaxed(&entry->more) && !(flags & MSG_WAITALL)) {
        n = whorl__sys_recv(fd, buffer, r.length, flags | MSG_DONTWAIT);
        whorl__store_relaxed(&entry->more, n == (ssize_t)r.length);
    }
    if (n == -EAGAIN) {
        n = whorl__operate(t, &r, &result_flags);
        if (n > 0)
            whorl__store_relaxed(&entry->more, (result_flags & IORING_CQE_F_SOCK_NONEMPTY) != 0);
        whorl__fd_release(entry);
    } else {
        whorl__fd_release(entry);
        whorl__done_inline();
    }
    return n;
}

ssize_t whorl_recv(int fd, void *buffer, size_t size, int flags)
{
    ssize_t n = receive(fd, buffer, size, flags);

    return n < 0 ? whorl__failed_on((int)n, "recv on descriptor", fd) : n;
}

static ssize_t transmit(int fd, const void *buffer, size_t size, int flags)
{
    struct whorl__request r = {.code = WHORL__OP_SEND,
                               .fd = fd,
                               .flags = (uint32_t)flags | MSG_NOSIGNAL,
                               .length = whorl__length(size),
                               .address = buffer};
    struct whorl__fd *entry;
    struct whorl_task *t;
    ssize_t n = whorl__begin("whorl_send", &t);

    if (!n)
        n = whorl__fd_hold(fd, &entry);
    if (n)
        return n;
    n = whorl__sys_send(fd, buffer, r.length, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == -EAGAIN && !(flags & MSG_DONTWAIT)) {
        n = whorl__operate(t, &r, NULL);
        whorl__fd_release(entry);
    } else {
        whorl__fd_release(entry);
        whorl__done_inline();
    }
    return n;
}

ssize_t whorl_send(int fd, const void *buffer, size_t size, int flags)
{
    ssize_t n = transmit(fd, buffer, size, flags);

    return n < 0 ? whorl__failed_on((int)n, "send on descriptor", fd) : n;
}

ssize_t whorl_send_all(int fd, const void *buffer, size_t size, int flags)
{
    const char *from = buffer;
    size_t left = size;

    for (;;) {
        ssize_t n = whorl_send(fd, from, left, flags);

        if (n < 0)
            return n;
        left -= (size_t)n;
        if (left == 0)
            return (ssize_t)size;
        from += n;
    }
}

int whorl_shutdown(int fd, int how)
{
    int err = whorl__sys_shutdown(fd, how);

    return err ? whorl__failed_on(err, "shutdown of descriptor", fd) : 0;
}
