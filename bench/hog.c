/* SPDX-License-Identifier: MIT */
/* What connections notice of a task that keeps one of the workers. An open loop, on an OS thread of its own: each request has its time,
 * whether or not the one before it was answered, and its latency counts from then. */
#define _GNU_SOURCE
#include "clock.h"
#include "histogram.h"
#include "hog-peer.h"
#include "options.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <whorl/whorl.h>

enum { CONNECTIONS_MAX = 1000, UNDER_WAY_MAX = 4096, DRAIN_MS = 5000, SETTLE_NS = 2000000 };

/* One end is the client's, the other a session's. */
struct connection {
    int client, server;
    struct hog *hog;
    int64_t due[UNDER_WAY_MAX]; /* when each request under way should have been sent */
    uint32_t sent, answered;
};

struct hog {
    long connections, rate, workers, slice_ms;
    double seconds;
    const char *kind, *takeover, *peer;
    struct connection *all;
    struct bench_histogram latency;
    int ends[2];   /* a pipe, for a hog that blocks */
    bool over;     /* atomic: the load is over */
    bool drained;  /* atomic: and the last answers are there, or will not be */
    int kept;      /* the worker that is to be kept */
    int there;     /* atomic: sessions that wait, or are just about to, on that one */
    int elsewhere; /* atomic: and on others */
    bool begun;    /* atomic: the hog */
    uint64_t taken_over;
    int error;
};

static intptr_t session(void *arg)
{
    struct connection *c = arg;
    int fd = c->server;
    char byte;
    ssize_t n;

    __atomic_fetch_add(whorl_worker() == c->hog->kept ? &c->hog->there : &c->hog->elsewhere, 1, __ATOMIC_RELEASE);
    while ((n = whorl_recv(fd, &byte, 1, 0)) > 0)
        if ((n = whorl_send_all(fd, &byte, 1, 0)) < 0)
            break;
    return n;
}

/* Each of these keeps its worker for a slice at a time, and lets it go in between. */

static intptr_t spin(void *arg)
{
    struct hog *hog = arg;

    __atomic_store_n(&hog->begun, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&hog->over, __ATOMIC_ACQUIRE)) {
        int64_t end = bench_now() + hog->slice_ms * 1000000;

        while (bench_now() < end && !__atomic_load_n(&hog->over, __ATOMIC_ACQUIRE))
            continue;
        whorl_yield();
    }
    return 0;
}

static intptr_t block(void *arg)
{
    struct hog *hog = arg;

    __atomic_store_n(&hog->begun, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&hog->over, __ATOMIC_ACQUIRE)) {
        struct pollfd never = {.fd = hog->ends[0], .events = POLLIN};

        poll(&never, 1, (int)hog->slice_ms);
        whorl_yield();
    }
    return 0;
}

static void take_answers(struct hog *hog, struct connection *c)
{
    char bytes[256];
    ssize_t n = recv(c->client, bytes, sizeof bytes, MSG_DONTWAIT);
    int64_t now = bench_now();

    for (; n > 0; n--)
        bench_histogram_add(&hog->latency, (uint64_t)(now - c->due[c->answered++ % UNDER_WAY_MAX]));
}

/* Waits for answers until `until`, or until all are there. */
static void wait_for_answers(struct hog *hog, struct pollfd *fds, int64_t until, bool all)
{
    for (;;) {
        int64_t left = until - bench_now();
        struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
        uint32_t missing = 0;

        if (left <= 0)
            return;
        if (ppoll(fds, (nfds_t)hog->connections, &timeout, NULL) <= 0)
            return;
        for (long i = 0; i < hog->connections; i++) {
            if (fds[i].revents)
                take_answers(hog, &hog->all[i]);
            missing += hog->all[i].sent - hog->all[i].answered;
        }
        if (all && missing == 0)
            return;
    }
}

