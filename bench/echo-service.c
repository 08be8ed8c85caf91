/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "echo-service.h"

#include "clock.h"
#include "cputime.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <whorl/whorl.h>

/* Before a window counts. */
#define WARMUP_NS 200000000

enum order_kind { CONNECT, MEASURE, DISCONNECT };

struct order {
    enum order_kind kind;
    long port;
    double seconds;
};

struct answer {
    int err;
    int cpu;
    bool first;
    struct echo_service_result result;
};

/* The clients' process. */

struct clients {
    struct echo_load_options options;
    struct echo_load *load;
    struct echo_window window;
    struct answer answer;
};

/* On the last processor, first there, and on time: without the kernel's 50 us of leeway for timers. */
static void settle_down(struct answer *answer)
{
    struct sched_param lowest = {.sched_priority = 1};
    cpu_set_t set;

    prctl(PR_SET_TIMERSLACK, 1);
    if (answer->first && sched_setscheduler(0, SCHED_FIFO, &lowest) < 0)
        answer->first = false;
    answer->cpu = -1;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            answer->cpu = i;
    CPU_ZERO(&set);
    CPU_SET(answer->cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        answer->cpu = -1;
}

static int run_window(struct clients *c, double seconds)
{
    struct echo_service_result *r = &c->answer.result;
    int64_t start, used;
    int err = echo_load_run(c->load, bench_now() + WARMUP_NS, NULL);

    memset(&c->window, 0, sizeof c->window);
    start = bench_now();
    used = bench_cputime(0);
    if (!err)
        err = echo_load_run(c->load, start + (int64_t)(seconds * 1e9), &c->window);
    r->cpu_share = (double)(bench_cputime(0) - used) / (double)(bench_now() - start);
    r->per_second = (double)c->window.answered * 1e9 / (double)(bench_now() - start);
    if (!err)
        err = echo_load_drain(c->load, &c->window); /* those that come late count too */
    r->p50_us = bench_histogram_quantile(&c->window.latency, 0.5) / 1e3;
    r->p99_us = bench_histogram_quantile(&c->window.latency, 0.99) / 1e3;
    r->p999_us = bench_histogram_quantile(&c->window.latency, 0.999) / 1e3;
    r->late_p99_us = bench_histogram_quantile(&c->window.late, 0.99) / 1e3;
    return err;
}

static int follow(struct clients *c, const struct order *order)
{
    if (order->kind == MEASURE)
        return run_window(c, order->seconds);
    if (order->kind == CONNECT) {
        c->options.port = order->port;
        c->load = echo_load_open(&c->options);
        return c->load ? 0 : -ECONNREFUSED;
    }
    if (c->load)
        echo_load_close(c->load);
    c->load = NULL;
    return 0;
}

static _Noreturn void be_clients(const struct echo_service *echo, int orders)
{
    static struct clients c;
    struct order order;

    c.options = echo->load;
    c.answer.first = echo->first;
    settle_down(&c.answer);
    while (recv(orders, &order, sizeof order, MSG_WAITALL) == sizeof order) {
        c.answer.err = follow(&c, &order);
        if (send(orders, &c.answer, sizeof c.answer, MSG_NOSIGNAL) != sizeof c.answer)
            break;
    }
    _exit(0);
}

int echo_service_start(struct echo_service *echo)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    echo_load_raise_limit();
    echo->listener = -1;
    echo->orders = ends[0];
    echo->pid = fork();
    if (echo->pid < 0) {
        int err = -errno;

        close(ends[0]);
        close(ends[1]);
        return err;
    }
    if (echo->pid == 0) {
        close(ends[0]);
        be_clients(echo, ends[1]);
    }
    close(ends[1]);
    return 0;
}

void echo_service_end(struct echo_service *echo)
{
    close(echo->orders); /* it ends by that */
    waitpid(echo->pid, NULL, 0);
}

static int give_order(struct echo_service *echo, const struct order *order, struct answer *answer)
{
    ssize_t n = whorl_send_all(echo->orders, order, sizeof *order, 0);

    if (n >= 0)
        n = whorl_recv(echo->orders, answer, sizeof *answer, MSG_WAITALL);
    if (n >= 0 && n < (ssize_t)sizeof *answer)
        n = -EPIPE;
    if (n < 0) {
        fprintf(stderr, "whorl-bench: the clients' process: %s\n", strerror((int)-n));
        return (int)n;
    }
    return answer->err;
}

/* The service. */

static intptr_t session(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[1024];
    ssize_t n;

    while ((n = whorl_recv(fd, buffer, sizeof buffer, 0)) > 0)
        if ((n = whorl_send_all(fd, buffer, (size_t)n, 0)) < 0)
            break;
    whorl_close(fd);
    return n;
}

/* Deals the connections out to the workers. */
static intptr_t accept_all(void *arg)
{
    const struct echo_service *echo = arg;
    int fd;

    for (int turn = 0; (fd = whorl_accept(echo->listener)) >= 0; turn = (turn + 1) % whorl_workers()) {
        struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER(turn)};
        struct whorl_task *t = whorl_spawn_with(session, (void *)(intptr_t)fd, &there);

        if (!t) {
            whorl_close(fd);
            return -ENOMEM;
        }
        whorl_detach(t);
    }
    if (fd != -ECANCELED)
        fprintf(stderr, "whorl-bench: accepting: %s\n", strerror(-fd));
    return fd;
}

int echo_service_open(struct echo_service *echo)
{
    struct order order = {.kind = CONNECT};
    struct answer answer;
    int err;

    echo->listener = whorl_tcp_listen("127.0.0.1", 0, NULL);
    if (echo->listener < 0) {
        fprintf(stderr, "whorl-bench: listening: %s\n", strerror(-echo->listener));
        return echo->listener;
    }
    order.port = whorl_tcp_port(echo->listener);
    echo->accepting = whorl_spawn(accept_all, echo);
    if (!echo->accepting)
        return -ENOMEM;
    err = give_order(echo, &order, &answer);
    echo->first = answer.first;
    echo->cpu = answer.cpu;
    return err;
}

int echo_service_measure(struct echo_service *echo, double seconds, struct echo_service_result *result)
{
    struct order order = {.kind = MEASURE, .seconds = seconds};
    struct answer answer;
    int err = give_order(echo, &order, &answer);

    *result = answer.result;
    return err;
}

int echo_service_close(struct echo_service *echo)
{
    struct order order = {.kind = DISCONNECT};
    struct answer answer;
    int err = echo->listener < 0 ? 0 : give_order(echo, &order, &answer);

    if (echo->accepting) {
        whorl_cancel(echo->accepting);
        whorl_join(echo->accepting, NULL);
    }
    if (echo->listener >= 0)
        whorl_close(echo->listener);
    return err;
}
