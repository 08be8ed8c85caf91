/* SPDX-License-Identifier: MIT */
#include "runtime/overflow.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Ours needs little, but a handler that was there before and gets the other faults may unwind and print. */
#define ALT_STACK_SIZE ((size_t)64 << 10)

static const int signals[] = {SIGSEGV, SIGBUS};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned installs; /* guarded by lock */
static bool in_place;     /* guarded by lock: our handler is in place, or somebody put theirs before it and may call it */
/* Written before our handler is in place, constant while it is. */
static struct sigaction previous[SIGNALS];
static whorl__overflow_running running_task;

/* A line put together without stdio, which a signal handler may not use. */
struct line {
    char text[512];
    size_t length;
};

static void add(struct line *l, const char *s)
{
    size_t n = strlen(s);
    size_t room = sizeof l->text - l->length;

    n = n < room ? n : room;
    memcpy(l->text + l->length, s, n);
    l->length += n;
}

static void add_number(struct line *l, size_t n)
{
    char digits[24];
    char *p = digits + sizeof digits - 1;

    *p = 0;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    add(l, p);
}

static void report(const struct whorl__overflow_task *task)
{
    struct line l = {.length = 0};

    add(&l, "whorl: stack overflow in ");
    if (*task->name) {
        add(&l, "task \"");
        add(&l, task->name);
        add(&l, "\" (spawned at ");
    } else {
        add(&l, "a task (spawned at ");
    }
    add(&l, task->where);
    add(&l, "): its stack of ");
    add_number(&l, whorl__stack_size(task->stack));
    add(&l, " bytes is used up; give it more with whorl_spawn_options.stack_size or WHORL_STACK_SIZE\n");
    if (write(STDERR_FILENO, l.text, l.length) < 0)
        return; /* there is nobody to tell */
}

/* Did the task that this thread runs touch its guard? */
static bool is_overflow(const siginfo_t *info, struct whorl__overflow_task *task)
{
    uintptr_t address = (uintptr_t)info->si_addr;
    uintptr_t base;

    if (info->si_code <= 0 || !running_task(task))
        return false;
    base = (uintptr_t)task->stack->base;
    return address < base && address >= base - whorl__stack_guard();
}

/* Does what the program would do without us. For the default action that is to return with it in place: the instruction faults
 * again, and a core shows the right place. A signal that was sent does not come again by itself. */
static void pass_on(int sig, siginfo_t *info, void *context, const struct sigaction *before)
{
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(sig, info, context);
    } else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN) {
        before->sa_handler(sig);
    } else if (info->si_code > 0 || before->sa_handler == SIG_DFL) {
        sigaction(sig, before, NULL);
        if (info->si_code <= 0)
            raise(sig); /* blocked until we return */
    }
}

static void handle(int sig, siginfo_t *info, void *context)
{
    const struct sigaction *before = &previous[sig == signals[0] ? 0 : 1];
    struct whorl__overflow_task task;
    int saved = errno;

    if (is_overflow(info, &task)) {
        report(&task);
        sigaction(sig, before, NULL); /* the instruction faults again, and is no longer ours */
    } else {
        pass_on(sig, info, context, before);
    }
    errno = saved;
}

static void restore(int count)
{
    for (int i = 0; i < count; i++)
        sigaction(signals[i], &previous[i], NULL);
}

static int place(void)
{
    struct sigaction ours = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&ours.sa_mask);
    for (int i = 0; i < SIGNALS; i++)
        if (sigaction(signals[i], NULL, &previous[i]) < 0 || sigaction(signals[i], &ours, NULL) < 0) {
            int err = -errno;

            restore(i);
            return err;
        }
    return 0;
}

/* Whether both handlers are still ours. If one is not, somebody who came later may call us. */
static bool is_ours(void)
{
    for (int i = 0; i < SIGNALS; i++) {
        struct sigaction now;

        if (sigaction(signals[i], NULL, &now) < 0 || !(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != handle)
            return false;
    }
    return true;
}

int whorl__overflow_install(whorl__overflow_running running)
{
    int err = 0;

    pthread_mutex_lock(&lock);
    if (!in_place) {
        running_task = running;
        err = place();
        in_place = err == 0;
    }
    if (err == 0)
        installs++;
    pthread_mutex_unlock(&lock);
    return err;
}

void whorl__overflow_uninstall(void)
{
    pthread_mutex_lock(&lock);
    /* A handler that was put before ours stays, and so does ours, which it may call: to come back later would make a circle. */
    if (--installs == 0 && is_ours()) {
        restore(SIGNALS);
        in_place = false;
    }
    pthread_mutex_unlock(&lock);
}

void whorl__overflow_forked(void)
{
    installs = 0; /* our handler stays: it passes on what is not ours, and the next runtime finds it */
}

/* At the low end of an alternate stack, the one that it replaces. */
struct alt_stack {
    struct alt_stack *self; /* tells ours from others */
    stack_t before;
};

int whorl__overflow_thread_init(void)
{
    void *memory = mmap(NULL, ALT_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    struct alt_stack *alt = memory;
    stack_t stack = {.ss_sp = memory, .ss_size = ALT_STACK_SIZE};
    int err;

    if (memory == MAP_FAILED)
        return -errno;
    alt->self = alt;
    if (sigaltstack(&stack, &alt->before) < 0) {
        err = -errno;
        munmap(memory, ALT_STACK_SIZE);
        return err;
    }
    return 0;
}

void whorl__overflow_thread_fini(void)
{
    stack_t stack;
    struct alt_stack *alt;

    if (sigaltstack(NULL, &stack) < 0 || (stack.ss_flags & SS_DISABLE) || stack.ss_size != ALT_STACK_SIZE)
        return;
    alt = stack.ss_sp;
    if (alt->self != alt)
        return;
    sigaltstack(&alt->before, NULL);
    munmap(alt, ALT_STACK_SIZE);
}
