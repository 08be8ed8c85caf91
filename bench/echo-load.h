/* SPDX-License-Identifier: MIT */
/* Load on a TCP echo server. Closed loop: each connection has `depth` requests under way and sends the next one when an answer
 * is complete. Open loop, with a `rate`: each request has its time, whether or not those before it were answered, and its latency
 * counts from then. Every byte that comes back is compared with what was sent. One thread, on epoll: it must not share the code that
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
    long depth; /* requests under way on each connection; with a rate the most there may be, more are an error */
    long rate;  /* requests each second, over all connections in turn; 0: closed loop */
};

/* What happened in a window of time. All zero at its start. */
struct echo_window {
    uint64_t answered;
    struct bench_histogram latency; /* ns of each answered request */
    struct bench_histogram late;    /* with a rate, ns from when a request was due until it was sent: this client's own delay */
};

/* Lets this process have as many descriptors as it may: a connection is one on either side. echo_load_open does this by itself. */
void echo_load_raise_limit(void);

/* Connects. Returns NULL once it has said on standard error what failed; so do the others with a negative error. */
struct echo_load *echo_load_open(const struct echo_load_options *options);
void echo_load_close(struct echo_load *load);

/* Sends and receives until the clock shows `until` and adds what was answered to *window. */
int echo_load_run(struct echo_load *load, int64_t until, struct echo_window *window);

/* Sends no more requests and waits until each one under way is answered: none may be lost. Adds them to *window unless that is NULL.
 * With a rate echo_load_run may follow again. */
int echo_load_drain(struct echo_load *load, struct echo_window *window);

#endif
