/* SPDX-License-Identifier: MIT */
/* A task that keeps its worker stops nobody: neither the connections whose operations are in that worker's ring, nor the sleepers in
 * its heap. The hog goes on until the others are done, or gives up after a long time; no time is asserted. */
#include "loopback.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

enum { SESSIONS = 20, ROUNDS = 20, PATIENCE_S = 10 };

struct scene {
    int ends[SESSIONS][2];
    int workers[SESSIONS]; /* where each session was when it began to wait, -1: it has not, atomic */
    int place;             /* the worker that is kept, and how many wait there */
    int waiting;
    whorl_fn keep;         /* how it is kept */
    int hogging, done;     /* atomic: the worker is kept; the client has had all its answers, or a sleeper has slept */
    int answers;           /* atomic: how many the client has had */
    int gate[2];           /* a pipe that a hog may read from */
    pthread_mutex_t mutex; /* the client holds it until it has had all */
    whorl_ns patience;     /* of a hog */
    bool done_meanwhile;   /* what the hog saw last */
};

PLAIN_CALL whorl_ns real_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return WHORL_SEC(t.tv_sec) + t.tv_nsec;
}

static intptr_t echo(void *arg)
{
    struct scene *scene = arg;
    static int next;
    int i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % SESSIONS;
    char text[8];
    ssize_t n;

    __atomic_store_n(&scene->workers[i], whorl_worker(), __ATOMIC_RELAXED);
    while ((n = whorl_recv(scene->ends[i][0], text, sizeof text, 0)) > 0)
        CHECK_EQ(whorl_send_all(scene->ends[i][0], text, (size_t)n, 0), n);
    return n;
}

