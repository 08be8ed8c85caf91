/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "echo-load.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 512,
    RECV_SIZE = 64 * 1024,
    PATIENCE_S = 5, /* with a connection, and with a server that answers nothing */
};

struct connection {
    int fd;
    bool blocked;      /* the socket takes no more, its writability is being waited for */
    uint64_t allowed;  /* bytes of its stream that may be sent, */
    uint64_t sent;     /* that were, */
    uint64_t received; /* and that came back */
    int64_t *asked;    /* when each request under way began, at its number modulo depth */
};

struct echo_load {
    struct echo_load_options options;
    int epoll;
    bool closing;
    uint64_t under_way; /* requests, of all connections */
    int64_t due;        /* with a rate: when the next request is */
    uint64_t turn;      /* and whose it is */
    struct echo_window *window;
    struct connection *connections;
    int64_t *asked;          /* of all connections */
    unsigned char *pattern;  /* a request, but for its tag */
    unsigned char *outgoing; /* room for `depth` requests */
    unsigned char incoming[RECV_SIZE], expected[RECV_SIZE];
};

/* Differs between the requests of a connection and between connections, so that an answer in the wrong place is noticed. */
static uint64_t tag_of(const struct echo_load *load, const struct connection *c, uint64_t request)
{
    return (request + 1) * 0x9e3779b97f4a7c15u ^ (uint64_t)(c - load->connections + 1) * 0xc2b2ae3d27d4eb4fu;
}

/* Writes the part of the stream of `c` that begins at `offset`: one request after another, each with its tag in front. */
static void stream_bytes(const struct echo_load *load, const struct connection *c, uint64_t offset, size_t count,
                         unsigned char *out)
{
    size_t size = (size_t)load->options.size;

    while (count > 0) {
        uint64_t tag = tag_of(load, c, offset / size);
        size_t at = offset % size, part = size - at < count ? size - at : count;

        memcpy(out, load->pattern + at, part);
        if (at < sizeof tag)
            memcpy(out, (unsigned char *)&tag + at, part < sizeof tag - at ? part : sizeof tag - at);
        out += part;
        offset += part;
        count -= part;
    }
}

/* Says what failed, on which connection unless `c` is NULL. Returns `err`, or for 0 that the data are wrong. */
static int complain(const struct echo_load *load, const struct connection *c, int err, const char *what)
{
    fprintf(stderr, "whorl-bench echo-client: port %ld: ", load->options.port);
    if (c)
        fprintf(stderr, "connection %td: ", c - load->connections);
    fprintf(stderr, "%s%s%s\n", what, err ? ": " : "", err ? strerror(-err) : "");
    return err ? err : -EBADMSG;
}

static int watch(struct echo_load *load, struct connection *c, int how, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    return epoll_ctl(load->epoll, how, c->fd, &event) < 0 ? complain(load, c, -errno, "epoll_ctl") : 0;
}

