/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "connection.h"

/* How long to wait for descriptors or memory to become free before another try. */
#define PAUSE WHORL_MS(10)

struct acceptor {
    struct server *server;
    int listener;
};

static void enter(struct connection *connection)
{
    struct server *server = connection->server;

    pthread_mutex_lock(&server->lock);
    connection->previous = NULL;
    connection->next = server->connections;
    if (connection->next != NULL)
        connection->next->previous = connection;
    server->connections = connection;
    server->count++;
    pthread_mutex_unlock(&server->lock);
}

void server_leave(struct connection *connection)
{
    struct server *server = connection->server;

    pthread_mutex_lock(&server->lock);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    if (--server->count == 0 && server->drainer != NULL)
        whorl_cancel(server->drainer); /* which waits for just this */
    pthread_mutex_unlock(&server->lock);
}

/* Gives the connection `fd` a task of its own. Returns 0 or -ENOMEM. */
static int start_connection(struct server *server, int fd)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "connection"};
    struct connection *connection = connection_new(server, fd);
    struct whorl_task *task;

    if (connection == NULL) {
        whorl_close(fd);
        return -ENOMEM;
    }
    enter(connection);
    task = whorl_spawn_with(connection_run, connection, &options);
    if (task == NULL) {
        server_leave(connection);
        free(connection);
        whorl_close(fd);
        return -ENOMEM;
    }
    whorl_detach(task);
    return 0;
}

/* Starts a task for each connection until it is cancelled. */
static intptr_t accept_loop(void *arg)
{
    const struct acceptor *acceptor = arg;
    int err = 0;

    while (err != -ECANCELED) {
        int fd = whorl_accept(acceptor->listener);

        err = fd < 0 ? fd : start_connection(acceptor->server, fd);
        if (err < 0 && err != -ECANCELED && err != -ECONNABORTED)
            err = whorl_sleep(PAUSE); /* no descriptors or no memory: the client stays queued meanwhile */
    }
    return 0;
}

/* One accept task on each worker spreads the connections. Returns how many were started. */
static int start_accepting(struct acceptor *acceptor, struct whorl_task *tasks[])
{
    int started = 0;

    for (int i = 0; i < whorl_workers(); i++) {
        struct whorl_spawn_options options = {.size = sizeof options, .name = "accept", .worker = WHORL_WORKER(i)};

        tasks[started] = whorl_spawn_with(accept_loop, acceptor, &options);
        if (tasks[started] != NULL)
            started++;
    }
    return started;
}

static void stop_accepting(struct acceptor *acceptor, struct whorl_task *tasks[], int started)
{
    while (started > 0) {
        whorl_cancel(tasks[--started]);
        whorl_join(tasks[started], NULL);
    }
    whorl_close(acceptor->listener);
}

/* Waits for SIGINT or SIGTERM, if need be until there is a descriptor to wait with. Returns which, -ECANCELED or -ETIMEDOUT. */
static int wait_for_signal(void)
{
    static const int signals[] = {SIGINT, SIGTERM};
    int signal;

    do
        signal = whorl_signal_wait(signals, 2);
    while (signal < 0 && signal != -ECANCELED && signal != -ETIMEDOUT && (signal = whorl_sleep(PAUSE)) == 0);
    return signal;
}

/* Ends the connections that wait for a request at once; the others have the grace period to finish the one they are at. */
static void drain(struct server *server)
{
    bool empty;

    atomic_store(&server->stopping, true);
    pthread_mutex_lock(&server->lock);
    for (struct connection *connection = server->connections; connection != NULL; connection = connection->next)
        if (atomic_load(&connection->idle))
            whorl_shutdown(connection->fd, SHUT_RD);
    empty = server->count == 0;
    server->drainer = empty ? NULL : whorl_self();
    pthread_mutex_unlock(&server->lock);
    if (empty)
        return;
    /* Until the last connection cancels this wait, the time is up, or whoever stops the server insists. */
    whorl_deadline(whorl_after(server->config->grace));
    if (wait_for_signal() != -ECANCELED)
        fprintf(stderr, "httpd: requests in progress are cut off\n");
    pthread_mutex_lock(&server->lock);
    server->drainer = NULL; /* the handle does not outlive this task, other connections may */
    pthread_mutex_unlock(&server->lock);
}

static void print_ready(const struct config *config, int port)
{
    bool v6 = strchr(config->host, ':') != NULL;

    printf("listening on http://%s%s%s:%d/\n", v6 ? "[" : "", config->host, v6 ? "]" : "", port);
    printf("reactor %s, %d worker%s\n", whorl_reactor(), whorl_workers(), whorl_workers() == 1 ? "" : "s");
    fflush(stdout);
}

static const char *listen_error(int err)
{
    return err == -ENOENT ? "no such host" : err == -EAGAIN ? "the name service does not answer" : strerror(-err);
}

intptr_t server_run(void *arg)
{
    struct server *server = arg;
    const struct config *config = server->config;
    struct acceptor acceptor = {.server = server};
    struct whorl_task *tasks[WORKERS_MAX];
    int started, signal = 0;

    acceptor.listener = whorl_tcp_listen(config->host, (uint16_t)config->port, NULL);
    if (acceptor.listener < 0) {
        fprintf(stderr, "httpd: cannot listen on %s, port %d: %s\n", config->host, config->port, listen_error(acceptor.listener));
        return 1;
    }
    started = start_accepting(&acceptor, tasks);
    if (started > 0) {
        print_ready(config, whorl_tcp_port(acceptor.listener));
        signal = wait_for_signal();
    } else {
        fprintf(stderr, "httpd: cannot start a task: out of memory\n");
    }
    stop_accepting(&acceptor, tasks, started);
    drain(server);
    return signal > 0 ? 0 : 1;
}
