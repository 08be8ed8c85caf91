/* SPDX-License-Identifier: MIT */
/* Echoing beside a request that makes its handler sort: such as a server is asked for by one client while it has hundreds. */
#include "beside.h"
#include "clock.h"
#include "numbers.h"
#include "workload.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <whorl/whorl.h>

struct server_sort {
    struct bench_beside beside;
    uint64_t *numbers;
    int listener, client;
    struct whorl_task *accepting;
};

/* The handler of a connection: sorts for each byte that it receives and answers with the ns that it took, negative: -errno. */
static int64_t handle(struct server_sort *s)
{
    size_t count = (size_t)s->beside.n;
    int64_t start, ns;
    int err;

    bench_numbers_fill(s->numbers, count);
    start = bench_now();
    err = whorl_sort(s->numbers, count, sizeof *s->numbers, bench_numbers_compare_arg, NULL);
    ns = bench_now() - start;
    return err ? err : bench_numbers_sorted(s->numbers, count) ? ns : -EBADMSG;
}

static intptr_t serve(void *arg)
{
    struct server_sort *s = arg;
    int fd = whorl_accept(s->listener);
    ssize_t n = fd;
    char request;

    while (fd >= 0 && (n = whorl_recv(fd, &request, 1, 0)) > 0) {
        int64_t answer = handle(s);

        if ((n = whorl_send_all(fd, &answer, sizeof answer, 0)) < 0)
            break;
    }
    if (fd >= 0)
        whorl_close(fd);
    return n;
}

static int begin(struct bench_beside *beside)
{
    struct server_sort *s = (struct server_sort *)beside;

    s->numbers = malloc((size_t)beside->n * sizeof *s->numbers);
    if (!s->numbers)
        return -ENOMEM;
    s->listener = whorl_tcp_listen("127.0.0.1", 0, NULL);
    if (s->listener < 0)
        return s->listener;
    s->accepting = whorl_spawn(serve, s);
    if (!s->accepting)
        return -ENOMEM;
    s->client = whorl_tcp_connect("127.0.0.1", (uint16_t)whorl_tcp_port(s->listener));
    return s->client < 0 ? s->client : 0;
}

static int ask_for_sort(struct bench_beside *beside, double *ns)
{
    struct server_sort *s = (struct server_sort *)beside;
    int64_t answer;
    ssize_t n = whorl_send_all(s->client, "s", 1, 0);

    if (n >= 0)
        n = whorl_recv(s->client, &answer, sizeof answer, MSG_WAITALL);
    if (n >= 0 && n < (ssize_t)sizeof answer)
        n = -EPIPE;
    if (n < 0)
        return (int)n;
    *ns = (double)answer;
    return answer < 0 ? (int)answer : 0;
}

static void end(struct bench_beside *beside)
{
    struct server_sort *s = (struct server_sort *)beside;

    if (s->client >= 0)
        whorl_close(s->client);
    if (s->accepting) {
        whorl_cancel(s->accepting);
        whorl_join(s->accepting, NULL);
    }
    if (s->listener >= 0)
        whorl_close(s->listener);
    free(s->numbers);
}

int bench_server_sort(int argc, char **argv)
{
    struct server_sort s = {
        .beside = {.name = "server-sort",
                   .what = "Measures connections that echo while the handler of another one sorts numbers on all workers.",
                   .n = 1000000,
                   .n_max = 1000000000,
                   .begin = begin,
                   .once = ask_for_sort,
                   .end = end,
                   .connections = 500,
                   .rate = 5000},
        .listener = -1,
        .client = -1};

    return bench_beside_run(argc, argv, &s.beside);
}
