/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PEERS_LISTEN_H
#define BENCH_PEERS_LISTEN_H

/* Reads the command line of an echo server, --port, opens a non-blocking listening socket on 127.0.0.1 and says on standard output
 * where. Returns it; exits when that fails. */
int peer_listen(const char *name, const char *what, int argc, char **argv);

/* Prints what failed, with the text of the positive error number, and exits 1. */
void peer_fail(const char *what, int error) __attribute__((noreturn));

#endif
