/* SPDX-License-Identifier: MIT */
/* Tasks that are pinned, for good or for a while, beside free ones and beside hogs, doing whatever the seed says: those that are pinned
 * stay on their OS thread, so do their forks, and nobody waits for ever. */
#include "tests/io/loopback.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>

enum { WORKERS = 4, PEOPLE = 12, FORKS_MAX = 4 };

static long moves; /* of free people, atomic */

/* Reads no thread-local variable, so it is the same wherever it stands. */
PLAIN_CALL int my_thread(void)
{
    return (int)syscall(SYS_gettid);
}

/* Of whom steps are taken; `thread` is where he is to be, 0: anywhere. */
struct person {
    uint64_t seed;
    int thread;
    int depth;
};

static uint64_t draw(struct person *p, uint64_t n)
{
    return test_random(&p->seed) % n;
}

static void look(const struct person *p)
{
    if (p->thread)
        CHECK_EQ(my_thread(), p->thread);
}

static intptr_t send_back(void *arg)
{
    int fd = (int)(intptr_t)arg;
    long number;

    CHECK_EQ(whorl_recv(fd, &number, sizeof number, 0), sizeof number);
    number = ~number;
    CHECK_EQ(whorl_send(fd, &number, sizeof number, 0), sizeof number);
    return 0;
}

