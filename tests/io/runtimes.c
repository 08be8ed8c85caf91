/* SPDX-License-Identifier: MIT */
/* Several runtimes in a process: one after the other, side by side, and none inside another. */
#include "loopback.h"

#include <malloc.h>
#include <pthread.h>

static intptr_t echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char byte;

    while (whorl_recv(fd, &byte, 1, 0) == 1)
        CHECK_EQ(whorl_send_all(fd, &byte, 1, 0), 1);
    return 0;
}

/* A connection, some messages, some tasks. */
static intptr_t work(void *arg)
{
    struct whorl_task *server;
    int ends[2];
    char byte = 'x';

    if (!connect_ends(ends))
        return 1;
    server = start("server", echo, (void *)(intptr_t)ends[1]);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(whorl_send_all(ends[0], &byte, 1, 0), 1);
        CHECK_EQ(whorl_recv(ends[0], &byte, 1, 0), 1);
        CHECK_EQ(whorl_sleep(WHORL_US(1)), 0);
    }
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(result_of(server), 0);
    CHECK_EQ(whorl_close(ends[1]), 0);
    return (intptr_t)arg;
}

/* One after the other */

static int lines_of(const char *path)
{
    FILE *f = fopen(path, "re");
    int lines = 0, c;

    while (f && (c = getc(f)) != EOF)
        lines += c == '\n';
    if (f)
        fclose(f);
    return lines;
}

PLAIN_CALL int threads_now(void)
{
    DIR *d = opendir("/proc/self/task");
    int count = -2; /* "." and ".." */

    while (d && readdir(d))
        count++;
    if (d)
        closedir(d);
    return count;
}

static void run_times(int times)
{
    for (intptr_t i = 0; i < times && test_failures() == 0; i++) {
        struct whorl_options options = {.size = sizeof options, .workers = 1 + (int)(i % 4)};

        CHECK_EQ(whorl_run(work, (void *)i, &options), i);
    }
}

TEST(runtimes, two_hundred_in_a_row_leave_nothing_behind, .timeout = 60)
{
    int descriptors, mappings, threads;
    size_t memory;

    NEED_URING();
    run_times(8);
    descriptors = open_descriptors();
    threads = threads_now();
    mappings = lines_of("/proc/self/maps");
    memory = mallinfo2().uordblks;
    run_times(200);
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(threads_now(), threads);
    CHECK(SANITIZED || lines_of("/proc/self/maps") <= mappings + 4); /* malloc may have made a heap */
    CHECK(SANITIZED || mallinfo2().uordblks < memory + 64 * 200);    /* less is what malloc keeps for its threads */
}

static intptr_t answer(void *arg)
{
    return (intptr_t)arg;
}

TEST(runtimes, a_result_is_passed_through)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    NEED_URING();
    CHECK_EQ(whorl_run(answer, (void *)INTPTR_MAX, &options), INTPTR_MAX);
    CHECK_EQ(whorl_run(answer, (void *)(intptr_t)-7, &options), -7);
    CHECK_EQ(whorl_run(answer, NULL, NULL), 0);
}

/* Side by side */

static void *run_many(void *arg)
{
    run_times((int)rounds(50));
    return arg;
}

TEST(runtimes, several_run_at_once, .timeout = 60)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    int before = open_descriptors();

    NEED_URING();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, run_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(open_descriptors(), before);
}

/* Two that pass work to each other: each sees its own. */
static struct whorl_runtime *both[2]; /* atomic */
static int passed, ended;             /* atomic */

static intptr_t receive_work(void *arg)
{
    CHECK(whorl_runtime() == __atomic_load_n(&both[(intptr_t)arg], __ATOMIC_SEQ_CST));
    __atomic_add_fetch(&passed, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static intptr_t pass_work(void *arg)
{
    intptr_t self = (intptr_t)arg, other = 1 - self;

    __atomic_store_n(&both[self], whorl_runtime(), __ATOMIC_SEQ_CST);
    UNTIL(__atomic_load_n(&both[other], __ATOMIC_SEQ_CST));
    for (unsigned i = 0; i < rounds(1000); i++) {
        struct whorl_task *t =
            whorl_runtime_spawn(__atomic_load_n(&both[other], __ATOMIC_SEQ_CST), receive_work, (void *)other, NULL);

        if (!CHECK(t))
            break;
        whorl_detach(t);
        CHECK(whorl_runtime() == __atomic_load_n(&both[self], __ATOMIC_SEQ_CST));
        whorl_yield();
    }
    __atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
    UNTIL(__atomic_load_n(&ended, __ATOMIC_SEQ_CST) == 2); /* the other spawns here no more */
    return 0;
}

static void *run_passing(void *arg)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    CHECK_EQ(whorl_run(pass_work, arg, &options), 0);
    return NULL;
}

TEST(runtimes, one_takes_work_from_a_task_of_another, .timeout = 60)
{
    pthread_t threads[2];

    NEED_URING();
    for (intptr_t i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, run_passing, (void *)i), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(passed, 2 * rounds(1000));
}

/* None inside another */

static intptr_t run_inside(void *arg)
{
    return whorl_run(answer, arg, NULL);
}

TEST(runtimes, none_starts_in_a_task)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    NEED_URING();
    CHECK_EQ(whorl_run(run_inside, NULL, &options), -EDEADLK);
    CHECK_EQ(whorl_run(answer, (void *)5, &options), 5);
}
