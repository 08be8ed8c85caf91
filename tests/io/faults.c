/* SPDX-License-Identifier: MIT */
/* What a runtime does when it does not get what it needs: limits, refused system calls, wrong settings, stacks too small, bad
 * memory. Whatever changes a process for good is done in a child. */
#include "loopback.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/support/child.h"

enum { NOBODY = 65534 };

/* A run in a child: what it is to change first, and how it went. */
struct trial {
    void (*prepare)(const struct trial *);
    int number; /* what `prepare` needs to know */
    const char *name, *value;
    struct whorl_options options;
    whorl_fn main;
    char said[4096]; /* on standard error */
};

static void run_trial(void *arg)
{
    struct trial *t = arg;
    int before;

    if (t->prepare)
        t->prepare(t);
    before = open_descriptors();
    t->options.size = sizeof t->options;
    fprintf(stderr, "result %ld\n", (long)whorl_run(t->main, NULL, &t->options));
    CHECK(before < 0 || open_descriptors() == before); /* no descriptor left to count them with: that is a result too */
}

/* Runs it; its result. */
static long try_it(struct trial *t)
{
    const char *text;
    int status = run_in_child(run_trial, t, t->said, sizeof t->said);

    text = strstr(t->said, "result ");
    if (!CHECK(WIFEXITED(status)) || !CHECK_EQ(WEXITSTATUS(status), 0) || !CHECK(text)) {
        fputs(t->said, stderr);
        return LONG_MIN;
    }
    return strtol(text + strlen("result "), NULL, 10);
}

static intptr_t echo_end(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char byte;

    while (whorl_recv(fd, &byte, 1, 0) == 1)
        CHECK_EQ(whorl_send_all(fd, &byte, 1, 0), 1);
    return 0;
}

/* A little of everything. */
static intptr_t work(void *arg)
{
    struct whorl_task *tasks[8];
    int ends[2];
    char byte = 'x';

    CHECK(!arg);
    for (int i = 0; i < 8; i++) {
        struct whorl_spawn_options there = {.size = sizeof there, .worker = WHORL_WORKER(i % whorl_workers())};

        if (!connect_ends(ends))
            return 1;
        tasks[i] = whorl_spawn_with(echo_end, (void *)(intptr_t)ends[1], &there);
        if (!CHECK(tasks[i]))
            return 1;
        CHECK_EQ(whorl_send_all(ends[0], &byte, 1, 0), 1);
        CHECK_EQ(whorl_recv(ends[0], &byte, 1, 0), 1);
        CHECK_EQ(whorl_sleep(WHORL_US(10)), 0);
        CHECK_EQ(whorl_close(ends[0]), 0);
        CHECK_EQ(result_of(tasks[i]), 0);
        CHECK_EQ(whorl_close(ends[1]), 0);
    }
    return 0;
}

static intptr_t nothing(void *arg)
{
    return arg != NULL;
}

/* Limits */

static void limit_descriptors(const struct trial *t)
{
    struct rlimit limit = {(rlim_t)(open_descriptors() + t->number), (rlim_t)(open_descriptors() + t->number)};

    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

TEST(faults, too_few_descriptors_to_start_with_are_reported, .timeout = 60)
{
    bool started = false;

    NEED_URING();
    for (int spare = 0; spare < 16 && test_failures() == 0; spare++) {
        struct trial t = {.prepare = limit_descriptors, .number = spare, .options.workers = 4, .main = nothing};
        long result = try_it(&t);

        started = started || result == 0;
        CHECK_EQ(result, started ? 0 : -EMFILE); /* more do not make it worse */
        CHECK(result == 0 || spare < 8);         /* a ring and an event for each worker */
        if (result < 0) {
            CHECK_HAS(t.said, "ulimit -n");
            CHECK_HAS(t.said, "WHORL_WORKERS");
        }
    }
    CHECK(started);
}

/* A user without privileges, whose limits count. */
static void become_nobody(void)
{
    if (geteuid() == 0)
        CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static void limit_locked_memory(const struct trial *t)
{
    struct rlimit limit = {(rlim_t)t->number, (rlim_t)t->number};

    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    become_nobody();
}

TEST(faults, little_locked_memory_is_enough_or_reported, .timeout = 60)
{
    NEED_URING();
    for (int size = 1 << 23; size >= 1 << 12; size /= 4) {
        struct trial t = {.prepare = limit_locked_memory, .number = size, .options.workers = 2, .main = work};
        long result = try_it(&t);

        CHECK(result == 0 || result == -ENOMEM);
        if (result < 0)
            CHECK_HAS(t.said, "ulimit -l");
    }
}

static void limit_threads(const struct trial *t)
{
    struct rlimit limit = {(rlim_t)t->number, (rlim_t)t->number};

    become_nobody();
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
}

TEST(faults, too_few_threads_are_reported)
{
    struct trial t = {.prepare = limit_threads, .number = 1, .options.workers = 4, .main = work};

    NEED_URING();
    if (SANITIZED)
        SKIP("sanitizers need threads of their own");
    CHECK_EQ(try_it(&t), -EAGAIN);
    CHECK_HAS(t.said, "ulimit -u");
    t.options.workers = 1;
    CHECK_EQ(try_it(&t), 0);
}

static void limit_memory(const struct trial *t)
{
    struct rlimit limit;
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    CHECK(f && fscanf(f, "%lu", &pages) == 1);
    if (f)
        fclose(f);
    limit.rlim_cur = limit.rlim_max = pages * 4096 + ((rlim_t)t->number << 10);
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
}

/* However far the start gets, it ends well. */
TEST(faults, too_little_memory_to_start_with_is_reported, .timeout = 60)
{
    bool failed = false, started = false;

    NEED_URING();
    if (SANITIZED)
        SKIP("sanitizers need memory of their own");
    for (int kib = 16; kib < 1 << 20; kib += kib / 4) {
        struct trial t = {.prepare = limit_memory, .number = kib, .options.workers = 3, .main = nothing};
        long result = try_it(&t);

        CHECK(result == 0 || result == -ENOMEM || result == -EAGAIN); /* of a thread's stack */
        if (result < 0)
            CHECK_HAS(t.said, "whorl: ");
        failed = failed || result < 0;
        started = started || result == 0;
    }
    CHECK(failed && started);
}

/* Refused system calls */

/* Makes the calls of io_uring fail with error t->number, as the seccomp profiles of containers do. */
static void refuse_uring(const struct trial *t)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)t->number),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