/* Sends what is allowed and was not yet sent, or waits for room. */
static int send_allowed(struct echo_load *load, struct connection *c)
{
    size_t count = c->allowed - c->sent;
    ssize_t sent;

    if (count == 0)
        return 0;
    stream_bytes(load, c, c->sent, count, load->outgoing);
    sent = send(c->fd, load->outgoing, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return complain(load, c, -errno, "send");
    if (sent > 0)
        c->sent += (uint64_t)sent;
    if (c->blocked == (c->sent < c->allowed))
        return 0;
    c->blocked = !c->blocked;
    return watch(load, c, EPOLL_CTL_MOD, c->blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* With a rate: sends all requests whose time has come. */
static int ask(struct echo_load *load, int64_t now)
{
    uint64_t size = (uint64_t)load->options.size, depth = (uint64_t)load->options.depth;

    for (; load->due <= now; load->due += 1000000000 / load->options.rate) {
        struct connection *c = &load->connections[load->turn++ % (uint64_t)load->options.connections];
        int err;

        if (c->allowed / size - c->received / size == depth)
            return complain(load, c, -EOVERFLOW, "answers are too far behind the rate");
        c->asked[c->allowed / size % depth] = load->due;
        c->allowed += size;
        load->under_way++;
        if (load->window)
            bench_histogram_add(&load->window->late, (uint64_t)(now - load->due));
        err = send_allowed(load, c);
        if (err)
            return err;
    }
    return 0;
}

/* Counts a request of `c` as answered and, without a rate, allows the one that takes its place. */
static void answer(struct echo_load *load, struct connection *c, uint64_t request, int64_t now)
{
    int64_t *asked = &c->asked[request % (uint64_t)load->options.depth];

    if (load->window) {
        load->window->answered++;
        bench_histogram_add(&load->window->latency, (uint64_t)(now - *asked));
    }
    if (load->closing || load->options.rate) {
        load->under_way--;
        return;
    }
    *asked = now;
    c->allowed += (uint64_t)load->options.size;
}

static int receive(struct echo_load *load, struct connection *c)
{
    uint64_t size = (uint64_t)load->options.size, request = c->received / size;
    ssize_t got = recv(c->fd, load->incoming, sizeof load->incoming, MSG_DONTWAIT);
    int64_t now = bench_now();

    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : complain(load, c, -errno, "recv");
    if (got == 0)
        return complain(load, c, 0, "the server closed it");
    stream_bytes(load, c, c->received, (size_t)got, load->expected);
    if (c->received + (uint64_t)got > c->sent || memcmp(load->incoming, load->expected, (size_t)got) != 0)
        return complain(load, c, 0, "what came back is not what was sent");
    c->received += (uint64_t)got;
    for (; request < c->received / size; request++)
        answer(load, c, request, now);
    return send_allowed(load, c);
}

/* Waits for events until `until`, but not for long. */
static int wait_for_events(struct echo_load *load, struct epoll_event *events, int64_t now, int64_t until)
{
    int64_t left = until - now < 100000000 ? until - now : 100000000;
    struct timespec timeout = {.tv_nsec = left > 0 ? left : 0};
    int count = epoll_pwait2(load->epoll, events, EVENTS_MAX, &timeout, NULL);

    return count < 0 && errno == EINTR ? 0 : count < 0 ? -errno : count;
}

static int serve_events(struct echo_load *load, struct epoll_event *events, int count)
{
    int err = 0;

    for (int i = 0; i < count && !err; i++) {
        struct connection *c = events[i].data.ptr;

        err = events[i].events & ~(uint32_t)EPOLLOUT ? receive(load, c) : send_allowed(load, c);
    }
    return err;
}

/* Serves the connections until the clock shows `until`, or, when closing, nothing is under way. */
static int serve(struct echo_load *load, int64_t until)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t now, heard = bench_now();
    bool open = load->options.rate && !load->closing;
    int count, err = 0;

    while (!err && (now = bench_now()) < until && !(load->closing && load->under_way == 0)) {
        if (open && (err = ask(load, now)) != 0)
            return err;
        count = wait_for_events(load, events, now, open && load->due < until ? load->due : until);
        if (count < 0)
            return complain(load, NULL, count, "epoll_pwait2");
        if (count > 0 || load->under_way == 0)
            heard = now;
        else if (now - heard > PATIENCE_S * 1000000000LL)
            return complain(load, NULL, -ETIMEDOUT, "nothing came back on any connection");
        err = serve_events(load, events, count);
    }
    return err;
}

int echo_load_run(struct echo_load *load, int64_t until, struct echo_window *window)
{
    int err;

    load->window = window;
    load->closing = false;
    load->due = bench_now();
    err = serve(load, until);
    load->window = NULL;
    return err;
}

int echo_load_drain(struct echo_load *load, struct echo_window *window)
{
    int err;

    load->window = window;
    load->closing = true;
    err = serve(load, bench_now() + PATIENCE_S * 1000000000LL);
    load->window = NULL;
    if (err == 0 && load->under_way > 0) {
        fprintf(stderr, "whorl-bench echo-client: %ju requests were not answered within %d s\n", (uintmax_t)load->under_way,
                PATIENCE_S);
        err = -ETIMEDOUT;
    }
    return err;
}

static int connect_to(const struct addrinfo *address)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int one = 1, err, fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 || connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
        err = errno == EINPROGRESS ? -ETIMEDOUT : -errno; /* what a connect that exceeds SO_SNDTIMEO says */
        close(fd);
        return err;
    }
    return fd;
}

