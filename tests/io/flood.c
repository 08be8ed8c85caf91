/* SPDX-License-Identifier: MIT */
/* Thousands of operations at once, and a kernel that interrupts, refuses and runs short. */
#include "loopback.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/support/child.h"

/* More completions than their queue holds */

enum { FLOOD = 6000 };

static struct {
    int fd;
    unsigned long sum;
} flood;

static intptr_t receive_one(void *arg)
{
    unsigned char byte = 0;
    ssize_t n = whorl_recv(flood.fd, &byte, 1, 0);

    CHECK(arg == NULL);
    __atomic_add_fetch(&flood.sum, byte, __ATOMIC_SEQ_CST);
    return n;
}

/* The number after `key` in what the kernel tells of a descriptor; -1: it does not tell. */
static long fact_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtol(at + strlen(key), NULL, 0) : -1;
}

/* How many completions wait in the process's only ring, and how many there is room for. */
PLAIN_CALL bool look_at_ring(long *waiting_there, long *room)
{
    char path[64], target[64], text[4096];

    for (int fd = 0; fd < 64; fd++) {
        ssize_t n;
        FILE *f;

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        if (strcmp(target, "anon_inode:[io_uring]") != 0)
            continue;
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        f = fopen(path, "re");
        if (!CHECK(f))
            return false;
        text[fread(text, 1, sizeof text - 1, f)] = 0;
        fclose(f);
        *waiting_there = fact_of(text, "CqTail:") - fact_of(text, "CqHead:");
        *room = fact_of(text, "CqMask:") + 1;
        return true;
    }
    return false;
}

TASK_TEST_WITHIN(flood, no_completion_is_lost_when_their_queue_overflows, 1, 60)
{
    static struct whorl_task *receivers[FLOOD];
    static unsigned char bytes[FLOOD];
    unsigned long expected = 0;
    long done = 0, room = 0;
    int ends[2];

    if (!connect_ends(ends))
        return;
    flood.fd = ends[0];
    flood.sum = 0;
    for (int i = 0; i < FLOOD; i++) {
        receivers[i] = start("receiver", receive_one, NULL);
        expected += bytes[i] = (unsigned char)i;
    }
    UNTIL(waiting("receiver", "recv") == FLOOD);
    whorl_sleep(1); /* the worker has looked around: they are all in the kernel */
    CHECK_EQ(plain_send(ends[1], bytes, sizeof bytes), sizeof bytes);
    if (CHECK(look_at_ring(&done, &room))) {
        CHECK(room < FLOOD);
        CHECK_EQ(done, room); /* it is full, and the worker, being here, reaps nothing */
    }
    for (int i = 0; i < FLOOD; i++)
        CHECK_EQ(result_of(receivers[i]), 1);
    CHECK_EQ(flood.sum, expected);
    close_ends(ends);
}

/* Ending with thousands of operations under way */

enum { LEFT = 4000 };

static struct {
    int quiet[2], full[2], listener;
    int cancelled, late; /* atomic */
} left;

static intptr_t start_late(void *arg)
{
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED); /* every later wait too */
    __atomic_add_fetch(&left.late, 1, __ATOMIC_SEQ_CST);
    return (intptr_t)arg;
}

static intptr_t wait_for_the_end(void *arg)
{
    static char bytes[1000];
    intptr_t which = (intptr_t)arg, result;
    char byte;

    if (which % 4 == 0)
        result = whorl_recv(left.quiet[0], &byte, 1, 0);
    else if (which % 4 == 1)
        result = whorl_send_all(left.full[0], bytes, sizeof bytes, 0);
    else if (which % 4 == 2)
        result = whorl_accept(left.listener);
    else
        result = whorl_sleep(WHORL_SEC(1000));
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    if (which % 8 == 3)
        whorl_detach(start("late", start_late, NULL));
    __atomic_add_fetch(&left.cancelled, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* Outlives the others' operations: closing waits for them. */
static intptr_t close_at_the_end(void *arg)
{
    CHECK_EQ(whorl_sleep(WHORL_SEC(1000)), -ECANCELED);
    close_ends(left.quiet);
    close_ends(left.full);
    CHECK_EQ(whorl_close(left.listener), 0);
    return (intptr_t)arg;
}

static intptr_t leave_many(void *arg)
{
    memset(&left, 0, sizeof left);
    left.listener = whorl_tcp_listen(LOOPBACK, 0, NULL);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, left.full), 0);
    if (!connect_ends(left.quiet))
        return 1;
    fill(left.full[0]);
    for (intptr_t i = 0; i < LEFT; i++)
        whorl_detach(start("left", wait_for_the_end, (void *)i));
    whorl_detach(start("closer", close_at_the_end, NULL));
    UNTIL(waiting("left", "") == LEFT && waiting("closer", "sleep") == 1);
    return (intptr_t)arg;
}

