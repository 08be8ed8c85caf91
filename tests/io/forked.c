/* SPDX-License-Identifier: MIT */
/* Children of fork(2): the parent's runtime is dead in them, they can begin a new one, and the parent notices nothing. */
#include "loopback.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/support/child.h"

extern char **environ;

enum { ENDED = 3 }; /* what a child that has done its part ends with */

/* What a child that a task forks finds. */
static struct {
    struct whorl_runtime *runtime;
    struct whorl_task *task; /* that has ended */
    struct whorl_fork fork;
    int (*in_child)(void);
    int events; /* eventfds that were there before, a test runner's */
} now;

static intptr_t wait_for_nothing(void *arg)
{
    return whorl_sleep((intptr_t)arg);
}

static void fork_nothing(struct whorl_fork *self)
{
    (void)self;
}

PLAIN_CALL int end_of(pid_t pid)
{
    int status = -1;

    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* How many descriptors are of this kind. */
PLAIN_CALL int descriptors_of(const char *kind)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *entry;
    int count = 0;

    while (d && (entry = readdir(d))) {
        char target[256] = "";
        ssize_t n = readlinkat(dirfd(d), entry->d_name, target, sizeof target - 1);

        count += n > 0 && strstr(target, kind) != NULL;
    }
    if (d)
        closedir(d);
    return count;
}

/* Forks, and runs now.in_child there: what the child ends with, as waitpid(2) tells it. In a task. */
static intptr_t fork_in_task(void *arg)
{
    pid_t pid;

    (void)arg;
    now.runtime = whorl_runtime();
    now.task = start("handed", wait_for_nothing, NULL);
    whorl_fork(&now.fork, fork_nothing);
    pid = fork();
    if (pid == 0)
        _exit(now.in_child());
    whorl_sync(&now.fork);
    if (!CHECK(pid > 0))
        return -1;
    CHECK_EQ(result_of(now.task), 0); /* the parent goes on */
    return end_of(pid);
}

/* Both in a process of their own, whose standard error is collected. */
static void fork_in_runtime(void *arg)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    now.events = descriptors_of("eventfd");
    *(int *)arg = (int)whorl_run(fork_in_task, NULL, &options);
}

/* `status` is in shared memory, since a child writes it. */
static int status_of(int (*in_child)(void), char *said, size_t size)
{
    int *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), status = -1;

    if (!CHECK(shared != MAP_FAILED))
        return -1;
    now.in_child = in_child;
    *shared = -1;
    CHECK_EQ(run_in_child(fork_in_runtime, shared, said, size), 0);
    status = *shared;
    munmap(shared, sizeof *shared);
    return status;
}

static void ends_well(int (*in_child)(void))
{
    char said[4096];
    int status = status_of(in_child, said, sizeof said);

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == ENDED);
    if (test_failures() > 0)
        fprintf(stderr, "# status %d: %s\n", status, said);
}

/* Calls that abort */

#define CALLS(X)                                                                                                                   \
    X(whorl_yield, whorl_yield())                                                                                                  \
    X(whorl_sleep, (void)whorl_sleep(1))                                                                                           \
    X(whorl_now, (void)whorl_now())                                                                                                \
    X(whorl_self, (void)whorl_self())                                                                                              \
    X(whorl_spawn, (void)!whorl_spawn(wait_for_nothing, NULL))                                                                     \
    X(whorl_join, (void)whorl_join(now.task, NULL))                                                                                \
    X(whorl_detach, whorl_detach(now.task))                                                                                        \
    X(whorl_result, (void)whorl_result(now.task, NULL))                                                                            \
    X(whorl_cancel, whorl_cancel(now.task))                                                                                        \
    X(whorl_name, (void)whorl_name(now.task))                                                                                      \
    X(whorl_close, (void)whorl_close(0))                                                                                           \
    X(whorl_tcp_listen, (void)!whorl_tcp_listen(LOOPBACK, 0, NULL))                                                                \
    X(whorl_scope_open, whorl_scope_open(&(struct whorl_scope){.opener = NULL}))                                                   \
    X(whorl_fork, whorl_fork(&(struct whorl_fork){.fn = NULL}, fork_nothing))                                                      \
    X(whorl_sync, whorl_sync(&now.fork))                                                                                           \
    X(whorl_checkpoint, whorl_checkpoint())                                                                                        \
    X(whorl_runtime_spawn, (void)!whorl_runtime_spawn(now.runtime, wait_for_nothing, NULL, NULL))                                  \
    X(whorl_runtime_join, (void)whorl_runtime_join(now.task, NULL))                                                                \
    X(whorl_runtime_run, (void)whorl_runtime_run(now.runtime, wait_for_nothing, NULL, NULL))                                       \
    X(whorl_runtime_hold, whorl_runtime_hold(now.runtime))

