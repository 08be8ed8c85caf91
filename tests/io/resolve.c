/* SPDX-License-Identifier: MIT */
/* Names of hosts. The name service is this file's: it answers, fails or keeps still as each test needs it. */
#include "loopback.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>

#include "runtime/scheduler.h" /* whorl__interrupt */
#include "tests/support/child.h"

/* The name service */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int held, answers; /* guarded by lock: look-ups of held.test under way, and how many of them may go on */

typedef int (*look_up)(const char *restrict, const char *restrict, const struct addrinfo *restrict, struct addrinfo **restrict);

static int really(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    static look_up libc;

    if (!__atomic_load_n(&libc, __ATOMIC_ACQUIRE)) {
        look_up found;

        *(void **)&found = dlsym(RTLD_NEXT, "getaddrinfo");
        __atomic_store_n(&libc, found, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&libc, __ATOMIC_ACQUIRE)(host, service, hints, list);
}

/* The addresses of `hosts`, a NULL after the last, in this order. */
static int list_of(const char *const *hosts, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
    int err = 0;

    for (; !err && *hosts; hosts++) {
        err = really(*hosts, service, hints, list);
        while (!err && *list)
            list = &(*list)->ai_next;
    }
    return err;
}

static void hold(void)
{
    pthread_mutex_lock(&lock);
    held++;
    while (answers == 0)
        pthread_cond_wait(&changed, &lock);
    answers--;
    held--;
    pthread_mutex_unlock(&lock);
}

/* Stands in for libc's in this program, the library being linked into it. */
int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict list)
{
    static const char *const deaf[] = {"127.0.0.2", "127.0.0.3", NULL};
    static const char *const last[] = {"127.0.0.2", "127.0.0.3", "127.0.0.1", NULL};
    static const struct {
        const char *host;
        int err;
    } failures[] = {{"again.test", EAI_AGAIN}, {"fail.test", EAI_FAIL}, {"none.test", EAI_NONAME}, {"memory.test", EAI_MEMORY}};

    if (hints->ai_flags & AI_NUMERICHOST)
        return really(host, service, hints, list);
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
        if (strcmp(host, failures[i].host) == 0)
            return failures[i].err;
    if (strcmp(host, "system.test") == 0) {
        errno = EMFILE;
        return EAI_SYSTEM;
    }
    if (strcmp(host, "deaf.test") == 0)
        return list_of(deaf, service, hints, list);
    if (strcmp(host, "last.test") == 0)
        return list_of(last, service, hints, list);
    if (strcmp(host, "held.test") == 0)
        hold();
    return really("127.0.0.1", service, hints, list);
}

static int held_now(void)
{
    int n;

    pthread_mutex_lock(&lock);
    n = held;
    pthread_mutex_unlock(&lock);
    return n;
}