PLAIN_CALL bool pair_of_sockets(int ends[2])
{
    return CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

static void exchange(struct person *p)
{
    struct whorl_spawn_options there = {.size = sizeof there, .pinned = (int)draw(p, 2)};
    long number = (long)p->seed, answer = 0;
    struct whorl_task *peer;
    int ends[2];

    there.worker = (int)draw(p, (uint64_t)whorl_workers() + 1);
    if (!pair_of_sockets(ends))
        return;
    peer = whorl_spawn_with(send_back, (void *)(intptr_t)ends[1], &there);
    CHECK(peer);
    CHECK_EQ(whorl_send(ends[0], &number, sizeof number, 0), sizeof number);
    look(p);
    CHECK_EQ(whorl_recv(ends[0], &answer, sizeof answer, 0), sizeof answer);
    look(p);
    CHECK_EQ(answer, ~number);
    CHECK_EQ(result_of(peer), 0);
    look(p);
    close_ends(ends);
}

/* Keeps the worker: computes, or blocks in the kernel. */
PLAIN_CALL void hog(struct person *p)
{
    struct timespec pause = {.tv_nsec = (long)draw(p, 1000000)};

    if (draw(p, 2))
        nanosleep(&pause, NULL);
    for (volatile uint64_t i = draw(p, 100000); i > 0; i--)
        continue;
}

static void fork_some(struct person *p);

static void take_step(struct person *p)
{
    switch (draw(p, p->depth < 2 ? 8 : 6)) {
    case 0:
        whorl_yield();
        break;
    case 1:
        CHECK_EQ(whorl_sleep((whorl_ns)draw(p, 100000)), 0);
        break;
    case 2:
        exchange(p);
        break;
    case 3:
        if (draw(p, 8) == 0)
            hog(p);
        break;
    case 4:
        whorl_deadline(whorl_after((whorl_ns)draw(p, 50000)));
        CHECK_EQ(whorl_sleep(WHORL_SEC(100)), -ETIMEDOUT);
        whorl_deadline(WHORL_NEVER);
        break;
    case 5:
        whorl_no_suspend_begin();
        whorl_cancel(whorl_self());
        whorl_no_suspend_end();
        break;
    default:
        fork_some(p);
        break;
    }
    look(p);
}

struct errand {
    struct whorl_fork fork;
    struct person person;
};

static void run_errand(struct whorl_fork *self)
{
    struct errand *e = whorl_fork_of(self, struct errand, fork);

    look(&e->person);
    for (uint64_t steps = draw(&e->person, 3); steps > 0; steps--)
        switch (draw(&e->person, 4)) {
        case 0:
            whorl_yield();
            break;
        case 1:
            (void)whorl_sleep((whorl_ns)draw(&e->person, 50000));
            break;
        case 2:
            whorl_pin();
            whorl_yield();
            whorl_unpin();
            break;
        default:
            if (e->person.depth < 2)
                fork_some(&e->person);
        }
    look(&e->person);
}

static void fork_some(struct person *p)
{
    struct errand errands[FORKS_MAX];
    int count = 1 + (int)draw(p, FORKS_MAX);

    for (int i = 0; i < count; i++) {
        errands[i].person = (struct person){.seed = test_random(&p->seed), .thread = p->thread, .depth = p->depth + 1};
        whorl_fork(&errands[i].fork, run_errand);
    }
    for (int i = count - 1; i >= 0; i--)
        whorl_sync(&errands[i].fork);
    look(p);
}

/* A request to stop that a step has left is used up. */
static void settle(struct person *p)
{
    while (whorl_sleep(0) == -ECANCELED)
        look(p);
}

static void live(struct person *p)
{
    for (uint64_t steps = draw(p, 6); steps > 0; steps--) {
        int before = my_thread();

        take_step(p);
        settle(p);
        look(p);
        if (!p->thread && my_thread() != before)
            __atomic_add_fetch(&moves, 1, __ATOMIC_RELAXED);
    }
}

static intptr_t live_bound(void *arg)
{
    struct person me = *(struct person *)arg;

    me.thread = my_thread();
    live(&me);
    whorl_pin();
    live(&me);
    whorl_unpin();
    live(&me);
    return 0;
}

static intptr_t live_in_regions(void *arg)
{
    struct person me = *(struct person *)arg;

    for (uint64_t regions = draw(&me, 4); regions > 0; regions--) {
        live(&me);
        whorl_pin();
        me.thread = my_thread();
        live(&me);
        whorl_unpin();
        look(&me);
        me.thread = 0;
    }
    live(&me);
    return 0;
}

static void live_together(void)
{
    uint64_t seed = test_seed();
    whorl_ns end = whorl_after(WHORL_SEC(test_seconds(2)));

    do {
        struct whorl_task *tasks[PEOPLE];
        struct person people[PEOPLE];

        for (int i = 0; i < PEOPLE; i++) {
            struct whorl_spawn_options bound = {
                .size = sizeof bound, .name = "bound", .worker = WHORL_WORKER(i % whorl_workers()), .pinned = 1};

            people[i] = (struct person){.seed = test_random(&seed)};
            tasks[i] = i % 3 == 0 ? whorl_spawn_with(live_bound, &people[i], &bound) : start("people", live_in_regions, &people[i]);
            CHECK(tasks[i]);
        }
        for (int i = 0; i < PEOPLE; i++)
            CHECK_EQ(result_of(tasks[i]), 0);
    } while (whorl_now() < end && test_failures() == 0);
    CHECK(whorl_workers() == 1 || moves > 0);
}

TEST(pinned, who_is_pinned_stays_and_nobody_waits_for_ever, .timeout = 120)
{
    moves = 0;
    in_runtime(WORKERS, live_together);
}

TEST(pinned, they_do_without_what_new_kernels_have, .timeout = 120)
{
    struct whorl_options options = {
        .size = sizeof options, .workers = WORKERS, .disable = "membarrier,send_msg_ring,guard_install,process_madvise,watcher"};
    struct body body = {live_together};

    NEED_URING();
    moves = 0;
    CHECK_EQ(whorl_run(run_body, &body, &options), 0);
}

/* Leaving in the middle. */

static intptr_t wait_for_the_end(void *arg)
{
    struct person me = *(struct person *)arg;

    me.thread = my_thread();
    while (whorl_sleep((whorl_ns)draw(&me, 100000)) != -ECANCELED)
        look(&me);
    look(&me);
    whorl_yield();
    look(&me);
    return 0;
}

static intptr_t leave_early(void *arg)
{
    static struct person people[PEOPLE];
    uint64_t seed = *(uint64_t *)arg;

    for (int i = 0; i < PEOPLE; i++) {
        struct whorl_spawn_options bound = {.size = sizeof bound, .worker = WHORL_WORKER(i % whorl_workers()), .pinned = 1};
        struct whorl_task *t;

        people[i] = (struct person){.seed = test_random(&seed)};
        t = whorl_spawn_with(wait_for_the_end, &people[i], &bound);
        if (CHECK(t))
            whorl_detach(t);
    }
    if (seed % 2)
        whorl_sleep((whorl_ns)(seed % 200000));
    return 0;
}

TEST(pinned, a_runtime_that_is_left_ends, .timeout = 120)
{
    struct whorl_options options = {.size = sizeof options, .workers = WORKERS, .exit_policy = WHORL_EXIT_CANCEL};
    uint64_t seed = test_seed();

    NEED_URING();
    for (unsigned i = 0; i < rounds(200) && test_failures() == 0; i++) {
        test_random(&seed);
        CHECK_EQ(whorl_run(leave_early, &seed, &options), 0);
    }
}
