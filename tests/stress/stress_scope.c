/* SPDX-License-Identifier: MIT */
/* Trees of scopes on real workers, cancelled at any moment by whoever is near, by deadlines and by failures, with forks and operations under
 * way: who closes a scope finds that all in it has ended, each request reaches who waits, and when all is over nobody is cancelled. */
#include "tests/io/loopback.h"

enum { WORKERS = 4, CHILDREN_MAX = 5, DEPTH_MAX = 4 };

/* Somebody in a tree. His numbers are his own, since the others are elsewhere. `reachable`: somebody will end his waits. */
struct person {
    uint64_t seed;
    struct whorl_scope *in;
    int *alive; /* in the scope that he is in; atomic */
    int depth;
    bool reachable;
};

static uint64_t draw(struct person *p, uint64_t n)
{
    return test_random(&p->seed) % n;
}

static int never_ready(void)
{
    static int ends[2] = {-1, -1};

    if (ends[0] < 0)
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    return ends[0];
}

struct shared_wait {
    struct whorl_fork fork;
    uint64_t kind;
};

/* One way to wait. Only those who may be cancelled wait for what never comes. */
static int wait_so(struct person *p, uint64_t kind)
{
    char byte;
    int fd;

    switch (kind) {
    case 0:
        return whorl_sleep(p->reachable ? WHORL_MS(2) : WHORL_US(20));
    case 1:
        return whorl_sleep(WHORL_US(30));
    case 2:
        fd = p->reachable ? never_ready() : -1;
        return fd < 0 ? 0 : (int)whorl_recv(fd, &byte, 1, 0);
    default:
        whorl_yield();
        return 0;
    }
}

static void wait_in_fork(struct whorl_fork *self)
{
    struct shared_wait *w = whorl_fork_of(self, struct shared_wait, fork);

    whorl_sleep(w->kind ? WHORL_US(50) : WHORL_US(5));
}

static void wait_somehow(struct person *p)
{
    struct shared_wait forked = {.kind = draw(p, 2)};
    int err;

    if (draw(p, 3) == 0) {
        whorl_fork(&forked.fork, wait_in_fork);
        err = wait_so(p, draw(p, 4) == 2 ? 1 : 0);
        whorl_sync(&forked.fork);
    } else {
        err = wait_so(p, draw(p, 4));
    }
    CHECK(err == 0 || err == -ECANCELED || err == -ETIMEDOUT);
}

static intptr_t live(void *arg);

/* Opens a scope, fills it, does this and that, and closes it. */
static void have_scope(struct person *p)
{
    struct person below[CHILDREN_MAX];
    struct whorl_scope s;
    struct person body = {.seed = p->seed};
    int alive = 0, err;

    whorl_scope_open(&s);
    if (draw(p, 5) == 0)
        whorl_scope_shield(&s);
    body.reachable = draw(p, 3) == 0; /* others may cancel it, or not */
    if (body.reachable)
        whorl_scope_deadline(&s, whorl_after(WHORL_US(draw(p, 400))));
    for (uint64_t i = 0, n = draw(p, CHILDREN_MAX + 1); i < n; i++) {
        below[i] =
            (struct person){.seed = test_random(&p->seed), .in = &s, .alive = &alive, .depth = p->depth - 1, .reachable = true};
        __atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST);
        err = whorl_scope_spawn(&s, live, &below[i]);
        if (err)
            __atomic_sub_fetch(&alive, 1, __ATOMIC_SEQ_CST);
        CHECK(err == 0 || (err == -ECANCELED && whorl_scope_cancelled(&s)));
    }
    if (draw(p, 3) == 0)
        wait_somehow(&body);
    /* What never ends by itself is to be ended. */
    if (draw(p, 4) == 0)
        whorl_scope_deadline(&s, whorl_after(WHORL_US(50)));
    else
        whorl_scope_cancel(&s, NULL);
    err = whorl_scope_close(&s);
    CHECK_EQ(__atomic_load_n(&alive, __ATOMIC_SEQ_CST), 0);
    CHECK(err < 0 || !whorl_scope_cancelled(&s));
}

static intptr_t live(void *arg)
{
    struct person *p = arg;

    for (uint64_t i = 0, n = draw(p, 3); i < n; i++)
        if (p->depth > 0)
            have_scope(p);
        else
            wait_somehow(p);
    if (p->in && draw(p, 8) == 0)
        whorl_scope_cancel(p->in, "somebody in it wants so");
    __atomic_sub_fetch(p->alive, 1, __ATOMIC_SEQ_CST);
    return draw(p, 8) == 0 ? -EIO : 0;
}