static void *load(void *arg)
{
    struct hog *hog = arg;
    struct pollfd fds[CONNECTIONS_MAX];
    int64_t interval = 1000000000 / hog->rate, due = bench_now(), end = due + (int64_t)(hog->seconds * 1e9);

    for (long i = 0; i < hog->connections; i++)
        fds[i] = (struct pollfd){.fd = hog->all[i].client, .events = POLLIN};
    for (long i = 0; due < end && !hog->error; due += interval, i++) {
        struct connection *c = &hog->all[i % hog->connections];

        wait_for_answers(hog, fds, due, false);
        if (c->sent - c->answered == UNDER_WAY_MAX || send(c->client, "x", 1, MSG_NOSIGNAL) != 1)
            hog->error = -EPIPE;
        c->due[c->sent++ % UNDER_WAY_MAX] = due;
    }
    __atomic_store_n(&hog->over, true, __ATOMIC_RELEASE);
    wait_for_answers(hog, fds, bench_now() + DRAIN_MS * 1000000LL, true);
    for (long i = 0; i < hog->connections; i++) {
        if (hog->all[i].sent != hog->all[i].answered)
            hog->error = -ETIMEDOUT;
        shutdown(hog->all[i].client, SHUT_WR);
    }
    __atomic_store_n(&hog->drained, true, __ATOMIC_RELEASE);
    return NULL;
}

static int spawn_there(struct hog *hog, whorl_fn fn, void *arg)
{
    struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER(hog->kept)};
    struct whorl_task *t = whorl_spawn_with(fn, arg, &there);

    if (!t)
        return -ENOMEM;
    whorl_detach(t);
    return 0;
}

static bool sessions_wait(const struct hog *hog)
{
    return __atomic_load_n(&hog->there, __ATOMIC_ACQUIRE) + __atomic_load_n(&hog->elsewhere, __ATOMIC_ACQUIRE) == hog->connections;
}

static bool hog_begun(const struct hog *hog)
{
    return __atomic_load_n(&hog->begun, __ATOMIC_ACQUIRE);
}

/* Keeps the calling task's own worker until then, and a little longer, so that it steals nothing. */
static int stand_by(const struct hog *hog, bool (*until)(const struct hog *hog))
{
    int64_t patience = bench_now() + DRAIN_MS * 1000000LL, settled;

    while (!until(hog))
        if (bench_now() > patience)
            return -ETIMEDOUT;
    for (settled = bench_now() + SETTLE_NS; bench_now() < settled;)
        continue;
    return 0;
}

/* All sessions wait on a worker that is not the caller's, and there the hog begins: with two workers there is nobody to steal any of
 * them. */
static int spawn_all(struct hog *hog)
{
    whorl_fn keep = strcmp(hog->kind, "spin") == 0 ? spin : strcmp(hog->kind, "block") == 0 ? block : NULL;
    int err = 0;

    hog->kept = (whorl_worker() + 1) % whorl_workers();
    for (long i = 0; i < hog->connections && !err; i++)
        err = spawn_there(hog, session, &hog->all[i]);
    if (!err)
        err = stand_by(hog, sessions_wait);
    if (!err && keep)
        err = spawn_there(hog, keep, hog);
    if (!err && keep)
        err = stand_by(hog, hog_begun);
    return err;
}

static intptr_t run(void *arg)
{
    struct hog *hog = arg;
    struct whorl_stats stats = {.size = sizeof stats};
    pthread_t client;
    int err = spawn_all(hog);

    if (!err)
        err = -pthread_create(&client, NULL, load, hog);
    if (err) {
        for (long i = 0; i < hog->connections; i++)
            shutdown(hog->all[i].client, SHUT_WR);
        __atomic_store_n(&hog->over, true, __ATOMIC_RELEASE);
        return err;
    }
    while (!__atomic_load_n(&hog->over, __ATOMIC_ACQUIRE))
        whorl_sleep(WHORL_MS(10));
    whorl_stats(-1, &stats);
    hog->taken_over = stats.taken_over;
    while (!__atomic_load_n(&hog->drained, __ATOMIC_ACQUIRE))
        whorl_sleep(WHORL_MS(1)); /* a worker that blocked here could not give the last answers */
    pthread_join(client, NULL);
    return hog->error;
}

