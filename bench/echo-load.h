/* SPDX-License-Identifier: MIT */
/* Closed-loop load on a TCP echo server: each connection has `depth` requests under way and sends the next one when an answer
 * is complete. Every byte that comes back is compared with what was sent. One thread, on epoll: it must not share the code that
 * it measures, and a client on io_uring (multishot receive, buffer ring) got 0 to 3 % more out of the same server. */
#ifndef BENCH_ECHO_LOAD_H
#define BENCH_ECHO_LOAD_H

#include "histogram.h"

#include <stdint.h>

struct echo_load;

struct echo_load_options {
    const char *host;
    long port;
    long connections;
    long size;  /* bytes of a request */
    long depth; /* requests under way on each connection */
};

/* What happened in a window of time. All zero at its start. */
struct echo_window {
    uint64_t answered;
    struct bench_histogram latency; /* ns of each answered request */
};

/* Connects. Returns NULL once it has said on standard error what failed; so do the others with a negative error. */
struct echo_load *echo_load_open(const struct echo_load_options *options);
void echo_load_close(struct echo_load *load);

/* Sends and receives until the clock shows `until` and adds what was answered to *window. */
int echo_load_run(struct echo_load *load, int64_t until, struct echo_window *window);

/* Sends no more requests and waits until each one under way is answered: none may be lost. */
int echo_load_drain(struct echo_load *load);

#endif
