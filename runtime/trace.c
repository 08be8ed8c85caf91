/* SPDX-License-Identifier: MIT */
/* How a thread is looked at from outside.
 *
 * One that runs is asked by a signal, SIGURG, whose handler unwinds the stack that it has interrupted. The unwinder finds its tables without a
 * lock and without memory (glibc 2.35, gcc 12: _dl_find_object, which is made for signal handlers), once it has been loaded.
 *
 * One that is blocked is left alone: a signal would end many system calls early, nanosleep and poll among them, and the program would do in debug mode
 * what it never does otherwise. The kernel tells its stack pointer, and its stack is read from there on: from where frames
 * begin that point to others only those count; up to there, or where there are none, each word does that points behind a call instruction. So there
 * may be calls among them that are over already, but none is left out for which its code has a frame pointer. The memory is read by process_vm_readv(2), which fails where a plain read would fault: the thread may go on meanwhile, and its
 * stack be given back. */
#define _GNU_SOURCE /* dladdr, process_vm_readv */
#include "runtime/trace.h"
#include "runtime/atomic.h"
#include "runtime/fatal.h"
#include "runtime/fork_child.h"
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <whorl/base.h>

/* What the kernel says of a thread. */

/* Reads what there is in /proc of thread `tid`, in a file of one line. */
static bool read_line(int tid, const char *file, char *line, size_t size)
{
    char path[64];
    bool read;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/task/%d/%s", tid, file);
    f = fopen(path, "re");
    if (!f)
        return false;
    read = fgets(line, (int)size, f) != NULL;
    fclose(f);
    return read;
}

static const struct known {
    long number;
    const char *name, *instead;
} calls[] = {
    {SYS_read, "read", "whorl_recv or whorl_read_at"},
    {SYS_pread64, "pread64", "whorl_read_at"},
    {SYS_readv, "readv", NULL},
    {SYS_write, "write", "whorl_send"},
    {SYS_pwrite64, "pwrite64", NULL},
    {SYS_writev, "writev", NULL},
    {SYS_fsync, "fsync", NULL},
    {SYS_openat, "openat", "whorl_open"},
    {SYS_close, "close", "whorl_close"},
    {SYS_accept, "accept", "whorl_accept"},
    {SYS_accept4, "accept4", "whorl_accept"},
    {SYS_connect, "connect", "whorl_tcp_connect"},
    {SYS_recvfrom, "recvfrom", "whorl_recv"},
    {SYS_recvmsg, "recvmsg", NULL},
    {SYS_sendto, "sendto", "whorl_send"},
    {SYS_sendmsg, "sendmsg", NULL},
#if defined(SYS_poll)
    {SYS_poll, "poll", NULL},
    {SYS_select, "select", NULL},
    {SYS_epoll_wait, "epoll_wait", NULL},
#endif
    {SYS_ppoll, "ppoll", NULL},
    {SYS_pselect6, "pselect6", NULL},
    {SYS_epoll_pwait, "epoll_pwait", NULL},
    {SYS_nanosleep, "nanosleep", "whorl_sleep"},
    {SYS_clock_nanosleep, "clock_nanosleep", "whorl_sleep"},
    {SYS_futex, "futex", "a lock of whorl's"},
    {SYS_flock, "flock", NULL},
    {SYS_wait4, "wait4", NULL},
    {SYS_waitid, "waitid", NULL},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", "whorl_signal_wait"},
    {SYS_io_uring_enter, "io_uring_enter", NULL},
};

static void name_call(struct whorl__thread *out, long number)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].number == number) {
            snprintf(out->call, sizeof out->call, "the system call %s", calls[i].name);
            out->instead = calls[i].instead;
            return;
        }
    snprintf(out->call, sizeof out->call, "system call %ld", number);
}

/* It is in the kernel, but in no call: waits for a page, or has been stopped. */
static void name_place(struct whorl__thread *out, int tid)
{
    char place[40];

    if (!read_line(tid, "wchan", place, sizeof place) || strcmp(place, "0") == 0)
        snprintf(out->call, sizeof out->call, "the kernel");
    else
        snprintf(out->call, sizeof out->call, "the kernel, in %s", place);
}

/* Where the kernel does not tell the call: does it run? */
static bool is_blocked(int tid)
{
    char line[512], *state = NULL;

    if (read_line(tid, "stat", line, sizeof line))
        state = strrchr(line, ')'); /* the name before may have any characters in it */
    return state && state[1] == ' ' && strchr("SD", state[2]);
}

