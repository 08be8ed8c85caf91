/* SPDX-License-Identifier: MIT */
/* A program from outside: C11 and C++11 at once. It serves on loopback, is its own client, and computes in the same tasks: each
 * request is a number, each answer how many primes are below it. Where io_uring is refused it computes without serving. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <whorl/whorl.h>

static const struct {
    uint32_t limit, primes;
} known[] = {{10, 4}, {1000, 168}, {10000, 1229}, {30000, 3245}};

enum { KNOWN = sizeof known / sizeof known[0], CLIENTS = 8, PARTS = 4 };

struct range {
    uint32_t begin, end;
};

static intptr_t count_primes(void *arg)
{
    const struct range *range = (const struct range *)arg;
    intptr_t count = 0;

    for (uint32_t n = range->begin < 2 ? 2 : range->begin; n < range->end; n++) {
        uint32_t divisor = 2;

        while (divisor * divisor <= n && n % divisor != 0)
            divisor++;
        count += divisor * divisor > n;
    }
    return count;
}

/* Counts in PARTS tasks. Returns -1 when one could not be started. */
static intptr_t primes_below(uint32_t limit)
{
    struct range ranges[PARTS];
    struct whorl_task *tasks[PARTS];
    intptr_t sum = 0, part;

    for (uint32_t i = 0; i < PARTS; i++) {
        ranges[i].begin = limit / PARTS * i;
        ranges[i].end = i + 1 < PARTS ? limit / PARTS * (i + 1) : limit;
        tasks[i] = whorl_spawn(count_primes, &ranges[i]);
    }
    for (int i = 0; i < PARTS; i++) {
        if (!tasks[i] || whorl_join(tasks[i], &part) != 0)
            sum = -1;
        else if (sum >= 0)
            sum += part;
    }
    return sum;
}

struct part {
    struct whorl_fork fork;
    struct range range;
    intptr_t count;
};

static void count_part(struct whorl_fork *self)
{
    struct part *part = whorl_fork_of(self, struct part, fork);

    part->count = count_primes(&part->range);
}

/* The same by forks: the inline functions of the header, and what they need of the library. */
static intptr_t primes_by_forks(uint32_t limit)
{
    struct part parts[PARTS];
    intptr_t sum = 0;

    for (uint32_t i = 0; i < PARTS; i++) {
        parts[i].range.begin = limit / PARTS * i;
        parts[i].range.end = i + 1 < PARTS ? limit / PARTS * (i + 1) : limit;
        whorl_fork(&parts[i].fork, count_part);
    }
    for (int i = PARTS - 1; i >= 0; i--) {
        whorl_sync(&parts[i].fork);
        sum += parts[i].count;
        whorl_checkpoint();
    }
    return sum;
}

static intptr_t session(void *arg)
{
    int fd = (int)(intptr_t)arg;
    uint32_t limit, answer;

    while (whorl_recv(fd, &limit, sizeof limit, MSG_WAITALL) == (ssize_t)sizeof limit) {
        answer = (uint32_t)(limit % 20 ? primes_below(limit) : primes_by_forks(limit));
        if (whorl_send_all(fd, &answer, sizeof answer, 0) < 0)
            break;
    }
    return whorl_close(fd);
}

static intptr_t serve(void *arg)
{
    int listener = (int)(intptr_t)arg, fd;

    while ((fd = whorl_accept(listener)) >= 0) {
        struct whorl_task *task = whorl_spawn(session, (void *)(intptr_t)fd);

        if (task)
            whorl_detach(task);
        else
            whorl_close(fd);
    }
    return fd;
}

/* Returns how many answers were wrong or missing. */
static intptr_t ask(void *arg)
{
    int fd = whorl_tcp_connect("127.0.0.1", (uint16_t)(intptr_t)arg);
    intptr_t wrong = 0;
    uint32_t answer;

    if (fd < 0)
        return KNOWN;
    for (int i = 0; i < KNOWN; i++)
        if (whorl_send_all(fd, &known[i].limit, sizeof known[i].limit, 0) < 0 ||
            whorl_recv(fd, &answer, sizeof answer, MSG_WAITALL) != (ssize_t)sizeof answer || answer != known[i].primes)
            wrong++;
    whorl_close(fd);
    return wrong;
}

static intptr_t serve_and_ask(void *arg)
{
    int listener = whorl_tcp_listen("127.0.0.1", 0, NULL);
    intptr_t wrong = 0, part;
    struct whorl_task *server, *clients[CLIENTS];

    (void)arg;
    if (listener < 0)
        return 1;
    server = whorl_spawn(serve, (void *)(intptr_t)listener);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = whorl_spawn(ask, (void *)(intptr_t)whorl_tcp_port(listener));
    for (int i = 0; i < CLIENTS; i++) {
        if (!clients[i] || whorl_join(clients[i], &part) != 0)
            wrong++;
        else
            wrong += part;
    }
    if (!server)
        return wrong + 1;
    whorl_cancel(server);
    wrong += whorl_join(server, &part) != 0 || part != -ECANCELED;
    return wrong + (whorl_close(listener) != 0);
}

static intptr_t compute(void *arg)
{
    intptr_t wrong = 0;

    (void)arg;
    for (int i = 0; i < KNOWN; i++)
        wrong += primes_below(known[i].limit) != (intptr_t)known[i].primes ||
                 primes_by_forks(known[i].limit) != (intptr_t)known[i].primes;
    return wrong;
}

int main(void)
{
    struct whorl_options options;
    intptr_t wrong = whorl_run(serve_and_ask, NULL, NULL);
    const char *what = "served and computed";

    if (wrong == -EPERM || wrong == -ENOSYS) {
        memset(&options, 0, sizeof options);
        options.size = sizeof options;
        options.reactor = "null";
        wrong = whorl_run(compute, NULL, &options);
        what = "io_uring is refused here, so only computed";
    }
    if (strcmp(whorl_version(), WHORL_VERSION) != 0)
        wrong++;
    printf("whorl %s: %s: %s\n", whorl_version(), what, wrong == 0 ? "right" : "WRONG");
    return wrong != 0;
}
