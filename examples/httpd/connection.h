/* SPDX-License-Identifier: MIT */
/* A connection's task: read, parse, answer, until either side has had enough. */
#ifndef HTTPD_CONNECTION_H
#define HTTPD_CONNECTION_H

#include "output.h"
#include "request.h"
#include "server.h"

/* All there is of a connection, its task's own but for the first part. On the heap rather than on the task's stack, where the
 * compiler would touch every page of it to make sure that it is not beyond the guard (-fstack-clash-protection): here the buffers
 * fill from their beginnings, and an idle connection has touched a few pages only. */
struct connection {
    struct server *server;
    int fd;
    atomic_bool idle;                   /* it waits for a request of which nothing has come yet */
    struct connection *next, *previous; /* in the server's list, under its lock */

    bool begun; /* part of a request is here, and the task's deadline is when the rest must be */
    struct parser in;
    struct output out;
};

/* A connection by the descriptor `fd`. NULL: no memory. */
struct connection *connection_new(struct server *server, int fd);

/* The task, `arg` being its connection, which it frees. */
intptr_t connection_run(void *arg);

#endif