TEST(flood, a_runtime_ends_with_thousands_of_operations_under_way, .timeout = 60)
{
    NEED_URING();
    for (int workers = 1; workers <= 4; workers *= 2) {
        struct whorl_options options = {.size = sizeof options, .workers = workers, .exit_policy = WHORL_EXIT_CANCEL};
        int before = open_descriptors();

        CHECK_EQ(whorl_run(leave_many, NULL, &options), 0);
        CHECK_EQ(left.cancelled, LEFT);
        CHECK_EQ(left.late, LEFT / 8);
        CHECK_EQ(open_descriptors(), before);
    }
}

/* Bad operations among good ones */

enum { MIXED = 300 };

static void *nowhere;
static int mixed_fd;

static intptr_t do_one(void *arg)
{
    intptr_t which = (intptr_t)arg;
    char byte;

    if (which % 3 == 0)
        return whorl_recv(987654, &byte, 1, 0) == -EBADF;
    if (which % 3 == 1)
        return whorl_open(nowhere, O_RDONLY, 0) == -EFAULT;
    return whorl_recv(mixed_fd, &byte, 1, 0) == 1;
}

TASK_TEST(flood, a_bad_operation_does_not_hurt_the_others, 1)
{
    struct whorl_task *tasks[MIXED];
    char bytes[MIXED / 3] = "";
    int ends[2];

    if (!connect_ends(ends))
        return;
    mixed_fd = ends[0];
    nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (intptr_t i = 0; i < MIXED; i++)
        tasks[i] = start("one", do_one, (void *)i);
    whorl_yield(); /* now they are pending together */
    CHECK_EQ(plain_send(ends[1], bytes, sizeof bytes), sizeof bytes);
    for (int i = 0; i < MIXED; i++)
        CHECK_EQ(result_of(tasks[i]), 1);
    munmap(nowhere, 4096);
    close_ends(ends);
}

/* A little of everything, and all of it right */

enum { TALKERS = 8, MESSAGES = 400 };

static intptr_t echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char bytes[64];
    ssize_t n;

    while ((n = whorl_recv(fd, bytes, sizeof bytes, 0)) > 0)
        CHECK_EQ(whorl_send_all(fd, bytes, (size_t)n, 0), n);
    return n;
}

static intptr_t talk(void *arg)
{
    struct whorl_task *server;
    unsigned char byte, back;
    int ends[2];

    if (!connect_ends(ends))
        return 1;
    server = start("server", echo, (void *)(intptr_t)ends[1]);
    for (unsigned i = 0; i < rounds(MESSAGES) && test_failures() == 0; i++) {
        byte = (unsigned char)i;
        CHECK_EQ(whorl_send_all(ends[0], &byte, 1, 0), 1);
        CHECK_EQ(whorl_recv(ends[0], &back, 1, 0), 1);
        CHECK_EQ(back, byte);
        if (i % 64 == 0)
            CHECK_EQ(whorl_sleep(WHORL_US(100)), 0);
    }
    CHECK_EQ(whorl_shutdown(ends[0], SHUT_WR), 0);
    CHECK_EQ(result_of(server), 0);
    close_ends(ends);
    return (intptr_t)arg;
}

static void talk_all(void)
{
    struct whorl_task *talkers[TALKERS];

    for (int i = 0; i < TALKERS; i++)
        talkers[i] = start("talker", talk, NULL);
    for (int i = 0; i < TALKERS; i++)
        CHECK_EQ(result_of(talkers[i]), 0);
}

/* Signals */

static int storming, interrupts; /* atomic */

static void on_signal(int number)
{
    (void)number;
    __atomic_add_fetch(&interrupts, 1, __ATOMIC_SEQ_CST);
}

/* Sends a signal to every other thread, again and again. */
static void *storm(void *arg)
{
    pid_t self = (pid_t)syscall(SYS_gettid);
    struct dirent *entry;
    sigset_t set;

    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    while (__atomic_load_n(&storming, __ATOMIC_SEQ_CST)) {
        rewinddir(arg);
        while ((entry = readdir(arg)) != NULL)
            if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != self)
                syscall(SYS_tgkill, getpid(), atoi(entry->d_name), SIGALRM);
        usleep(1000);
    }
    return NULL;
}

