/* SPDX-License-Identifier: MIT */
/* The echo server one would write by hand on epoll: one thread, level triggered, receive and send where the event is seen. What
 * the runtime's echo server is measured against. */
#define _GNU_SOURCE
#include "listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512, BUFFER_SIZE = 64 * 1024 };

/* A connection, and what the peer was too slow to take: while there is any, nothing more is received. */
struct connection {
    int fd;
    size_t pending_start, pending_end;
    unsigned char *pending;
};

static void watch(int epoll, int how, int fd, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};

    if (epoll_ctl(epoll, how, fd, &event) < 0)
        peer_fail("epoll_ctl", errno);
}

static void drop(struct connection *c)
{
    close(c->fd);
    free(c->pending);
    free(c);
}

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
        struct connection *c;

        if (fd < 0) {
            if (errno == EAGAIN)
                return;
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            peer_fail("accept", errno);
        }
        c = calloc(1, sizeof *c);
        if (!c)
            peer_fail("accept", ENOMEM);
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

static void keep(int epoll, struct connection *c, const unsigned char *data, size_t size)
{
    c->pending = malloc(size);
    if (!c->pending)
        peer_fail("send", ENOMEM);
    memcpy(c->pending, data, size);
    c->pending_start = 0;
    c->pending_end = size;
    watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
}

static void echo(int epoll, struct connection *c)
{
    static unsigned char buffer[BUFFER_SIZE];
    ssize_t got = recv(c->fd, buffer, sizeof buffer, 0), sent;

    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            drop(c);
        return;
    }
    sent = send(c->fd, buffer, (size_t)got, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        drop(c);
    else if (sent < got)
        keep(epoll, c, buffer + (sent > 0 ? sent : 0), (size_t)(got - (sent > 0 ? sent : 0)));
}

static void send_pending(int epoll, struct connection *c)
{
    ssize_t sent = send(c->fd, c->pending + c->pending_start, c->pending_end - c->pending_start, MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            drop(c);
        return;
    }
    c->pending_start += (size_t)sent;
    if (c->pending_start == c->pending_end) {
        free(c->pending);
        c->pending = NULL;
        watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    }
}

int main(int argc, char **argv)
{
    int listener = peer_listen("raw-epoll-echo", "Echoes what TCP connections send: a plain loop on epoll.", argc, argv);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS_MAX];

    if (epoll < 0)
        peer_fail("epoll_create1", errno);
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);

        if (count < 0 && errno != EINTR)
            peer_fail("epoll_wait", errno);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;

            if (!c)
                accept_all(epoll, listener);
            else if (c->pending)
                send_pending(epoll, c);
            else
                echo(epoll, c);
        }
    }
}
