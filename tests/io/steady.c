/* SPDX-License-Identifier: MIT */
/* What a runtime does not do: allocate memory once it has run for a while, or anything at all when there is nothing to do. */
#include "loopback.h"

#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

/* This program's malloc is libc's with a counter. The sanitizers have one of their own. */
#if defined(__GLIBC__) && !defined(WHORL__ASAN) && !defined(WHORL__TSAN)
#define COUNTED true

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static unsigned long allocations; /* of all threads, atomic */

static void note(void)
{
    __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    note();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    note();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    note();
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    note();
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size)
{
    note();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    note();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}
#else
#define COUNTED false
static unsigned long allocations;
#endif

static unsigned long allocations_now(void)
{
    return __atomic_load_n(&allocations, __ATOMIC_RELAXED);
}

/* Allocation */

enum { WORKERS = 4, MANY = 3000, DRIVERS = 8 };

static intptr_t return_at_once(void *arg)
{
    return (intptr_t)arg;
}

static intptr_t sleep_a_little(void *arg)
{
    return whorl_sleep(arg ? WHORL_US(1) : WHORL_MS(1));
}

/* More tasks and timers at once than come later, on every worker, so that there is room for whichever way work is spread. */
static void warm_up(void)
{
    static struct whorl_task *tasks[MANY];

    for (int worker = 0; worker < WORKERS; worker++) {
        struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER(worker)};

        for (int i = 0; i < MANY; i++)
            CHECK((tasks[i] = whorl_spawn_with(sleep_a_little, NULL, &there)) != NULL);
        for (int i = 0; i < MANY; i++)
            CHECK_EQ(result_of(tasks[i]), 0);
    }
}

static void drive(whorl_fn driver)
{
    struct whorl_task *drivers[DRIVERS];

    for (intptr_t i = 0; i < DRIVERS; i++) {
        struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER(i % WORKERS)};

        CHECK((drivers[i] = whorl_spawn_with(driver, (void *)i, &there)) != NULL);
    }
    for (int i = 0; i < DRIVERS; i++)
        CHECK_EQ(result_of(drivers[i]), 0);
}

/* How often something is looked at that another program's load may spoil: it must be right once. */
enum { TRIES = 5 };

/* Runs the drivers once to warm up, and again, when nothing may be allocated any more: unless the machine's load has just let more
 * tasks than ever pile up on one worker. */
static void drive_again(whorl_fn driver)
{
    unsigned long before, after = 0;

    warm_up();
    drive(driver);
    for (int tries = 0; tries < TRIES; tries++) {
        before = allocations_now();
        drive(driver);
        after = allocations_now();
        if (after == before)
            break;
    }
    CHECK_EQ(after, before);
}

static intptr_t spawn_and_join(void *arg)
{
    for (intptr_t i = 0; i < 5000; i++) {
        struct whorl_task *t = i % 100 ? whorl_spawn(return_at_once, (void *)i) : whorl_spawn(sleep_a_little, arg);

        CHECK(t);
        CHECK_EQ(result_of(t), i % 100 ? i : 0);
    }
    return 0;
}

static void spawn_steadily(void)
{
    drive_again(spawn_and_join);
}

static intptr_t spawn_batches(void *arg)
{
    struct whorl_task *tasks[64];

    for (int round = 0; round < 200; round++) {
        for (intptr_t i = 0; i < 64; i++)
            CHECK((tasks[i] = whorl_spawn(return_at_once, (void *)i)) != NULL);
        for (intptr_t i = 0; i < 64; i++)
            CHECK_EQ(result_of(tasks[i]), i);
    }
    CHECK((intptr_t)arg < DRIVERS);
    return 0;
}

static void spawn_batches_steadily(void)
{
    drive_again(spawn_batches);
}

static int connections[DRIVERS][2];

static intptr_t serve(void *arg)
{
    int fd = connections[(intptr_t)arg][1];
    char bytes[64];
    ssize_t n;

    while ((n = whorl_recv(fd, bytes, sizeof bytes, 0)) > 0 && bytes[0] != 'q')
        CHECK_EQ(whorl_send_all(fd, bytes, (size_t)n, 0), n);
    return n;
}

/* A server and its client, with a deadline for each message. */
static intptr_t talk(void *arg)
{
    struct whorl_task *server = whorl_spawn(serve, arg);
    int fd = connections[(intptr_t)arg][0];
    char byte = 'x';

    CHECK(server);
    for (int i = 0; i < 1000; i++) {
        whorl_deadline(whorl_after(WHORL_SEC(10)));
        CHECK_EQ(whorl_send_all(fd, &byte, 1, 0), 1);
        CHECK_EQ(whorl_recv(fd, &byte, 1, 0), 1);
    }
    whorl_deadline(WHORL_NEVER);
    CHECK_EQ(whorl_send_all(fd, "q", 1, 0), 1);
    CHECK_EQ(result_of(server), 1);
    return 0;
}