#define CALL(name, expression)                                                                                                     \
    static int call_##name(void)                                                                                                   \
    {                                                                                                                              \
        signal(SIGABRT, SIG_DFL);                                                                                                  \
        expression;                                                                                                                \
        return ENDED;                                                                                                              \
    }
CALLS(CALL)

static const struct {
    const char *name;
    int (*call)(void);
} calls[] = {
#define ROW(name, expression) {#name, call_##name},
    CALLS(ROW)};

TEST(forked, calls_for_what_was_the_parents_abort_and_say_so, .timeout = 60)
{
    NEED_URING();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char said[4096], start[128];
        int status = status_of(calls[i].call, said, sizeof said);

        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        snprintf(start, sizeof start, "whorl: %s in a child of fork(2)", calls[i].name);
        CHECK_HAS(said, start);
        CHECK_HAS(said, "only call exec or _exit (posix_spawn does all in one), or start a new runtime there");
    }
}

static intptr_t fork_and_return(void *arg)
{
    pid_t pid = fork();

    (void)arg;
    return pid == 0 ? 0 : end_of(pid);
}

static intptr_t fork_elsewhere(void *arg)
{
    *(int *)arg = (int)result_of(start("forker", fork_and_return, NULL));
    return 0;
}

static void fork_and_leave(void *unused)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};
    int status = 0;

    (void)unused;
    CHECK_EQ(whorl_run(fork_elsewhere, &status, &options), 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

TEST(forked, a_task_does_not_return_in_a_child)
{
    char said[4096];

    NEED_URING();
    CHECK_EQ(run_in_child(fork_and_leave, NULL, said, sizeof said), 0);
    CHECK_HAS(said, "whorl: a task returned in a child of fork(2)");
}

/* What a child may do */

PLAIN_CALL int mappings_of(const char *kind)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512];
    int count = 0;

    while (f && fgets(line, sizeof line, f))
        count += strstr(line, kind) != NULL;
    if (f)
        fclose(f);
    return count;
}

static int look_around(void)
{
    char dump[4096] = "";
    int fd = memfd_create("dump", MFD_CLOEXEC);

    CHECK_EQ(whorl_in_task(), 0);
    whorl_dump(fd);
    CHECK_EQ(pread(fd, dump, sizeof dump - 1, 0), 0);
    CHECK_STR(whorl_version(), WHORL_VERSION);
    CHECK_EQ(descriptors_of("io_uring"), 0);
    CHECK_EQ(descriptors_of("eventfd"), now.events);
    CHECK_EQ(mappings_of("io_uring"), 0);
    whorl_runtime_close(now.runtime);
    return ENDED;
}

TEST(forked, nothing_of_the_parents_rings_is_there)
{
    NEED_URING();
    ends_well(look_around);
}

static int leave_by_exit(void)
{
    exit(ENDED); /* its destructors run, but nothing of the parent's is cleaned up */
}

TEST(forked, exit_does_not_wait_for_the_parents_tasks)
{
    NEED_URING();
    if (SANITIZED)
        SKIP("what tasks that are not there had allocated would count as leaked");
    ends_well(leave_by_exit);
}

/* A new runtime: connections, descriptors that the parent's tasks used, names that must be looked up. */

static int used[2]; /* a connection, of which a task of the parent's receives from one end */

static intptr_t echo_once(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char byte;

    return whorl_recv(fd, &byte, 1, 0) == 1 && whorl_send_all(fd, &byte, 1, 0) == 1;
}

