/* SPDX-License-Identifier: MIT */
/* TCP. Every call here may be used by any task on any descriptor, several tasks on one descriptor too. Descriptors are plain file
 * descriptors, close-on-exec. A descriptor used with whorl must be closed by whorl_close.
 *
 * Calls that suspend return -ECANCELED when the task was cancelled and -ETIMEDOUT when its deadline passed, always after the
 * kernel has let go of the buffer; if the operation had completed, its result is returned instead. -EBADF: not an open
 * descriptor, or whorl_close has begun on it. */
#ifndef WHORL_NET_H
#define WHORL_NET_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* How to listen. Zero in any field means its default. */
struct whorl_listen_options {
    size_t size;    /* sizeof(struct whorl_listen_options): required */
    int backlog;    /* connections waiting to be accepted. Default: 4096 (the kernel caps it at net.core.somaxconn) */
    int reuse_port; /* 1: SO_REUSEPORT, so that several sockets may listen on this port */
    int v6_only;    /* 1: an IPv6 address takes no IPv4 connections. Default: it does */
};

/* Opens a listening TCP socket with SO_REUSEADDR. `host`: an address or a name; NULL: every address, IPv6 and IPv4. `port` 0: a
 * free one, see whorl_tcp_port. `options` may be NULL.
 * Returns the descriptor, or -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -ENOENT (no such host), -EMFILE, -EINVAL …; -EOPNOTSUPP: the
 * reactor has no kernel behind it.
 * Suspends only when `host` is a name. */
WHORL_API WHORL_MUST_USE int whorl_tcp_listen(const char *host, uint16_t port, const struct whorl_listen_options *options);

/* The port a socket is bound to, or -EBADF, -ENOTSOCK. Never suspends. */
WHORL_API int whorl_tcp_port(int fd);

/* Waits for a connection. Returns its descriptor (close-on-exec, TCP_NODELAY set), or an error: -ECONNABORTED is worth another
 * try at once; -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS after a pause: the connection stays queued. Any number of tasks may
 * accept from one socket, which is how connections spread over workers. Suspends. */
WHORL_API WHORL_MUST_USE int whorl_accept(int fd);

/* Connects to `host`, an address or a name, trying its addresses in the resolver's order until one answers. TCP_NODELAY is set.
 * Returns the descriptor, or the last address's error: -ECONNREFUSED, -ENETUNREACH, -ETIMEDOUT …; -ENOENT: no such host;
 * -EAGAIN: the name service did not answer. Suspends. */
WHORL_API WHORL_MUST_USE int whorl_tcp_connect(const char *host, uint16_t port);

/* Receives at most `size` bytes into `buffer` (borrowed until return), as recv(2) does. `flags`: MSG_PEEK, MSG_WAITALL …
 * Returns how many, 0 at the end of the stream (or for size 0), -ECONNRESET … Suspends while there is nothing. */
WHORL_API WHORL_MUST_USE ssize_t whorl_recv(int fd, void *buffer, size_t size, int flags);

/* Sends from `buffer` (borrowed until return) as send(2) does, never raising SIGPIPE. Returns how many bytes the kernel took, which
 * may be fewer than `size`; -EPIPE, -ECONNRESET … Suspends while the kernel's buffer is full. */
WHORL_API WHORL_MUST_USE ssize_t whorl_send(int fd, const void *buffer, size_t size, int flags);

/* Sends all of `buffer`. Returns `size`, or the error that stopped it: then an unknown part was sent. Suspends while the
 * kernel's buffer is full. */
WHORL_API WHORL_MUST_USE ssize_t whorl_send_all(int fd, const void *buffer, size_t size, int flags);

/* Ends one or both directions of a connection; `how` is SHUT_RD, SHUT_WR or SHUT_RDWR. Returns 0, -ENOTCONN … Never suspends. */
WHORL_API int whorl_shutdown(int fd, int how);

/* Closes a descriptor of any kind. Operations that other tasks have in flight on it end with -ECANCELED (or their result, if they
 * had one), and only then is it closed, so its number cannot be reused under them. Not cancelled itself: the descriptor is
 * always closed when this returns.
 * Operations of another runtime in this process are waited for but not cancelled. close(2) itself blocks the worker where it
 * waits, as with SO_LINGER.
 * Returns 0, or what close(2) reports (-EIO …; the descriptor is gone all the same); -EBADF: not open, or being closed by
 * another task. Suspends while other tasks have operations in flight on it. */
WHORL_API int whorl_close(int fd);

WHORL_END_DECLS

#endif