/* The same with the sessions in another program. */
static int run_peer(struct hog *hog)
{
    int ends[CONNECTIONS_MAX], err, ended;
    struct hog_peer peer = {
        .program = hog->peer, .kind = hog->kind, .slice_ms = hog->slice_ms, .connections = hog->connections, .ends = ends};

    for (long i = 0; i < hog->connections; i++)
        ends[i] = hog->all[i].server;
    err = hog_peer_start(&peer);
    if (err)
        return err;
    load(hog);
    ended = hog_peer_end(&peer);
    return hog->error ? hog->error : ended;
}

static int open_all(struct hog *hog)
{
    hog->all = calloc((size_t)hog->connections, sizeof *hog->all);
    if (!hog->all || pipe(hog->ends) < 0)
        return -ENOMEM;
    for (long i = 0; i < hog->connections; i++) {
        int ends[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
            return -errno;
        hog->all[i].client = ends[0];
        hog->all[i].server = ends[1];
        hog->all[i].hog = hog;
    }
    return 0;
}

static void report(const struct hog *hog)
{
    bench_report_begin("hog");
    bench_report_text("kind", hog->kind);
    if (hog->peer[0])
        bench_report_text("peer", hog->peer);
    else
        bench_report_text("takeover", hog->takeover);
    bench_report_count("workers", hog->workers);
    bench_report_count("connections", hog->connections);
    bench_report_count("rate", hog->rate);
    bench_report_count("slice_ms", hog->slice_ms);
    bench_report_real("p50_us", (double)bench_histogram_quantile(&hog->latency, 0.5) / 1e3);
    bench_report_real("p99_us", (double)bench_histogram_quantile(&hog->latency, 0.99) / 1e3);
    bench_report_real("p999_us", (double)bench_histogram_quantile(&hog->latency, 0.999) / 1e3);
    if (!hog->peer[0]) {
        bench_report_count("began_elsewhere", hog->elsewhere);
        bench_report_count("taken_over", (long)hog->taken_over);
    }
    bench_report_end();
}

int bench_hog(int argc, char **argv)
{
    struct hog hog = {.connections = 100,
                      .rate = 2000,
                      .workers = 2,
                      .slice_ms = 1000,
                      .seconds = 3,
                      .kind = "spin",
                      .takeover = "on",
                      .peer = ""};
    const struct bench_option options[] = {
        {.name = "kind", .help = "what keeps their worker: spin, block (in the kernel) or none", .text = &hog.kind},
        {.name = "takeover", .help = "on, or off to see what it is worth", .text = &hog.takeover},
        {.name = "peer", .help = "a program that has the sessions and the hog instead (bench/hog-peer.h)", .text = &hog.peer},
        {.name = "slice", .help = "milliseconds it is kept at a time", .number = &hog.slice_ms, .min = 1, .max = 100000},
        {.name = "connections", .help = "connections of that worker", .number = &hog.connections, .min = 1, .max = CONNECTIONS_MAX},
        {.name = "rate", .help = "requests each second, over all connections", .number = &hog.rate, .min = 1, .max = 1000000},
        {.name = "workers", .help = "OS threads that run tasks", .number = &hog.workers, .min = 2, .max = 1024},
        {.name = "seconds", .help = "of load", .seconds = &hog.seconds, .min = 0, .max = 600},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench hog", .what = "Measures connections whose worker is kept by a task.", .options = options};
    struct whorl_options runtime = {.size = sizeof runtime};
    int err;

    bench_options_read(&command, argc, argv);
    if (strcmp(hog.kind, "spin") != 0 && strcmp(hog.kind, "block") != 0 && strcmp(hog.kind, "none") != 0)
        bench_options_refuse(&command, "--kind: '%s' is not spin, block or none", hog.kind);
    if (strcmp(hog.takeover, "on") != 0 && strcmp(hog.takeover, "off") != 0)
        bench_options_refuse(&command, "--takeover: '%s' is not on or off", hog.takeover);
    runtime.workers = (int)hog.workers;
    runtime.disable = hog.takeover[1] == 'f' ? "watcher" : NULL;
    err = open_all(&hog);
    if (!err)
        err = hog.peer[0] ? run_peer(&hog) : (int)whorl_run(run, &hog, &runtime);
    if (err) {
        fprintf(stderr, "whorl-bench hog: the measurement failed: %s\n", strerror(-err));
        return 1;
    }
    report(&hog);
    return 0;
}
