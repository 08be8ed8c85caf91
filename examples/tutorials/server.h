/* SPDX-License-Identifier: MIT */
/* What the servers among the tutorials' programs have in common: their options, and the signals that end them. */
#ifndef SERVER_H
#define SERVER_H

#include <whorl/whorl.h>

/* Reads --port, --workers and --help, and runs serve(port), with `port` an int *, in a runtime that cancels what is left when it returns.
 * `about` is a line on what the server does. Returns main's status. */
int server_main(int argc, char **argv, const char *about, whorl_fn serve);

/* Says that the server listens on `port`, then waits for SIGINT or SIGTERM. */
void server_wait(int port);

#endif