TEST(faults, where_io_uring_is_refused_the_remedy_is_named)
{
    struct trial t = {.prepare = refuse_uring, .number = EPERM, .main = nothing};

    NEED_URING();
    CHECK_EQ(try_it(&t), -EPERM);
    CHECK_HAS(t.said, "io_uring is refused");
    CHECK_HAS(t.said, "seccomp");
    CHECK_HAS(t.said, "io_uring_setup");
}

TEST(faults, where_there_is_no_io_uring_the_kernel_needed_is_named)
{
    struct trial t = {.prepare = refuse_uring, .number = ENOSYS, .main = nothing};

    NEED_URING();
    CHECK_EQ(try_it(&t), -ENOSYS);
    CHECK_HAS(t.said, "no io_uring");
    CHECK_HAS(t.said, "6.1");
}

TEST(faults, the_null_reactor_runs_where_io_uring_is_refused)
{
    struct trial t = {.prepare = refuse_uring, .number = EPERM, .options.reactor = "null", .main = nothing};

    CHECK_EQ(try_it(&t), 0);
}

/* Settings */

static void set_environment(const struct trial *t)
{
    CHECK_EQ(setenv(t->name, t->value, 1), 0);
}

TEST(faults, features_can_be_disabled, .timeout = 60)
{
    static const char *const values[] = {"",
                                         "guard_install",
                                         "send_msg_ring",
                                         "membarrier",
                                         "guard_install,send_msg_ring",
                                         "membarrier,send_msg_ring,guard_install"};

    NEED_URING();
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct trial t = {
            .prepare = set_environment, .name = "WHORL_DISABLE", .value = values[i], .options.workers = 4, .main = work};

        CHECK_EQ(try_it(&t), 0);
    }
}

