/* SPDX-License-Identifier: MIT */
/* The report when a task uses its stack up, and what becomes of all other faults. */
#include "runtime/overflow.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "test.h"

static struct whorl__stack_pool pool;
static struct whorl__stack_cache cache;
static struct whorl__context task, worker;

static void open_pool(void)
{
    CHECK_EQ(whorl__stack_pool_init(&pool, 0, SIZE_MAX), 0);
    whorl__stack_cache_init(&cache, &pool);
}

/* Each test that dies does so in a child. */

static struct whorl__stack *running;

static bool what_runs(struct whorl__overflow_task *out)
{
    *out = (struct whorl__overflow_task){.stack = running, .name = "digger", .where = "mine.c:12"};
    return running != NULL;
}

__attribute__((noinline)) static int dig(int depth)
{
    volatile char room[200];

    room[0] = (char)depth;
    room[199] = 1;
    return depth == 0 ? room[0] : dig(depth - 1) + room[199];
}

/* Jumps over the guard unless the compiler probes each page of a large frame (-fstack-clash-protection). */
__attribute__((noinline)) static int large_frame(void)
{
    char room[200 << 10];

    room[0] = 1;
    __asm__ volatile("" ::"r"(room) : "memory"); /* all of it is there */
    return room[0];
}

static void dig_forever(void *arg)
{
    CHECK_EQ(dig(1 << 30), 0);
    whorl__context_exit(&worker, arg);
}

static void use_large_frame(void *arg)
{
    CHECK_EQ(large_frame(), 0);
    whorl__context_exit(&worker, arg);
}

/* Not NULL itself: UBSan would stop that before the CPU does. */
static void use_wild_pointer(void *arg)
{
    volatile char *volatile wild = (char *)8;

    *wild = 1;
    whorl__context_exit(&worker, arg);
}

/* Runs an entry on a 64 KiB stack with the handler in place and the default action behind it. */
static void run_on_stack(whorl__context_entry entry)
{
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    open_pool();
    CHECK_EQ(whorl__overflow_install(what_runs), 0);
    CHECK_EQ(whorl__overflow_thread_init(), 0);
    running = whorl__stack_get(&cache, 1);
    whorl__context_init_thread(&worker);
    whorl__stack_context(running, &task, entry);
    whorl__context_switch(&worker, &task, NULL);
}

static void overflow_child(void *arg)
{
    (void)arg;
    run_on_stack(dig_forever);
}

static void large_frame_child(void *arg)
{
    (void)arg;
    run_on_stack(use_large_frame);
}

static void wild_pointer_child(void *arg)
{
    (void)arg;
    run_on_stack(use_wild_pointer);
}

static void check_report(void (*child)(void *))
{
    char err[2048];
    int status = run_in_child(child, NULL, err, sizeof err);

    CHECK(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS));
    CHECK_HAS(err, "whorl: stack overflow in task \"digger\" (spawned at mine.c:12): its stack of 65536 bytes is used up");
    CHECK_HAS(err, "whorl_spawn_options.stack_size");
    CHECK_HAS(err, "WHORL_STACK_SIZE");
}

TEST(overflow, deep_recursion_is_reported_and_dies_by_the_signal)
{
    check_report(overflow_child);
}

TEST(overflow, frame_of_200_kilobytes_does_not_jump_over_the_guard)
{
    check_report(large_frame_child);
}

TEST(overflow, other_faults_are_not_called_overflows)
{
    char err[2048];
    int status = run_in_child(wild_pointer_child, NULL, err, sizeof err);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(!strstr(err, "stack overflow in"));
}

static volatile int passed_on;
static void *volatile passed_address;
static char *no_access;
static sigjmp_buf after_fault;

/* It does not mend and return, which Valgrind does not follow. */
static void leave(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    passed_on++;
    passed_address = info->si_addr;
    siglongjmp(after_fault, 1);
}

static void leave_child(void *arg)
{
    struct sigaction before = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO | SA_ONSTACK}, after;

    (void)arg;
    open_pool();
    no_access = mmap(NULL, pool.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaction(SIGSEGV, &before, NULL);
    CHECK_EQ(whorl__overflow_install(what_runs), 0);
    CHECK_EQ(whorl__overflow_install(what_runs), 0);
    CHECK_EQ(whorl__overflow_thread_init(), 0);
    if (sigsetjmp(after_fault, 1) == 0)
        *(volatile char *)(no_access + 3) = 1;
    CHECK_EQ(passed_on, 1);
    CHECK(passed_address == no_access + 3);
    whorl__overflow_thread_fini();
    whorl__overflow_uninstall();
    sigaction(SIGSEGV, NULL, &after);
    CHECK(after.sa_sigaction != leave); /* one more uninstall is due */
    whorl__overflow_uninstall();
    sigaction(SIGSEGV, NULL, &after);
    CHECK(after.sa_sigaction == leave);
    whorl__stack_pool_fini(&pool);
}

TEST(overflow, handler_that_was_there_before_gets_other_faults_and_its_place_back)
{
    int status = run_in_child(leave_child, NULL, NULL, 0);

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static struct sigaction overtaken;

static void overtake(int sig, siginfo_t *info, void *context)
{
    overtaken.sa_sigaction(sig, info, context);
}

/* Somebody puts a handler before ours that calls ours: installing again must not make a circle. */
static void overtake_child(void *arg)
{
    struct sigaction leaving = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction overtaking = {.sa_sigaction = overtake, .sa_flags = SA_SIGINFO | SA_ONSTACK}, after;

    (void)arg;
    open_pool();
    no_access = mmap(NULL, pool.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaction(SIGSEGV, &leaving, NULL);
    CHECK_EQ(whorl__overflow_install(what_runs), 0);
    sigaction(SIGSEGV, &overtaking, &overtaken);
    whorl__overflow_uninstall();
    sigaction(SIGSEGV, NULL, &after);
    CHECK(after.sa_sigaction == overtake);
    CHECK_EQ(whorl__overflow_install(what_runs), 0);
    if (sigsetjmp(after_fault, 1) == 0)
        *(volatile char *)no_access = 1;
    CHECK_EQ(passed_on, 1);
    whorl__overflow_uninstall();
    whorl__stack_pool_fini(&pool);
}

TEST(overflow, handler_put_before_ours_stays_and_makes_no_circle)
{
    int status = run_in_child(overtake_child, NULL, NULL, 0);

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(overflow, alternate_stack_of_the_thread_is_put_back)
{
    static char own[32 << 10];
    stack_t mine = {.ss_sp = own, .ss_size = sizeof own}, before, now;

    sigaltstack(&mine, &before);
    CHECK_EQ(whorl__overflow_thread_init(), 0);
    sigaltstack(NULL, &now);
    CHECK(now.ss_sp != own && now.ss_size >= 64 << 10);
    whorl__overflow_thread_fini();
    sigaltstack(NULL, &now);
    CHECK(now.ss_sp == own);
    whorl__overflow_thread_fini(); /* not ours: nothing happens */
    sigaltstack(NULL, &now);
    CHECK(now.ss_sp == own);
    sigaltstack(&before, NULL);
}