/* Lets `count` look-ups of held.test, of now or later, have their answer. */
static void let_go(int count)
{
    pthread_mutex_lock(&lock);
    answers += count;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* What programs see */

static intptr_t connect_and_close(const char *host, int port)
{
    int fd = whorl_tcp_connect(host, (uint16_t)port);

    return fd < 0 ? fd : whorl_close(fd);
}

static intptr_t connect_held(void *arg)
{
    return connect_and_close("held.test", (int)(intptr_t)arg);
}

static int listen_here(int *port)
{
    int fd = whorl_tcp_listen(LOOPBACK, 0, NULL);

    CHECK(fd >= 0);
    *port = whorl_tcp_port(fd);
    return fd;
}

TASK_TEST(resolve, addresses_are_tried_until_one_answers, 2)
{
    int port, listener = listen_here(&port);

    CHECK_EQ(connect_and_close("last.test", port), 0);
    CHECK_EQ(connect_and_close("deaf.test", port), -ECONNREFUSED);
    CHECK_EQ(whorl_close(listener), 0);
}

TASK_TEST(resolve, failures_of_the_name_service_are_told_apart, 2)
{
    CHECK_EQ(whorl_tcp_connect("again.test", 1), -EAGAIN);
    CHECK_STR(whorl_error_text(), "connect to again.test:1 failed: the name service does not answer");
    CHECK_EQ(whorl_tcp_connect("fail.test", 1), -EIO);
    CHECK_STR(whorl_error_text(), "connect to fail.test:1 failed: the name service failed");
    CHECK_EQ(whorl_tcp_connect("none.test", 1), -ENOENT);
    CHECK_STR(whorl_error_text(), "connect to none.test:1 failed: no such host");
    CHECK_EQ(whorl_tcp_connect("memory.test", 1), -ENOMEM);
    CHECK_STR(whorl_error_text(), "connect to memory.test:1 failed: no memory");
    CHECK_EQ(whorl_tcp_connect("system.test", 1), -EMFILE);
    CHECK_EQ(whorl_tcp_listen("none.test", 0, NULL), -ENOENT);
}

TASK_TEST(resolve, a_look_up_does_not_hold_up_its_worker, 1)
{
    int port, listener = listen_here(&port);
    struct whorl_task *t = start("user", connect_held, (void *)(intptr_t)port);

    UNTIL(held_now() == 1);
    CHECK_EQ(waiting("user", "name look-up"), 1);
    CHECK_EQ(connect_and_close(LOOPBACK, port), 0);
    let_go(1);
    CHECK_EQ(result_of(t), 0);
    CHECK_EQ(whorl_close(listener), 0);
}

enum { AT_ONCE = 4 };

static void hold_several(void)
{
    struct whorl_task *tasks[AT_ONCE];
    int port, listener = listen_here(&port);

    CHECK_EQ(connect_and_close("other.test", port), 0); /* whoever answered this has nothing to do now */
    for (int i = 0; i < AT_ONCE; i++)
        tasks[i] = start("user", connect_held, (void *)(intptr_t)port);
    UNTIL(held_now() == AT_ONCE);
    let_go(AT_ONCE);
    for (int i = 0; i < AT_ONCE; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
    CHECK_EQ(whorl_close(listener), 0);
}

static void run_and_hold_several(void *unused)
{
    (void)unused;
    in_runtime(1, hold_several);
}

TEST(resolve, a_slow_look_up_does_not_hold_up_others, .timeout = 60)
{
    char said[4096];

    NEED_URING();
    /* Each in a process of its own, which begins without threads that look names up. */
    for (unsigned i = 0; i < rounds(20) && test_failures() == 0; i++) {
        CHECK_EQ(run_in_child(run_and_hold_several, NULL, said, sizeof said), 0);
        fputs(said, stderr);
    }
}

TASK_TEST(resolve, many_look_ups_are_all_answered, 4)
{
    enum { MANY = 50 };
    struct whorl_task *tasks[MANY];
    int port, listener = listen_here(&port);

    for (int i = 0; i < MANY; i++)
        tasks[i] = start("user", connect_held, (void *)(intptr_t)port);
    UNTIL(waiting("user", "name look-up") == MANY);
    let_go(MANY);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
    CHECK_EQ(whorl_close(listener), 0);
}

/* Not waiting for the answer */

TASK_TEST(resolve, a_cancelled_task_does_not_wait_for_the_answer, 2)
{
    struct whorl_task *t = start("user", connect_held, NULL);

    UNTIL(held_now() == 1);
    whorl_cancel(t);
    CHECK_EQ(result_of(t), -ECANCELED);
    CHECK_EQ(held_now(), 1);
    let_go(1);
    UNTIL(held_now() == 0);
}

TASK_TEST(resolve, a_task_past_its_deadline_does_not_wait_for_the_answer, 2)
{
    whorl_deadline(whorl_after(WHORL_MS(5)));
    CHECK_EQ(whorl_tcp_connect("held.test", 1), -ETIMEDOUT);
    CHECK_EQ(whorl_tcp_connect("held.test", 1), -ETIMEDOUT);
    whorl_deadline(WHORL_NEVER);
    let_go(1);
}

TASK_TEST(resolve, a_cancel_meant_for_an_earlier_wait_does_no_harm, 2)
{
    int port, listener = listen_here(&port);
    struct whorl_task *t = start("user", connect_held, (void *)(intptr_t)port);

    UNTIL(held_now() == 1 && waiting("user", "name look-up"));
    for (int late = 0; late < 3; late++) {
        whorl__interrupt(t);
        UNTIL(waiting("user", "name look-up") || whorl_result(t, NULL) == 0);
    }
    CHECK_EQ(held_now(), 1);
    let_go(1);
    CHECK_EQ(result_of(t), 0);
    CHECK_EQ(whorl_close(listener), 0);
}

static intptr_t leave_a_look_up_behind(void *arg)
{
    whorl_detach(start("user", connect_held, arg));
    UNTIL(held_now() == 1);
    return 0;
}

TEST(resolve, a_runtime_that_cancels_at_its_end_does_not_wait_for_the_answer)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2, .exit_policy = WHORL_EXIT_CANCEL};

    NEED_URING();
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(whorl_run(leave_a_look_up_behind, NULL, &options), 0);
        CHECK_EQ(held_now(), 1); /* the answer comes when nobody is there any more */
        let_go(1);
        while (held_now())
            sched_yield();
    }
}

/* A connect with a name that is cancelled: once, whoever is first. */
struct meeting {
    int port;
    struct whorl_task *user;
};

static intptr_t meet_a_cancel(void *arg)
{
    struct meeting *m = arg;
    intptr_t result = connect_and_close("held.test", m->port);

    if (result == 0)
        CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    else
        CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(whorl_sleep(1), 0);
    return 0;
}

static intptr_t cancel_the_user(void *arg)
{
    whorl_cancel(((struct meeting *)arg)->user);
    return 0;
}

TASK_TEST_WITHIN(resolve, an_answer_and_a_cancel_may_come_together, 4, 60)
{
    struct meeting m;
    uint64_t seed = test_seed();
    int listener = listen_here(&m.port);

    for (unsigned i = 0; i < rounds(1000) && test_failures() == 0; i++) {
        struct whorl_task *canceller;

        m.user = start("user", meet_a_cancel, &m);
        UNTIL(held_now() == 1);
        canceller = start("canceller", cancel_the_user, &m);
        for (uint64_t turns = test_random(&seed) % 4; turns > 0; turns--)
            whorl_yield();
        let_go(1);
        CHECK_EQ(result_of(m.user), 0);
        CHECK_EQ(result_of(canceller), 0);
        UNTIL(held_now() == 0);
    }
    CHECK_EQ(whorl_close(listener), 0);
}