TEST(faults, wrong_settings_are_named)
{
    static const struct {
        const char *name, *value;
    } wrong[] = {
        {"WHORL_REACTOR", "epol"}, {"WHORL_WORKERS", "0"},     {"WHORL_WORKERS", "1025"},         {"WHORL_WORKERS", "two"},
        {"WHORL_WORKERS", "-1"},   {"WHORL_WORKERS", "2x"},    {"WHORL_STACK_SIZE", "5M"},        {"WHORL_STACK_SIZE", "64Q"},
        {"WHORL_EXIT", "leave"},   {"WHORL_DISABLE", "uring"}, {"WHORL_DISABLE", "membarrier,x"}, {"WHORL_PIN", "2"},
        {"WHORL_SPIN_NS", "soon"}, {"WHORL_SEED", "-5"},       {"WHORL_DUMP_ON_SIGQUIT", "y"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct trial t = {.prepare = set_environment, .name = wrong[i].name, .value = wrong[i].value, .main = nothing};

        CHECK_EQ(try_it(&t), -EINVAL);
        CHECK_HAS(t.said, wrong[i].name);
    }
}

/* Stacks */

/* For all that the compiler knows, every byte of it is used. */
static void use(volatile char *room)
{
    __asm__ volatile("" : : "r"(room) : "memory");
}

__attribute__((noinline)) static int use_large_frame(int depth)
{
    volatile char room[200000];

    room[0] = (char)depth;
    room[sizeof room - 1] = 1;
    use(room);
    return room[0] + room[sizeof room - 1];
}

static intptr_t large_frame(void *arg)
{
    return arg ? 0 : use_large_frame(1);
}

__attribute__((noinline)) static int recurse(int depth)
{
    volatile char room[500];

    room[0] = (char)depth;
    use(room);
    return depth < 0 ? 0 : recurse(depth + 1) + room[0];
}

static intptr_t endless_recursion(void *arg)
{
    return recurse(arg ? -1 : 1);
}

/* A task with a name, a function and a stack of its own. */
struct digger {
    const char *name;
    whorl_fn fn;
    size_t stack_size;
};

static intptr_t spawn_digger(void *arg)
{
    const struct digger *d = arg;
    struct whorl_spawn_options options = {.size = sizeof options, .name = d->name, .stack_size = d->stack_size};
    struct whorl_task *t = whorl_spawn_with(d->fn, NULL, &options);

    return result_of(t);
}

static void run_digger(void *arg)
{
    struct whorl_options options = {.size = sizeof options, .workers = 2};

    CHECK_EQ(whorl_run(spawn_digger, arg, &options), 2);
}

TEST(faults, a_stack_overflow_names_the_task_and_where_it_was_spawned, .timeout = 60)
{
    static struct digger diggers[] = {{"large frame", large_frame, 0}, {"recursion", endless_recursion, 1 << 20}};
    char said[8192], quoted[40];

    NEED_URING();
    for (size_t i = 0; i < sizeof diggers / sizeof *diggers; i++) {
        CHECK(run_in_child(run_digger, &diggers[i], said, sizeof said) != 0);
        snprintf(quoted, sizeof quoted, "\"%s\"", diggers[i].name);
        CHECK_HAS(said, "whorl: stack overflow");
        CHECK_HAS(said, quoted);
        CHECK_HAS(said, "faults.c:");
        CHECK_HAS(said, "stack_size");
        CHECK_HAS(said, i ? "1048576" : "65536");
    }
}

TEST(faults, a_larger_stack_has_room_for_a_large_frame)
{
    struct digger digger = {"large frame", large_frame, 256 << 10};
    char said[4096];

    NEED_URING();
    CHECK_EQ(run_in_child(run_digger, &digger, said, sizeof said), 0);
    CHECK_STR(said, "");
}

/* Descriptors that run out while it runs */

/* Takes all descriptors that are left, by lowering the limit; returns the limit that there was. */
PLAIN_CALL rlim_t leave_no_descriptor(void)
{
    struct rlimit limit;
    int next = fcntl(0, F_DUPFD_CLOEXEC, 0);
    rlim_t before;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    close(next);
    before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)next;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

PLAIN_CALL void allow_descriptors(rlim_t number)
{
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = number;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static intptr_t accept_one(void *arg)
{
    return whorl_accept((int)(intptr_t)arg);
}

TASK_TEST(faults, a_connection_without_a_descriptor_stays_queued, 2)
{
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL), fd = plain_connect(whorl_tcp_port(listener)), accepted;
    rlim_t before = leave_no_descriptor();

    for (int i = 0; i < 10; i++)
        CHECK_EQ(whorl_accept(listener), -EMFILE);
    allow_descriptors(before);
    accepted = whorl_accept(listener);
    CHECK(accepted >= 0);
    CHECK_EQ(whorl_send(fd, "x", 1, 0), 1);
    CHECK_EQ(whorl_close(accepted), 0);
    CHECK_EQ(whorl_close(fd), 0);
    CHECK_EQ(whorl_close(listener), 0);
}

TASK_TEST(faults, an_accept_goes_on_when_a_descriptor_is_closed, 2)
{
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL), fd, accepted;
    int spare = fcntl(0, F_DUPFD_CLOEXEC, 0);
    struct sockaddr_in a = loopback_address(whorl_tcp_port(listener));
    rlim_t before;

    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    before = leave_no_descriptor();
    CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    CHECK_EQ(whorl_accept(listener), -EMFILE);
    CHECK_EQ(whorl_close(spare), 0);
    accepted = whorl_accept(listener);
    CHECK_EQ(accepted, spare);
    allow_descriptors(before);
    CHECK_EQ(whorl_close(accepted), 0);
    CHECK_EQ(whorl_close(fd), 0);
    CHECK_EQ(whorl_close(listener), 0);
}

