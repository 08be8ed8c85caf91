/* SPDX-License-Identifier: MIT */
/* The server: who accepts connections, which ones there are, and how all of it comes to an end. */
#ifndef HTTPD_SERVER_H
#define HTTPD_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <whorl/whorl.h>

#define WORKERS_MAX 1024

struct connection;

struct config {
    const char *host;
    int port;
    int workers;      /* 0: whorl's default */
    const char *root; /* NULL: no files */
    whorl_ns idle;    /* how long a connection may stay silent between requests, and a send may take */
    whorl_ns request; /* how long a request may take to arrive */
    whorl_ns grace;   /* how long requests in progress have when the server is to stop */
};

struct server {
    const struct config *config;
    int root; /* the directory's descriptor, or -1 */
    atomic_bool stopping;
    pthread_mutex_t lock;           /* for what follows; never held over a call that suspends */
    struct whorl_task *drainer;     /* to be cancelled when the last connection is gone; or NULL */
    struct connection *connections; /* a list */
    size_t count;
};

/* The main task, `arg` being a struct server of which config and root are set. Listens and serves until SIGINT or SIGTERM, then
 * lets requests in progress finish. Returns 0, or 1 when it could not start. Connections that are left are the runtime's to
 * cancel. Suspends. */
intptr_t server_run(void *arg);

/* Takes `connection` out of the list; called by its task as it ends. Never suspends. */
void server_leave(struct connection *connection);

#endif
