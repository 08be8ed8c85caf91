/* SPDX-License-Identifier: MIT */
/* An echo service beside something else that the same runtime does, and its clients: an open loop in a process of its own, on the last
 * of the processors that this one may use. Where every processor has a worker that computes, a client waits for the kernel's scheduler
 * before it can send and before it can see an answer. That is no property of the service, so the clients come first if that is
 * allowed (SCHED_FIFO), and how late they were is reported. */
#ifndef BENCH_ECHO_SERVICE_H
#define BENCH_ECHO_SERVICE_H

#include "echo-load.h"

#include <stdbool.h>
#include <sys/types.h>

struct echo_service {
    struct echo_load_options load; /* but for the port */
    bool first;                    /* the clients are to come before all others on their processor; cleared when they may not */
    int cpu;                       /* on which they are */
    /* echo_service's own. */
    pid_t pid;
    int orders, listener;
    struct whorl_task *accepting;
};

/* What the clients saw in a window: latencies in us; the part of their processor that they took. */
struct echo_service_result {
    double p50_us, p99_us, p999_us, late_p99_us, cpu_share, per_second;
};

/* Starts the clients' process, which waits for orders. It forks: to be called before there is any thread. Returns 0 or -errno. */
int echo_service_start(struct echo_service *echo);
/* Ends it, when the runtime has ended. */
void echo_service_end(struct echo_service *echo);

/* In a task. Each returns 0 or -errno, having said what failed. */

/* Starts the service and connects the clients. */
int echo_service_open(struct echo_service *echo);
/* Lets the clients send for that long, and then waits until all is answered. */
int echo_service_measure(struct echo_service *echo, double seconds, struct echo_service_result *result);
/* Disconnects the clients and ends the service. */
int echo_service_close(struct echo_service *echo);

#endif
