/* SPDX-License-Identifier: MIT */
/* The server's side of `hog` in another program, a peer, so that all have the same clients. It is run as
 *
 *     PROGRAM hog-sessions KIND SLICE_MS DESCRIPTOR...
 *
 * sends back what comes over each of these connections, says "ready" on a line of its standard output when it does, keeps one of two
 * workers in the way of KIND (spin, block or none) for SLICE_MS at a time, and ends when all connections have. */
#ifndef BENCH_HOG_PEER_H
#define BENCH_HOG_PEER_H

#include <sys/types.h>

struct hog_peer {
    const char *program, *kind;
    long slice_ms, connections;
    const int *ends; /* the peer's ends of the connections, closed here once it has them */
    pid_t pid;
};

/* Starts it and waits until it is ready. Returns 0 or -errno. */
int hog_peer_start(struct hog_peer *peer);

/* Waits for its end, once the other ends of the connections are shut. Returns 0, or -ECHILD: it failed. */
int hog_peer_end(struct hog_peer *peer);

#endif