static void echo_steadily(void)
{
    for (int i = 0; i < DRIVERS; i++)
        if (!connect_ends(connections[i]))
            return;
    drive_again(talk);
    for (int i = 0; i < DRIVERS; i++)
        close_ends(connections[i]);
}

static void steadily(void (*fn)(void))
{
    if (!COUNTED)
        SKIP("malloc is the sanitizer's");
    in_runtime(WORKERS, fn);
    CHECK(allocations_now() > 0); /* the counter counts */
}

TEST(steady, spawn_and_join_allocate_nothing, .timeout = 40)
{
    steadily(spawn_steadily);
}

TEST(steady, tasks_that_come_in_batches_allocate_nothing, .timeout = 40)
{
    steadily(spawn_batches_steadily);
}

TEST(steady, an_echo_allocates_nothing, .timeout = 40)
{
    steadily(echo_steadily);
}

/* Idleness */

static long microseconds(struct timeval t)
{
    return t.tv_sec * 1000000 + t.tv_usec;
}

/* What the process has done so far: processor time in microseconds, and how often one of its threads went to sleep. */
static void usage(long *busy, long *sleeps)
{
    struct rusage u;

    CHECK_EQ(getrusage(RUSAGE_SELF, &u), 0);
    *busy = microseconds(u.ru_utime) + microseconds(u.ru_stime);
    *sleeps = u.ru_nvcsw;
}

/* A thousand milliseconds of waiting, which a loop that looks round every so often does not get through so quietly. While a busy
 * machine keeps one worker from its CPU, another one watches: that is no quiet second. */
static void expect_quiet(intptr_t (*wait)(int), int fd, intptr_t result)
{
    long busy[2], sleeps[2];

    whorl_deadline(whorl_after(WHORL_MS(100))); /* whoever still looks for work has given up by then */
    CHECK_EQ(wait(fd), result);
    for (int tries = 0; tries < TRIES; tries++) {
        whorl_deadline(whorl_after(WHORL_SEC(1)));
        usage(&busy[0], &sleeps[0]);
        CHECK_EQ(wait(fd), result);
        usage(&busy[1], &sleeps[1]);
        if (busy[1] - busy[0] < 20000 && sleeps[1] - sleeps[0] < 20)
            break;
    }
    whorl_deadline(WHORL_NEVER);
    CHECK(busy[1] - busy[0] < 20000);
    CHECK(sleeps[1] - sleeps[0] < 20);
}

static intptr_t wait_to_receive(int fd)
{
    char byte;

    return whorl_recv(fd, &byte, 1, 0);
}

static intptr_t wait_for_signal(int number)
{
    return whorl_signal_wait(&number, 1);
}

static void receive_in_quiet(void)
{
    int ends[2];

    if (!connect_ends(ends))
        return;
    warm_up();
    expect_quiet(wait_to_receive, ends[0], -ETIMEDOUT);
    close_ends(ends);
}

static void wait_for_signal_in_quiet(void)
{
    expect_quiet(wait_for_signal, SIGUSR1, -ETIMEDOUT);
}

static intptr_t wait_to_receive_from(void *arg)
{
    return wait_to_receive((int)(intptr_t)arg);
}

static void wait_with_a_thousand(void)
{
    static struct whorl_task *tasks[1000];
    int ends[2];

    if (!connect_ends(ends))
        return;
    for (int i = 0; i < 1000; i++)
        tasks[i] = start("waiter", wait_to_receive_from, (void *)(intptr_t)ends[0]);
    UNTIL(waiting("waiter", "recv") == 1000);
    expect_quiet(wait_to_receive, ends[0], -ETIMEDOUT);
    CHECK_EQ(whorl_shutdown(ends[1], SHUT_WR), 0);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
    close_ends(ends);
}

static void in_quiet(void (*fn)(void))
{
#if defined(WHORL__TSAN)
    SKIP("the sanitizer has a thread of its own that wakes now and then");
#endif
    in_runtime(WORKERS, fn);
}

TEST(steady, nothing_happens_while_a_receive_waits)
{
    in_quiet(receive_in_quiet);
}

TEST(steady, nothing_happens_while_a_signal_is_waited_for)
{
    in_quiet(wait_for_signal_in_quiet);
}

TEST(steady, nothing_happens_while_a_thousand_tasks_wait)
{
    in_quiet(wait_with_a_thousand);
}