/* An OS thread: asks each session of the worker that is kept in turn, until one does not answer. */
static void *ask(void *arg)
{
    struct scene *scene = arg;
    bool answered = true;
    char text[8] = "answer?", back[8];

    pthread_mutex_lock(&scene->mutex);
    while (!__atomic_load_n(&scene->hogging, __ATOMIC_ACQUIRE))
        sched_yield();
    for (int i = 0; i < SESSIONS * ROUNDS && answered; i++) {
        int fd = scene->ends[i % SESSIONS][1];

        if (__atomic_load_n(&scene->workers[i % SESSIONS], __ATOMIC_RELAXED) != scene->place)
            continue; /* others would come along for that one, and look around */
        answered =
            send(fd, text, sizeof text, MSG_NOSIGNAL) == sizeof text && recv(fd, back, sizeof back, MSG_WAITALL) == sizeof back;
        __atomic_add_fetch(&scene->answers, answered, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&scene->done, answered, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&scene->mutex);
    CHECK_EQ(write(scene->gate[1], "", 1), 1);
    return NULL;
}

/* Computes, and never calls anything of whorl. */
static intptr_t compute(void *arg)
{
    struct scene *scene = arg;
    whorl_ns end = real_now() + scene->patience;
    bool done;

    do
        done = __atomic_load_n(&scene->done, __ATOMIC_ACQUIRE);
    while (!done && real_now() < end);
    __atomic_store_n(&scene->done_meanwhile, done, __ATOMIC_RELAXED);
    return 0;
}

/* Blocks in the kernel: in a read, for a mutex, in a sleep that is not whorl's. */

static intptr_t lock(void *arg)
{
    struct scene *scene = arg;

    while (pthread_mutex_trylock(&scene->mutex) == 0) { /* the client's thread is yet to begin */
        pthread_mutex_unlock(&scene->mutex);
        sched_yield();
    }
    pthread_mutex_lock(&scene->mutex);
    scene->done_meanwhile = __atomic_load_n(&scene->done, __ATOMIC_ACQUIRE);
    pthread_mutex_unlock(&scene->mutex);
    return 0;
}

static intptr_t nap(void *arg)
{
    struct scene *scene = arg;
    const struct timespec a_while = {.tv_nsec = WHORL_MS(300)};

    for (int naps = 0; !scene->done_meanwhile && naps < 3 * PATIENCE_S; naps++) {
        nanosleep(&a_while, NULL);
        scene->done_meanwhile = __atomic_load_n(&scene->done, __ATOMIC_ACQUIRE);
    }
    return 0;
}

static intptr_t block(void *arg)
{
    struct scene *scene = arg;
    char byte;

    CHECK_EQ(read(scene->gate[0], &byte, 1), 1);
    scene->done_meanwhile = __atomic_load_n(&scene->done, __ATOMIC_ACQUIRE);
    return 0;
}

/* Where to run is a hint: tries again until it is the place. */
static intptr_t hog(void *arg)
{
    struct scene *scene = arg;

    if (whorl_worker() != scene->place)
        return 1;
    __atomic_store_n(&scene->hogging, 1, __ATOMIC_RELEASE);
    return scene->keep(scene);
}

static void keep_the_worker(struct scene *scene)
{
    struct whorl_spawn_options there = {.size = sizeof there, .name = "hog", .worker = WHORL_WORKER(scene->place)};
    intptr_t elsewhere = 1;

    while (elsewhere) {
        struct whorl_task *t = whorl_spawn_with(hog, scene, &there);

        CHECK_EQ(whorl_join(t, &elsewhere), 0);
    }
}

/* The worker on which most of the sessions wait. */
static void choose_place(struct scene *scene)
{
    int counts[8] = {0};

    for (int i = 0; i < SESSIONS; i++) {
        UNTIL(__atomic_load_n(&scene->workers[i], __ATOMIC_RELAXED) >= 0);
        counts[__atomic_load_n(&scene->workers[i], __ATOMIC_RELAXED)]++;
    }
    for (int i = 0; i < whorl_workers(); i++)
        if (counts[i] > scene->waiting) {
            scene->place = i;
            scene->waiting = counts[i];
        }
}

static uint64_t taken_over(void)
{
    struct whorl_stats stats = {.size = sizeof stats};

    CHECK_EQ(whorl_stats(-1, &stats), 0);
    return stats.taken_over;
}

static intptr_t serve_beside_a_hog(void *arg)
{
    struct scene *scene = arg;
    struct whorl_task *sessions[SESSIONS];
    struct timeval patience = {.tv_sec = PATIENCE_S};
    pthread_t client;

    for (int i = 0; i < SESSIONS; i++) {
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, scene->ends[i]), 0);
        CHECK_EQ(setsockopt(scene->ends[i][1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
        scene->workers[i] = -1;
    }
    for (int i = 0; i < SESSIONS; i++)
        sessions[i] = whorl_spawn(echo, scene);
    choose_place(scene);
    CHECK_EQ(pipe2(scene->gate, O_CLOEXEC), 0);
    CHECK_EQ(pthread_create(&client, NULL, ask, scene), 0);
    keep_the_worker(scene);
    for (int i = 0; i < SESSIONS; i++)
        CHECK_EQ(shutdown(scene->ends[i][1], SHUT_WR), 0); /* an answer that is under way still comes */
    for (int i = 0; i < SESSIONS; i++)
        CHECK_EQ(whorl_join(sessions[i], NULL), 0);
    pthread_join(client, NULL);
    for (int i = 0; i < SESSIONS; i++) {
        CHECK_EQ(whorl_close(scene->ends[i][0]), 0);
        close(scene->ends[i][1]);
    }
    close(scene->gate[0]);
    close(scene->gate[1]);
    return (intptr_t)taken_over();
}

/* `disable` comes on top of what the environment disables, which would go before the option. */
static intptr_t run_beside(whorl_fn keep, const char *disable, whorl_ns patience, struct scene *scene, int workers)
{
    struct whorl_options options = {.size = sizeof options, .workers = workers};
    const char *set = getenv("WHORL_DISABLE");
    char before[128], both[256];
    intptr_t result;

    snprintf(before, sizeof before, "%s", set ? set : "");
    snprintf(both, sizeof both, "%s,%s", before, disable ? disable : "");
    setenv("WHORL_DISABLE", both, 1);
    memset(scene, 0, sizeof *scene);
    pthread_mutex_init(&scene->mutex, NULL);
    scene->keep = keep;
    scene->patience = patience;
    result = whorl_run(serve_beside_a_hog, scene, &options);
    setenv("WHORL_DISABLE", before, 1);
    return result;
}

TEST(takeover, a_task_that_computes_stops_no_connection, .timeout = 60)
{
    NEED_URING();
    for (int workers = 2; workers <= 4; workers++) {
        struct scene scene;
        intptr_t taken = run_beside(compute, NULL, WHORL_SEC(PATIENCE_S), &scene, workers);

        CHECK(scene.done_meanwhile);
        CHECK(taken >= scene.waiting);
    }
}

static void check_blocked(whorl_fn keep)
{
    for (int workers = 2; workers <= 4; workers++) {
        struct scene scene;
        intptr_t taken = run_beside(keep, NULL, 0, &scene, workers);

        CHECK(scene.done_meanwhile);
        CHECK(taken >= scene.waiting);
    }
}

TEST(takeover, a_task_that_blocks_in_a_read_stops_no_connection, .timeout = 60)
{
    NEED_URING();
    check_blocked(block);
}

TEST(takeover, a_task_that_waits_for_a_mutex_stops_no_connection, .timeout = 60)
{
    NEED_URING();
    check_blocked(lock);
}

TEST(takeover, a_task_that_sleeps_in_the_kernel_stops_no_connection, .timeout = 60)
{
    NEED_URING();
    check_blocked(nap);
}

/* Whoever takes the connections over is kept in its turn, until one worker is left. */

struct late_hog {
    struct scene *scene;
    int after; /* so many answers */
    struct whorl_task *task;
};

static intptr_t hog_later(void *arg)
{
    struct late_hog *hog = arg;

    while (__atomic_load_n(&hog->scene->answers, __ATOMIC_RELAXED) < hog->after &&
           !__atomic_load_n(&hog->scene->done, __ATOMIC_ACQUIRE))
        CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    return compute(hog->scene);
}

/* In the place of the first hog, of which there is one as ever. */
static intptr_t hog_and_have_others_follow(void *arg)
{
    struct scene *scene = arg;
    struct late_hog hogs[8] = {{0}};
    int workers = whorl_workers();

    for (int i = 0; i < workers - 2; i++) {
        struct whorl_spawn_options there = {.size = sizeof there, .name = "late hog", .pinned = 1};

        there.worker = WHORL_WORKER((scene->place + 1 + i) % workers);
        hogs[i] = (struct late_hog){.scene = scene, .after = (i + 1) * SESSIONS};
        hogs[i].task = whorl_spawn_with(hog_later, &hogs[i], &there);
    }
    compute(scene);
    for (int i = 0; i < workers - 2; i++)
        CHECK_EQ(whorl_join(hogs[i].task, NULL), 0);
    return 0;
}

TEST(takeover, a_worker_that_took_connections_over_may_be_kept_right_after, .timeout = 60)
{
    NEED_URING();
    for (int workers = 3; workers <= 5; workers++) {
        struct scene scene;
        intptr_t taken = run_beside(hog_and_have_others_follow, NULL, WHORL_SEC(PATIENCE_S), &scene, workers);

        CHECK(scene.done_meanwhile);
        CHECK(taken >= scene.waiting);
    }
}

TEST(takeover, without_the_membarrier_it_takes_longer_but_comes, .timeout = 60)
{
    struct scene scene;

    NEED_URING();
    CHECK(run_beside(compute, "membarrier", WHORL_SEC(PATIENCE_S), &scene, 2) >= scene.waiting);
    CHECK(scene.done_meanwhile);
}

/* What it is worth, and that these tests would notice. */
TEST(takeover, switched_off_the_connections_wait_for_the_hog, .timeout = 60)
{
    struct scene scene;

    NEED_URING();
    CHECK_EQ(run_beside(compute, "watcher", WHORL_MS(300), &scene, 2), 0);
    CHECK(!scene.done_meanwhile);
}

/* Sleepers */

static intptr_t sleep_and_say(void *arg)
{
    struct scene *scene = arg;

    __atomic_store_n(&scene->workers[0], whorl_worker(), __ATOMIC_RELEASE);
    CHECK_EQ(whorl_sleep(WHORL_MS(100)), 0);
    __atomic_store_n(&scene->done, 1, __ATOMIC_RELEASE);
    return 0;
}

static intptr_t sleep_beside_a_hog(void *arg)
{
    struct scene *scene = arg;
    struct whorl_task *sleeper;

    scene->workers[0] = -1;
    sleeper = whorl_spawn(sleep_and_say, scene);
    while (__atomic_load_n(&scene->workers[0], __ATOMIC_ACQUIRE) < 0)
        CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    scene->place = scene->workers[0];
    keep_the_worker(scene);
    CHECK(scene->done_meanwhile);
    CHECK_EQ(whorl_join(sleeper, NULL), 0);
    return 0;
}

TEST(takeover, a_task_that_computes_stops_no_sleeper, .timeout = 60)
{
    NEED_URING();
    for (int workers = 2; workers <= 4; workers++) {
        struct scene scene = {.keep = compute, .patience = WHORL_SEC(PATIENCE_S)};

        CHECK_EQ(whorl_run(sleep_beside_a_hog, &scene,
                           &(struct whorl_options){.size = sizeof(struct whorl_options), .workers = workers}),
                 0);
    }
}