static intptr_t begin_anew(void *arg)
{
    struct whorl_task *server;
    char byte = 'x';
    int ends[2];

    if (!connect_ends(ends))
        return 1;
    server = start("server", echo_once, (void *)(intptr_t)ends[1]);
    CHECK_EQ(whorl_send_all(ends[0], &byte, 1, 0), 1);
    CHECK_EQ(whorl_recv(ends[0], &byte, 1, 0), 1);
    CHECK_EQ(result_of(server), 1);
    close_ends(ends);
    CHECK_EQ(whorl_close(used[1]), 0); /* nobody uses it here */
    if (!SANITIZED)                    /* ThreadSanitizer allows no threads in such a child */
        CHECK(whorl_tcp_connect("localhost", 1) < 0);
    return (intptr_t)arg;
}

static int run_anew(void)
{
    struct whorl_options options = {.size = sizeof options, .workers = SANITIZED ? 1 : 3};
    struct whorl_runtime *rt;
    intptr_t result = 0;

    for (intptr_t i = 0; i < 2; i++) {
        CHECK_EQ(whorl_run(begin_anew, (void *)(i + 5), &options), i + 5);
        used[1] = dup(used[0]);
    }
    options.reactor = "null";
    CHECK_EQ(whorl_runtime_create(&options, &rt), 0);
    CHECK_EQ(whorl_runtime_run(rt, wait_for_nothing, (void *)WHORL_SEC(1), &result), 0);
    whorl_runtime_close(rt);
    return ENDED;
}

static intptr_t receive_used(void *arg)
{
    char byte;

    (void)arg;
    return whorl_recv(used[1], &byte, 1, 0);
}

static intptr_t fork_beside_io(void *arg)
{
    struct whorl_task *receiver;
    int status;

    if (!connect_ends(used))
        return -1;
    CHECK(whorl_tcp_connect("localhost", 1) < 0); /* there is a thread that looks up names */
    receiver = start("receiver", receive_used, NULL);
    UNTIL(waiting("receiver", "recv"));
    status = (int)fork_in_task(NULL);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == ENDED);
    CHECK_EQ(waiting("receiver", "recv"), 1); /* the child has closed its own copy only */
    CHECK_EQ(whorl_send_all(used[0], "y", 1, 0), 1);
    CHECK_EQ(result_of(receiver), 1);
    close_ends(used);
    return (intptr_t)arg;
}

static void fork_and_run_anew(void *unused)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    (void)unused;
    now.in_child = run_anew;
    CHECK_EQ(whorl_run(fork_beside_io, (void *)9, &options), 9);
}

TEST(forked, a_child_begins_anew_and_the_parent_goes_on, .timeout = 60)
{
    char said[4096];

    NEED_URING();
    CHECK_EQ(run_in_child(fork_and_run_anew, NULL, said, sizeof said), 0);
    if (test_failures() > 0)
        fprintf(stderr, "# %s\n", said);
}

/* Children of threads that are no workers, while others work. */

static int stop; /* atomic */

static intptr_t work_on(void *arg)
{
    struct whorl_task *tasks[8];

    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        for (intptr_t i = 0; i < 8; i++)
            tasks[i] = start("little", wait_for_nothing, (void *)(1000 * i));
        for (int i = 0; i < 8; i++)
            CHECK_EQ(result_of(tasks[i]), 0);
    }
    return (intptr_t)arg;
}

static void *run_work(void *arg)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2, .dump_on_sigquit = 1};

    CHECK_EQ(whorl_run(work_on, (void *)4, &options), 4);
    return arg;
}

static intptr_t add_up(void *arg)
{
    intptr_t sum = 0;

    for (intptr_t i = 0; i < 20; i++)
        sum += result_of(start("nap", wait_for_nothing, (void *)(i * 100))) + (intptr_t)arg;
    return sum;
}

static int run_little(void)
{
    struct whorl_options options = {.size = sizeof options, .workers = SANITIZED ? 1 : 2, .dump_on_sigquit = 1};
    struct sigaction before;

    sigaction(SIGQUIT, NULL, &before);
    CHECK(before.sa_handler == SIG_DFL); /* the parent's dumps are not ours */
    CHECK_EQ(whorl_run(add_up, (void *)2, &options), 40);
    options.reactor = "null";
    CHECK_EQ(whorl_run(add_up, (void *)3, &options), 60);
    sigaction(SIGQUIT, NULL, &before);
    CHECK(before.sa_handler == SIG_DFL);
    return ENDED;
}