void whorl__thread_look(int tid, struct whorl__thread *out)
{
    unsigned long long sp, pc;
    char line[256], *end;
    long number;

    memset(out, 0, sizeof *out);
    if (!read_line(tid, "syscall", line, sizeof line)) {
        out->blocked = is_blocked(tid);
        name_place(out, tid);
        return;
    }
    number = strtol(line, &end, 10);
    if (end == line) /* "running" */
        return;
    out->blocked = true;
    if (number < 0)
        name_place(out, tid);
    else
        name_call(out, number);
    if (sscanf(end, number < 0 ? " %llx %llx" : " %*x %*x %*x %*x %*x %*x %llx %llx", &sp, &pc) == 2) {
        out->sp = (uintptr_t)sp;
        out->pc = (uintptr_t)pc;
    }
}

/* Asking a thread that runs. */

/* Of the question: who is asked, and how far that is. */
enum { IDLE, ASKED, ANSWERING, ANSWERED };
#define ASKED_OF(tid) ((uint32_t)(tid) << 2 | ASKED) /* there are 2^22 threads at most */

/* One thread is asked at a time, under the lock that fork(2) waits for: no child begins with a question that nobody asked. */
static struct {
    uint32_t phase; /* atomic, a futex: who moves it away from ASKED_OF may write the rest */
    void *pc;       /* where the signal came */
    struct whorl__trace trace;
} question;

static int users; /* under the same lock, like the next */
static struct sigaction before;

static int own_tid(void)
{
    return (int)syscall(SYS_gettid);
}

static void *interrupted_at(const void *context)
{
    const ucontext_t *c = context;

#if defined(__x86_64__)
    return (void *)c->uc_mcontext.gregs[REG_RIP];
#else
    return (void *)c->uc_mcontext.pc;
#endif
}