TEST(flood, signals_interrupt_nothing_that_a_task_sees, .timeout = 60)
{
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
    DIR *threads = opendir("/proc/self/task");
    pthread_t thread;

    NEED_URING();
    if (!CHECK(threads))
        return;
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    __atomic_store_n(&storming, 1, __ATOMIC_SEQ_CST);
    CHECK_EQ(pthread_create(&thread, NULL, storm, threads), 0);
    do
        in_runtime(4, talk_all);
    while (__atomic_load_n(&interrupts, __ATOMIC_SEQ_CST) < 100);
    __atomic_store_n(&storming, 0, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    closedir(threads);
}

/* A kernel that takes no entries at times. A thread of ours is asked about each io_uring_enter, and answers for it. */

enum { REFUSE_NONE, REFUSE_SOME, REFUSE_ALL };
static int refusing, refused; /* atomic: what to refuse, how often it was */

static int supervise_enter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])), /* how many to submit */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* Two submissions of three, chosen by the seed, are some. */
static bool is_refused(uint64_t *seed)
{
    int which = __atomic_load_n(&refusing, __ATOMIC_SEQ_CST);

    return which == REFUSE_ALL || (which == REFUSE_SOME && test_random(seed) % 3 > 0);
}

/* Lives as long as the process, which is a child. */
static void *supervise(void *arg)
{
    int listener = (int)(intptr_t)arg;
    uint64_t seed = test_seed();

    for (;;) {
        struct seccomp_notif question;
        struct seccomp_notif_resp answer;

        memset(&question, 0, sizeof question);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &question) < 0)
            continue;
        memset(&answer, 0, sizeof answer);
        answer.id = question.id;
        if (is_refused(&seed)) {
            answer.error = test_random(&seed) % 2 ? -EAGAIN : -EBUSY;
            __atomic_add_fetch(&refused, 1, __ATOMIC_SEQ_CST);
        } else {
            answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        }
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    return NULL;
}

static const char unsupervised[] = "nobody may answer for system calls here";

/* What a supervised runtime does, and what is refused at its beginning. */
struct supervised {
    void (*body)(void);
    int refusing;
};

static void run_supervised(void *arg)
{
    const struct supervised *s = arg;
    int listener = supervise_enter();
    pthread_t thread;

    if (listener < 0) {
        fputs(unsupervised, stderr);
        return;
    }
    __atomic_store_n(&refusing, s->refusing, __ATOMIC_SEQ_CST);
    CHECK_EQ(pthread_create(&thread, NULL, supervise, (void *)(intptr_t)listener), 0);
    alarm(SANITIZED ? 60 : 15); /* what hangs here ends */
    in_runtime(2, s->body);
    CHECK(__atomic_load_n(&refused, __ATOMIC_SEQ_CST) > 0);
}

static void supervise_in_child(void (*body)(void), int refuse)
{
    struct supervised s = {body, refuse};
    char said[4096];

    NEED_URING();
    CHECK_EQ(run_in_child(run_supervised, &s, said, sizeof said), 0);
    if (strcmp(said, unsupervised) == 0)
        SKIP(unsupervised);
    fputs(said, stderr);
}

TEST(flood, entries_that_the_kernel_does_not_take_are_tried_again, .timeout = 40)
{
    supervise_in_child(talk_all, REFUSE_SOME);
}

static intptr_t receive_from(void *arg)
{
    char byte;

    return whorl_recv((int)(intptr_t)arg, &byte, 1, 0);
}

/* Begins a receive that the kernel refuses to take. */
static struct whorl_task *start_untaken(int fd)
{
    struct whorl_task *t;
    int before;

    __atomic_store_n(&refusing, REFUSE_ALL, __ATOMIC_SEQ_CST);
    before = __atomic_load_n(&refused, __ATOMIC_SEQ_CST);
    t = start("user", receive_from, (void *)(intptr_t)fd);
    UNTIL(waiting("user", "recv") && __atomic_load_n(&refused, __ATOMIC_SEQ_CST) > before);
    return t;
}

static void stop_untaken(void)
{
    struct whorl_task *t;
    int ends[2];

    if (!connect_ends(ends))
        return;
    t = start_untaken(ends[0]);
    whorl_cancel(t);
    __atomic_store_n(&refusing, REFUSE_NONE, __ATOMIC_SEQ_CST);
    CHECK_EQ(result_of(t), -ECANCELED);
    t = start_untaken(ends[0]);
    __atomic_store_n(&refusing, REFUSE_NONE, __ATOMIC_SEQ_CST);
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(result_of(t), -ECANCELED);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TEST(flood, an_entry_that_the_kernel_has_not_taken_is_cancelled, .timeout = 40)
{
    supervise_in_child(stop_untaken, REFUSE_NONE);
}