static void fork_often(void *unused)
{
    pthread_t worker;

    (void)unused;
    signal(SIGQUIT, SIG_DFL);
    CHECK_EQ(pthread_create(&worker, NULL, run_work, NULL), 0);
    for (unsigned i = 0; i < rounds(60) && test_failures() == 0; i++) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
            alarm(30); /* a child that hangs */
            _exit(run_little());
        }
        status = end_of(pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == ENDED);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(worker, NULL);
}

TEST(forked, threads_fork_at_any_moment, .timeout = 60)
{
    char said[4096];

    NEED_URING();
    CHECK_EQ(run_in_child(fork_often, NULL, said, sizeof said), 0);
    if (test_failures() > 0)
        fprintf(stderr, "# %s\n", said);
}

/* exec, which is what children are for */

static intptr_t spawn_program(void *arg)
{
    char *const list[] = {"sh", "-c", "ls -l /proc/self/fd | grep -c -e io_uring -e eventfd", NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;

    (void)arg;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    CHECK_EQ(posix_spawn(&pid, "/bin/sh", &actions, NULL, list, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return WEXITSTATUS(end_of(pid));
}

TEST(forked, programs_inherit_no_ring)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    NEED_URING();
    CHECK_EQ(whorl_run(spawn_program, NULL, &options), 1); /* grep has counted none */
}

/* Explicit runtimes, whose callers fork between runs, or play the tasks that fork. */

static intptr_t add_one(void *arg)
{
    whorl_yield();
    return (intptr_t)arg + 1;
}

static bool adds_one(struct whorl_runtime *rt, intptr_t n)
{
    intptr_t result = 0;

    return CHECK_EQ(whorl_runtime_run(rt, add_one, (void *)n, &result), 0) && CHECK_EQ(result, n + 1);
}

static int run_in_new_one(const struct whorl_options *options, struct whorl_runtime *parents)
{
    struct whorl_runtime *rt;

    whorl_runtime_close(parents);
    if (!CHECK_EQ(whorl_runtime_create(options, &rt), 0))
        return 1;
    adds_one(rt, 5);
    whorl_runtime_close(rt);
    return ENDED;
}

static void fork_between_runs(void *reactor)
{
    struct whorl_options options = {.size = sizeof options, .reactor = reactor, .workers = SANITIZED ? 1 : 2};
    struct whorl_runtime *rt;
    intptr_t ended = 0;
    int status;
    pid_t pid;

    now.events = descriptors_of("eventfd");
    if (!CHECK_EQ(whorl_runtime_create(&options, &rt), 0))
        return;
    adds_one(rt, 1);
    if (SANITIZED)
        options.reactor = "null"; /* ThreadSanitizer allows no threads in a child */
    pid = fork();
    if (pid == 0)
        _exit(run_in_new_one(&options, rt));
    status = end_of(pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == ENDED);
    adds_one(rt, 2);
    now.in_child = call_whorl_runtime_run;
    CHECK_EQ(whorl_runtime_run(rt, fork_in_task, NULL, &ended), 0);
    CHECK(WIFSIGNALED((int)ended) && WTERMSIG((int)ended) == SIGABRT);
    now.in_child = look_around;
    CHECK_EQ(whorl_runtime_run(rt, fork_in_task, NULL, &ended), 0);
    CHECK(WIFEXITED((int)ended) && WEXITSTATUS((int)ended) == ENDED);
    adds_one(rt, 3);
    whorl_runtime_close(rt);
}

TEST(forked, explicit_runtimes_stay_the_parents)
{
    char said[8192];

    CHECK_EQ(run_in_child(fork_between_runs, (char[]){"null"}, said, sizeof said), 0);
    CHECK_HAS(said, "whorl: whorl_runtime_run in a child of fork(2)");
    NEED_URING();
    CHECK_EQ(run_in_child(fork_between_runs, (char[]){"uring"}, said, sizeof said), 0);
    CHECK_HAS(said, "whorl: whorl_runtime_run in a child of fork(2)");
    if (test_failures() > 0)
        fprintf(stderr, "# %s\n", said);
}