static void answer(int signal, siginfo_t *info, void *context)
{
    int saved = errno; /* a handler runs to its end on one thread */
    uint32_t asked = ASKED_OF(own_tid());

    (void)signal;
    (void)info;
    if (whorl__cas_acq_rel(&question.phase, &asked, (uint32_t)ANSWERING)) {
        question.pc = interrupted_at(context);
        question.trace.count = backtrace(question.trace.calls, WHORL__TRACE_MAX);
        whorl__store_release(&question.phase, (uint32_t)ANSWERED); /* pairs with the acquire in await_answer */
        syscall(SYS_futex, &question.phase, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    errno = saved;
}

void whorl__trace_install(void)
{
    struct sigaction ours = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    void *here[1];

    whorl__forks_lock();
    if (users++ == 0) {
        backtrace(here, 1); /* loads the unwinder */
        sigaction(SIGURG, &ours, &before);
    }
    whorl__forks_unlock();
}

void whorl__trace_uninstall(void)
{
    struct sigaction now;

    whorl__forks_lock();
    /* Not if somebody else has put a handler there since. One that comes late is ignored, as SIGURG is by default. */
    if (--users == 0 && sigaction(SIGURG, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO && now.sa_sigaction == answer)
        sigaction(SIGURG, &before, NULL);
    whorl__forks_unlock();
}

/* Waits a while for the answer; takes the question back if there is none, and says so by false. */
static bool await_answer(int tid)
{
    const struct timespec a_while = {.tv_nsec = WHORL_MS(10)};
    uint32_t phase, asked = ASKED_OF(tid);

    for (int i = 0; (phase = whorl__load_acquire(&question.phase)) != ANSWERED; i++) {
        if (i >= 20 && whorl__cas_acq_rel(&question.phase, &asked, (uint32_t)IDLE))
            return false;
        asked = ASKED_OF(tid);
        syscall(SYS_futex, &question.phase, FUTEX_WAIT_PRIVATE, phase, &a_while, NULL, 0);
    }
    return true;
}

/* The answer without the handler's own calls, if it can be seen where they end. */
static void take_answer(struct whorl__trace *out)
{
    const struct whorl__trace *trace = &question.trace;
    int first = 0;

    while (first < trace->count && trace->calls[first] != question.pc)
        first++;
    if (first == trace->count)
        first = 0;
    while (first < trace->count)
        out->calls[out->count++] = trace->calls[first++];
}

static void ask(int tid, struct whorl__trace *out)
{
    whorl__forks_lock();
    whorl__store_release(&question.phase, ASKED_OF(tid)); /* pairs with the exchange in answer */
    if (syscall(SYS_tgkill, getpid(), tid, SIGURG) == 0 && await_answer(tid))
        take_answer(out);
    whorl__store_relaxed(&question.phase, (uint32_t)IDLE);
    whorl__forks_unlock();
}

/* Reading the stack of a thread that is blocked. */

#define PAGE        4096
#define STACK_PAGES 16

struct stack {
    uintptr_t start;
    size_t count; /* of words */
    uintptr_t words[STACK_PAGES * PAGE / sizeof(uintptr_t)];
};

/* Copies `count` pieces of this process's memory; returns how many bytes there were before one that cannot be read. */
static size_t read_memory(void *to, size_t size, const struct iovec *from, size_t count)
{
    struct iovec into = {.iov_base = to, .iov_len = size};
    ssize_t n = process_vm_readv(getpid(), &into, 1, from, count, 0);

    return n > 0 ? (size_t)n : 0;
}

/* What there is from `sp` up, page by page: a stack may end after any. */
static void read_stack(struct stack *stack, uintptr_t sp)
{
    struct iovec pages[STACK_PAGES];
    uintptr_t at = stack->start = sp & ~(sizeof(uintptr_t) - 1);

    for (int i = 0; i < STACK_PAGES; i++) {
        size_t length = PAGE - at % PAGE;

        pages[i] = (struct iovec){.iov_base = (void *)at, .iov_len = length};
        at += length;
    }
    stack->count = read_memory(stack->words, sizeof stack->words, pages, STACK_PAGES) / sizeof(uintptr_t);
}

/* Does a call instruction end at the end of these bytes? */
static bool ends_in_call(const unsigned char *end)
{
#if defined(__x86_64__)
    /* FF /2, of two to seven bytes; in the others is how the address is made. */
    for (int length = 2; length <= 7; length++)
        if (length != 5 && end[-length] == 0xff && (end[1 - length] >> 3 & 7) == 2)
            return true;
    return end[-5] == 0xe8;
#else
    uint32_t instruction;

    memcpy(&instruction, end - 4, sizeof instruction);
    return (instruction & 0xfc000000) == 0x94000000 || (instruction & 0xfffffc1f) == 0xd63f0000; /* bl, blr */
#endif
}

static bool is_return_address(const struct stack *stack, uintptr_t word)
{
    unsigned char code[8];
    struct iovec from = {.iov_base = (void *)(word - sizeof code), .iov_len = sizeof code};
    Dl_info info;

    if (word < PAGE || word - stack->start < stack->count * sizeof word)
        return false;
    return read_memory(code, sizeof code, &from, 1) == sizeof code && ends_in_call(code + sizeof code) &&
           dladdr((void *)(word - 1), &info) != 0;
}

/* Are the words at `i` the head of a frame: a pointer to one further up, and where to return to? */
static bool is_frame(const struct stack *stack, size_t i)
{
    uintptr_t offset = stack->words[i] - stack->start;
    size_t next = offset / sizeof(uintptr_t);

    return offset % sizeof(uintptr_t) == 0 && next > i + 1 && next + 1 < stack->count &&
           is_return_address(stack, stack->words[i + 1]) && is_return_address(stack, stack->words[next + 1]);
}

/* The chain is not followed but met, frame by frame: an old frame may point past those of now. */
static void scan(const struct stack *stack, struct whorl__trace *out)
{
    bool framed = false;

    for (size_t i = 0; i + 1 < stack->count && out->count < WHORL__TRACE_MAX; i++) {
        if (is_frame(stack, i)) {
            out->calls[out->count++] = (void *)stack->words[++i];
            framed = true;
        } else if (!framed && is_return_address(stack, stack->words[i])) {
            out->calls[out->count++] = (void *)stack->words[i];
        }
    }
}

static void read_calls(const struct whorl__thread *thread, struct whorl__trace *out)
{
    struct stack *stack = malloc(sizeof *stack);

    if (stack && thread->sp) {
        out->calls[out->count++] = (void *)thread->pc;
        read_stack(stack, thread->sp);
        scan(stack, out);
    }
    free(stack);
}

void whorl__trace_thread(int tid, const struct whorl__thread *thread, struct whorl__trace *out)
{
    out->count = 0;
    if (thread->blocked)
        read_calls(thread, out);
    else
        ask(tid, out);
}

void whorl__trace_say(const struct whorl__trace *trace)
{
    if (trace->count == 0) {
        whorl__say("by which calls it got there could not be read");
        return;
    }
    whorl__say("the calls, innermost first (addr2line -f -e PROGRAM ADDRESS tells the line of a +ADDRESS):");
    backtrace_symbols_fd(trace->calls, trace->count, STDERR_FILENO);
}
