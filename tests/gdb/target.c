/* SPDX-License-Identifier: MIT */
/* What tests/gdb/run looks at: tasks in each state, each where the test knows it to be. Prints "ready" when all are, then computes until
 * standard input ends; then all must end well, whatever a debugger did meanwhile. With "two" there is a second runtime; with "signal" main
 * computes in a signal handler, which has a stack of its own.
 *
 * All tasks are bound to main's worker: when main has the turn, each of the others is where it waits. */
#include <whorl/whorl.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEPTH = 3, MARKERS = 4 * 1000 + 0 + 1 + 2 + 3 };

static int receiving[2];
static int waiting; /* tasks that are about to wait */
static volatile int may_end, other_runs;

#define CHECK(condition) ((condition) ? (void)0 : give_up(__LINE__))

_Noreturn static void give_up(int line)
{
    fprintf(stderr, "target.c:%d: not as it should be\n", line);
    exit(1);
}

/* In a task that is bound. */
static struct whorl_spawn_options named(const char *name)
{
    struct whorl_spawn_options options = {
        .size = sizeof options, .name = name, .worker = WHORL_WORKER(whorl_worker()), .pinned = 1};

    return options;
}

static struct whorl_task *spawn(const char *name, whorl_fn fn, void *arg)
{
    struct whorl_spawn_options options = named(name);
    struct whorl_task *t = whorl_spawn_with(fn, arg, &options);

    CHECK(t != NULL);
    return t;
}

/* Something on each frame, to be found there by the debugger, and again after the wait. */
__attribute__((noinline)) static int sleep_deep(int depth)
{
    volatile int marker = 1000 + depth;
    int sum;

    if (depth < DEPTH) {
        sum = sleep_deep(depth + 1);
    } else {
        waiting++;
        sum = whorl_sleep(WHORL_SEC(3600));
    }
    return sum + marker;
}

static intptr_t sleeper(void *arg)
{
    (void)arg;
    return sleep_deep(0);
}

static intptr_t joiner(void *arg)
{
    intptr_t result = 0;

    waiting++;
    CHECK(whorl_join(arg, &result) == 0);
    return result;
}

static intptr_t receiver(void *arg)
{
    char byte = 0;

    (void)arg;
    waiting++;
    CHECK(whorl_recv(receiving[0], &byte, 1, 0) == 1);
    return byte;
}

static intptr_t child(void *arg)
{
    (void)arg;
    waiting++;
    return whorl_sleep(WHORL_SEC(1800));
}

static intptr_t answer(void *arg)
{
    (void)arg;
    waiting++;
    return 42;
}

/* Computes, where whorl does not learn of it. */
__attribute__((noinline)) static void spin(volatile int *until)
{
    while (!*until)
        ;
}

static void be_looked_at(int signal)
{
    (void)signal;
    puts("ready");
    fflush(stdout);
    spin(&may_end);
}

static intptr_t show_all_states(void *arg)
{
    bool can_receive = strcmp(whorl_reactor(), "null") != 0;
    struct whorl_spawn_options options;
    struct whorl_task *sleeping, *joining, *receiving_one, *ended, *ready;
    struct whorl_scope scope;
    intptr_t result;

    whorl_pin();
    sleeping = spawn("sleeper", sleeper, NULL);
    joining = spawn("joiner", joiner, sleeping);
    receiving_one = can_receive ? spawn("receiver", receiver, NULL) : NULL;
    ended = spawn("ended", answer, NULL);
    whorl_scope_open(&scope);
    options = named("child");
    CHECK(whorl_scope_spawn_with(&scope, child, NULL, &options) == 0);
    while (waiting < 4 + can_receive)
        whorl_yield();
    ready = spawn("not begun", answer, NULL);
    if (arg)
        raise(SIGUSR1);
    else
        be_looked_at(0);

    CHECK(whorl_join(ready, &result) == 0 && result == 42);
    CHECK(whorl_join(ended, &result) == 0 && result == 42);
    whorl_scope_cancel(&scope, NULL);
    CHECK(whorl_scope_close(&scope) == -ECANCELED);
    whorl_cancel(sleeping);
    CHECK(whorl_join(joining, &result) == 0 && result == MARKERS - ECANCELED);
    if (receiving_one) {
        CHECK(write(receiving[1], "x", 1) == 1);
        CHECK(whorl_join(receiving_one, &result) == 0 && result == 'x');
    }
    whorl_unpin();
    return 0;
}

static intptr_t be_another(void *arg)
{
    (void)arg;
    other_runs = 1;
    spin(&may_end);
    return 0;
}

static void *run_another(void *arg)
{
    struct whorl_options options = {.size = sizeof options, .workers = 1, .reactor = "null"};

    CHECK(whorl_run(be_another, arg, &options) == 0);
    return NULL;
}

static void *await_end(void *arg)
{
    while (getchar() != EOF)
        ;
    may_end = 1;
    return arg;
}

int main(int argc, char **argv)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};
    struct sigaction action = {.sa_handler = be_looked_at, .sa_flags = SA_ONSTACK};
    bool two = argc > 1 && strcmp(argv[1], "two") == 0, in_handler = argc > 1 && strcmp(argv[1], "signal") == 0;
    pthread_t reader, another;

    CHECK(argc == 1 + (two || in_handler));
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, receiving) == 0);
    CHECK(pthread_create(&reader, NULL, await_end, NULL) == 0);
    if (two) {
        CHECK(pthread_create(&another, NULL, run_another, NULL) == 0);
        spin(&other_runs);
    }
    CHECK(whorl_run(show_all_states, in_handler ? argv[1] : NULL, &options) == 0);
    if (two)
        CHECK(pthread_join(another, NULL) == 0);
    CHECK(pthread_join(reader, NULL) == 0);
    puts("well");
    return 0;
}