/* Nobody may reach him, whatever goes on below. */
static intptr_t be_root(void *arg)
{
    struct person *p = arg;
    int alive;

    for (whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1))); whorl_now() < end && test_failures() == 0;) {
        alive = 1;
        p->alive = &alive;
        live(p);
        CHECK_EQ(whorl_cancelled(), 0);
        CHECK_EQ(whorl_sleep(1), 0);
    }
    return 0;
}

static intptr_t grow_trees(void *arg)
{
    enum { ROOTS = 6 };
    struct person roots[ROOTS];
    struct whorl_task *tasks[ROOTS];

    (void)arg;
    never_ready();
    for (int i = 0; i < ROOTS; i++) {
        roots[i] = (struct person){.seed = test_seed() + (uint64_t)i * 7919, .depth = DEPTH_MAX};
        tasks[i] = whorl_spawn(be_root, &roots[i]);
    }
    for (int i = 0; i < ROOTS; i++)
        if (CHECK(tasks[i]))
            CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    return 0;
}

TEST(stress_scope, trees_end_whatever_happens, .timeout = 60)
{
    NEED_URING();
    CHECK_EQ(whorl_run(grow_trees, NULL, &(struct whorl_options){.size = sizeof(struct whorl_options), .workers = WORKERS}), 0);
}

/* Very many children: who cancels does not keep them out, and each is told. */
static intptr_t wait_to_be_told(void *arg)
{
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
    return whorl_sleep(WHORL_SEC(1000)) == -ECANCELED ? 0 : -EIO;
}

static intptr_t cancel_crowd(void *arg)
{
    enum { CROWD = 20000 };
    struct whorl_scope s;
    int begun, asked;

    (void)arg;
    for (whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1))); whorl_now() < end && test_failures() == 0;) {
        begun = asked = 0;
        whorl_scope_open(&s);
        while (asked < CROWD && whorl_scope_spawn(&s, wait_to_be_told, &begun) == 0)
            asked++;
        whorl_sleep(WHORL_US(500));
        whorl_scope_cancel(&s, NULL);
        CHECK_EQ(whorl_scope_close(&s), -ECANCELED);
        CHECK_EQ(asked, CROWD);
        CHECK_EQ(begun, CROWD); /* the wait comes after */
    }
    return 0;
}

TEST(stress_scope, a_crowd_is_told, .timeout = 60)
{
    NEED_URING();
    CHECK_EQ(whorl_run(cancel_crowd, NULL, &(struct whorl_options){.size = sizeof(struct whorl_options), .workers = WORKERS}), 0);
}

/* Tasks end on all workers while others wait for the first, an error or all of them, and give up now and then. */
static intptr_t end_soon(void *arg)
{
    struct person p = {.seed = (uint64_t)(uintptr_t)arg};
    int err = draw(&p, 2) ? whorl_sleep(WHORL_US(draw(&p, 100))) : 0;

    return err ? err : draw(&p, 5) == 0 ? -EIO : 1;
}

static void wait_for_some(struct person *p)
{
    enum { TASKS = 12 };
    struct whorl_task *tasks[TASKS];
    struct whorl_scope s;
    intptr_t result;

    for (int i = 0; i < TASKS; i++)
        if (!CHECK((tasks[i] = whorl_spawn(end_soon, (void *)(uintptr_t)(test_random(&p->seed) | 1))) != NULL))
            return;
    whorl_scope_open(&s);
    whorl_scope_deadline(&s, whorl_after(WHORL_US(draw(p, 120))));
    while (!whorl_scope_cancelled(&s)) {
        ssize_t n = whorl_wait(tasks, TASKS, (enum whorl_until)draw(p, 3));

        CHECK(n > 0 || n == -ETIMEDOUT);
        if (n == TASKS)
            break;
    }
    whorl_scope_close(&s);
    for (int i = 0; i < TASKS; i++)
        CHECK(whorl_join(tasks[i], &result) == 0 && (result == 1 || result == -EIO));
}

static intptr_t wait_on(void *arg)
{
    struct person p = {.seed = test_seed() + (uint64_t)(uintptr_t)arg};

    for (whorl_ns end = whorl_after(WHORL_SEC(test_seconds(1))); whorl_now() < end && test_failures() == 0;)
        wait_for_some(&p);
    return 0;
}

static intptr_t wait_on_all_workers(void *arg)
{
    struct whorl_call calls[4];
    intptr_t results[4];

    (void)arg;
    for (uintptr_t i = 0; i < 4; i++)
        calls[i] = (struct whorl_call){wait_on, (void *)(i * 104729)};
    return whorl_gather(results, calls, 4);
}

TEST(stress_scope, some_of_many_are_waited_for, .timeout = 60)
{
    NEED_URING();
    CHECK_EQ(
        whorl_run(wait_on_all_workers, NULL, &(struct whorl_options){.size = sizeof(struct whorl_options), .workers = WORKERS}), 0);
}