static int connect_all(struct echo_load *load)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *addresses;
    char port[16];
    int err;

    snprintf(port, sizeof port, "%ld", load->options.port);
    err = getaddrinfo(load->options.host, port, &hints, &addresses);
    if (err) {
        fprintf(stderr, "whorl-bench echo-client: %s: %s\n", load->options.host, gai_strerror(err));
        return -ENOENT;
    }
    for (long i = 0; i < load->options.connections && !err; i++) {
        struct connection *c = &load->connections[i];

        c->fd = -1;
        for (struct addrinfo *a = addresses; a && c->fd < 0; a = a->ai_next)
            c->fd = connect_to(a);
        if (c->fd < 0) {
            err = complain(load, c, c->fd, "connect");
            break;
        }
        err = watch(load, c, EPOLL_CTL_ADD, EPOLLIN);
    }
    freeaddrinfo(addresses);
    return err;
}

/* Makes each connection ready to send, and without a rate sends its first `depth` requests. */
static int begin(struct echo_load *load)
{
    uint64_t depth = (uint64_t)load->options.depth;

    for (long i = 0; i < load->options.connections; i++) {
        struct connection *c = &load->connections[i];
        int64_t now = bench_now();
        int err;

        c->asked = load->asked + (size_t)i * depth;
        if (load->options.rate)
            continue;
        for (uint64_t slot = 0; slot < depth; slot++)
            c->asked[slot] = now;
        c->allowed = depth * (uint64_t)load->options.size;
        load->under_way += depth;
        err = send_allowed(load, c);
        if (err)
            return err;
    }
    return 0;
}

static int allocate(struct echo_load *load)
{
    size_t connections = (size_t)load->options.connections, depth = (size_t)load->options.depth, size = (size_t)load->options.size;

    load->connections = calloc(connections, sizeof *load->connections);
    load->asked = calloc(connections * depth, sizeof *load->asked);
    load->pattern = malloc(size);
    load->outgoing = malloc(depth * size);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load->connections || !load->asked || !load->pattern || !load->outgoing || load->epoll < 0) {
        perror("whorl-bench echo-client");
        return -ENOMEM;
    }
    for (size_t i = 0; i < connections; i++)
        load->connections[i].fd = -1;
    for (size_t i = 0; i < size; i++)
        load->pattern[i] = (unsigned char)(i * 131 + (i >> 8));
    return 0;
}

/* A connection is a descriptor: use as many as the hard limit gives. */
void echo_load_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct echo_load *echo_load_open(const struct echo_load_options *options)
{
    struct echo_load *load = calloc(1, sizeof *load);

    if (!load) {
        perror("whorl-bench echo-client");
        return NULL;
    }
    load->options = *options;
    echo_load_raise_limit();
    if (allocate(load) < 0 || connect_all(load) < 0 || begin(load) < 0) {
        echo_load_close(load);
        return NULL;
    }
    return load;
}

void echo_load_close(struct echo_load *load)
{
    if (load->connections)
        for (long i = 0; i < load->options.connections; i++)
            if (load->connections[i].fd >= 0)
                close(load->connections[i].fd);
    if (load->epoll >= 0)
        close(load->epoll);
    free(load->outgoing);
    free(load->pattern);
    free(load->asked);
    free(load->connections);
    free(load);
}
