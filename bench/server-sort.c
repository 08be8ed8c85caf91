/* SPDX-License-Identifier: MIT */
/* Echoing beside a request that makes its handler sort: such as a server is asked for by one client while it has hundreds. */
#include "beside.h"
#include "clock.h"
#include "numbers.h"
#include "workload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <whorl/whorl.h>

/* What tells whether numbers are the same ones, and in order. */
struct digest {
    uint64_t sum, mixed, disorder;
};

struct server_sort {
    struct bench_beside beside;
    uint64_t *unsorted, *numbers;
    struct digest expected; /* of the unsorted ones */
    int listener, client;
    struct whorl_task *accepting;
};

/* All that a handler does but sorting is done by whorl's loops, too, which keep nobody waiting. */

static void copy_numbers(size_t begin, size_t end, void *arg)
{
    struct server_sort *s = arg;

    memcpy(s->numbers + begin, s->unsorted + begin, (end - begin) * sizeof *s->numbers);
}

static void digest(size_t begin, size_t end, void *into, void *arg)
{
    const uint64_t *numbers = arg;
    struct digest *d = into;

    for (size_t i = begin; i < end; i++) {
        d->sum += numbers[i];
        d->mixed ^= numbers[i];
        d->disorder += i > 0 && numbers[i] < numbers[i - 1];
    }
}

static void combine(void *into, const void *from, void *arg)
{
    const struct digest *other = from;
    struct digest *d = into;

    (void)arg;
    d->sum += other->sum;
    d->mixed ^= other->mixed;
    d->disorder += other->disorder;
}

static bool sorted(const struct server_sort *s)
{
    struct digest d = {0};

    return whorl_reduce(0, (size_t)s->beside.n, digest, combine, s->numbers, &d, sizeof d) == 0 && d.disorder == 0 &&
           d.sum == s->expected.sum && d.mixed == s->expected.mixed;
}

/* The handler of a connection: sorts for each byte that it receives and answers with the ns that it took, negative: -errno. */
static int64_t handle(struct server_sort *s)
{
    size_t count = (size_t)s->beside.n;
    int64_t start, ns;
    int err;

    whorl_parallel_for(0, count, copy_numbers, s);
    start = bench_now();
    err = whorl_sort(s->numbers, count, sizeof *s->numbers, bench_numbers_compare_arg, NULL);
    ns = bench_now() - start;
    return err ? err : sorted(s) ? ns : -EBADMSG;
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

    s->unsorted = malloc((size_t)beside->n * sizeof *s->unsorted);
    s->numbers = malloc((size_t)beside->n * sizeof *s->numbers);
    if (!s->unsorted || !s->numbers)
        return -ENOMEM;
    bench_numbers_fill(s->unsorted, (size_t)beside->n);
    digest(0, (size_t)beside->n, &s->expected, s->unsorted);
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
    free(s->unsorted);
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
                   .rate = 2000},
        .listener = -1,
        .client = -1};

    return bench_beside_run(argc, argv, &s.beside);
}
