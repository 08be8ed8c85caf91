/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "response.h"
#include "routes.h"

/* How long the rest of what a refused client sends is read and dropped. */
#define LINGER WHORL_SEC(2)

/* Closing a socket with unread bytes makes the kernel reset the connection, and the client may lose the answer that explains
 * why. So the end of the answer is announced first, and what still comes is dropped for a while. */
static void linger(struct connection *connection)
{
    int fd = connection->fd;

    if (output_flush(&connection->out) < 0 || whorl_shutdown(fd, SHUT_WR) < 0)
        return;
    whorl_deadline(whorl_after(LINGER));
    while (whorl_recv(fd, connection->in.data, sizeof connection->in.data, 0) > 0)
        ;
}

/* Says what is wrong and ends the connection. */
static void refuse(struct connection *connection, int status)
{
    struct request unknown = {.method = HTTP_GET, .keep_alive = false};

    date_refresh(&connection->out.date);
    response_error(&connection->out, &unknown, status);
    linger(connection);
}

/* Waits for bytes, until the deadline that the last send has set, or the request that has begun. Returns whether some came. */
static bool receive(struct connection *connection)
{
    struct server *server = connection->server;
    size_t size;
    char *room = parser_room(&connection->in, &size);
    ssize_t n;

    if (!connection->begun) {
        /* The server stops: it sets `stopping`, then looks at `idle`. Here it is the other way round, so one of the two sees the
         * other and ends the wait below; a request that is in the socket already is still answered. */
        atomic_store(&connection->idle, true);
        if (atomic_load(&server->stopping))
            whorl_shutdown(connection->fd, SHUT_RD);
    }
    n = whorl_recv(connection->fd, room, size, 0);
    if (!connection->begun)
        atomic_store_explicit(&connection->idle, false, memory_order_relaxed);
    if (n == -ETIMEDOUT && connection->begun)
        refuse(connection, 408);
    if (n <= 0)
        return false;
    parser_received(&connection->in, (size_t)n);
    return true;
}

/* Answers `request`. Returns whether the connection goes on. */
static bool answer(struct connection *connection, struct request *request)
{
    struct server *server = connection->server;

    /* What has been received is still answered when the server stops, and the last answer says that it is the last. */
    if (atomic_load_explicit(&server->stopping, memory_order_relaxed) && parser_drained(&connection->in))
        request->keep_alive = false;
    routes_answer(&connection->out, request, server->root);
    if (request->keep_alive)
        return connection->out.error == 0;
    if (parser_drained(&connection->in))
        output_flush(&connection->out);
    else
        linger(connection);
    return false;
}

/* Answers all requests that have been received, with one send if their answers fit. Returns whether the connection goes on. */
static bool answer_received(struct connection *connection)
{
    struct request request;
    enum parse parse;

    date_refresh(&connection->out.date);
    while ((parse = parser_next(&connection->in, &request)) == PARSE_REQUEST) {
        connection->begun = false;
        if (!answer(connection, &request))
            return false;
    }
    if (parse == PARSE_ERROR) {
        refuse(connection, connection->in.status);
        return false;
    }
    if (parse == PARSE_CONTINUE) {
        response_continue(&connection->out);
        connection->begun = false; /* the body has its own time */
    }
    if (output_flush(&connection->out) < 0)
        return false;
    if (parser_pending(&connection->in) && !connection->begun) {
        connection->begun = true;
        whorl_deadline(whorl_after(connection->server->config->request));
    }
    return true;
}

struct connection *connection_new(struct server *server, int fd)
{
    struct connection *connection = malloc(sizeof *connection);

    if (connection == NULL)
        return NULL;
    connection->server = server;
    connection->fd = fd;
    atomic_init(&connection->idle, false);
    connection->begun = false;
    parser_init(&connection->in);
    output_init(&connection->out, fd, server->config->idle);
    return connection;
}

intptr_t connection_run(void *arg)
{
    struct connection *connection = arg;
    int fd = connection->fd;

    whorl_deadline(whorl_after(connection->server->config->idle));
    while (receive(connection) && answer_received(connection))
        ;
    server_leave(connection); /* before the descriptor may become another connection's */
    free(connection);
    whorl_close(fd);
    return 0;
}