TASK_TEST(faults, a_waiting_accept_sees_that_there_are_no_descriptors, 2)
{
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL), fd, numbers[256], count = 0;
    struct whorl_task *t = start("user", accept_one, (void *)(intptr_t)listener);
    rlim_t before;

    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    UNTIL(waiting("user", "accept"));
    before = leave_no_descriptor();
    allow_descriptors(before < 200 ? before : 200);
    while (count < 256 && (numbers[count] = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    if (CHECK(count < 256)) {
        struct sockaddr_in a = loopback_address(whorl_tcp_port(listener));
        intptr_t result;

        CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        result = result_of(t); /* the limit may be that of the moment when the operation was begun */
        CHECK(result == -EMFILE || result >= 200);
        if (result >= 0)
            CHECK_EQ(whorl_close((int)result), 0);
    }
    allow_descriptors(before);
    while (count > 0)
        CHECK_EQ(whorl_close(numbers[--count]), 0);
    CHECK_EQ(whorl_close(fd), 0);
    CHECK_EQ(whorl_close(listener), 0);
}

TASK_TEST(faults, what_needs_a_descriptor_says_that_there_is_none, 2)
{
    static const int signals[] = {SIGUSR1};
    rlim_t before = leave_no_descriptor();

    CHECK_EQ(whorl_tcp_listen(LOOPBACK, 0, NULL), -EMFILE);
    CHECK_EQ(whorl_tcp_connect(LOOPBACK, 1), -EMFILE);
    CHECK_EQ(whorl_open("/dev/null", O_RDONLY, 0), -EMFILE);
    CHECK_EQ(whorl_signal_wait(signals, 1), -EMFILE);
    allow_descriptors(before);
}

/* Bad memory */

TASK_TEST(faults, memory_that_cannot_be_used_is_reported, 2)
{
    char *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), byte = 'x';
    int ends[2], fd;

    if (!connect_ends(ends))
        return;
    CHECK_EQ(whorl_send(ends[0], bad, 100, 0), -EFAULT);
    CHECK_EQ(whorl_send(ends[0], "abc", 3, 0), 3);
    CHECK_EQ(whorl_recv(ends[1], bad, 100, 0), -EFAULT);
    CHECK_EQ(whorl_recv(ends[1], &byte, 1, 0), 1);
    CHECK_EQ(whorl_open(bad, O_RDONLY, 0), -EFAULT);
    fd = whorl_open("/proc/self/exe", O_RDONLY, 0);
    CHECK_EQ(whorl_read_at(fd, bad, 100, 0), -EFAULT);
    CHECK_EQ(whorl_read_at(fd, &byte, 1, 1), 1);
    CHECK_EQ(byte, 'E');
    CHECK_EQ(whorl_close(fd), 0);
    close_ends(ends);
    munmap(bad, 4096);
}

/* Calls outside a task */

static void receive_outside(void *buffer)
{
    CHECK_EQ(whorl_recv(0, buffer, 1, 0), 0);
}

static void send_outside(void *buffer)
{
    CHECK_EQ(whorl_send(1, buffer, 1, 0), 0);
}

static void listen_outside(void *unused)
{
    CHECK_EQ(whorl_tcp_listen(unused, 0, NULL), 0);
}

static void connect_outside(void *unused)
{
    CHECK_EQ(whorl_tcp_connect(unused, 0), 0);
}

static void accept_outside(void *unused)
{
    CHECK_EQ(whorl_accept(unused != NULL), 0);
}

static void close_outside(void *unused)
{
    CHECK_EQ(whorl_close(unused != NULL), 0);
}

static void open_outside(void *path)
{
    CHECK_EQ(whorl_open(path, O_RDONLY, 0), 0);
}

static void read_outside(void *buffer)
{
    CHECK_EQ(whorl_read_at(0, buffer, 1, 0), 0);
}

static void wait_outside(void *unused)
{
    CHECK_EQ(whorl_signal_wait(unused, 0), 0);
}

TEST(faults, a_call_outside_a_task_aborts_and_is_named)
{
    static const struct {
        void (*call)(void *);
        const char *name;
    } calls[] = {
        {receive_outside, "whorl_recv"},        {send_outside, "whorl_send"},     {listen_outside, "whorl_tcp_listen"},
        {connect_outside, "whorl_tcp_connect"}, {accept_outside, "whorl_accept"}, {close_outside, "whorl_close"},
        {open_outside, "whorl_open"},           {read_outside, "whorl_read_at"},  {wait_outside, "whorl_signal_wait"},
    };
    char argument[] = LOOPBACK, said[4096];

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int status = run_in_child(calls[i].call, argument, said, sizeof said);

        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK_HAS(said, calls[i].name);
        CHECK_HAS(said, "outside a task");
    }
}
