/* SPDX-License-Identifier: MIT */
/* The context switch by itself: what it keeps, where a context begins and ends. */
#include "runtime/context.h"

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unwind.h>

#include "child.h"
#include "test.h"

#if defined(WHORL__ASAN) || defined(WHORL__TSAN)
#define SANITIZED true
#else
#define SANITIZED false
#endif

enum { STACK_SIZE = 128 << 10 };

/* A context with its stack, and the one that resumes it. */
struct flow {
    struct whorl__context self, resumer;
    char *stack;
    void (*body)(struct flow *flow);
    void *seen; /* what the body found out */
};

/* Lets the resumer go on; returns what it resumes us with. */
static void *yield(struct flow *f, void *value)
{
    return whorl__context_switch(&f->self, &f->resumer, value);
}

static void *resume(struct flow *f, void *value)
{
    whorl__context_init_thread(&f->resumer);
    return whorl__context_switch(&f->resumer, &f->self, value);
}

static void enter(void *arg)
{
    struct flow *f = arg;

    f->body(f);
    whorl__context_exit(&f->resumer, NULL);
}

/* The first resume takes the flow itself as its value. */
static void flow_init(struct flow *f, void (*body)(struct flow *))
{
    memset(f, 0, sizeof *f);
    f->body = body;
    f->stack = aligned_alloc(64, STACK_SIZE);
    if (!f->stack)
        abort();
    whorl__context_init(&f->self, f->stack, STACK_SIZE, enter);
}

static void flow_fini(struct flow *f)
{
    whorl__context_fini(&f->self);
    free(f->stack);
}

/* Values */

static void add_one_to_each(struct flow *f)
{
    intptr_t value = 0;

    for (;;)
        value = (intptr_t)yield(f, (void *)(value + 1));
}

TEST(context, values_travel_with_each_switch)
{
    struct flow f;

    flow_init(&f, add_one_to_each);
    CHECK_EQ((intptr_t)resume(&f, &f), 1);
    for (intptr_t i = 0; i < 1000; i++)
        CHECK_EQ((intptr_t)resume(&f, (void *)(i * 3)), i * 3 + 1);
    flow_fini(&f);
}

static void end_at_once(struct flow *f)
{
    f->seen = f;
}

TEST(context, stack_of_an_exited_context_serves_the_next)
{
    struct flow f;
    struct whorl__context again;

    flow_init(&f, end_at_once);
    for (int i = 0; i < 1000; i++) {
        f.seen = NULL;
        CHECK_EQ((intptr_t)resume(&f, &f), 0);
        CHECK(f.seen == &f);
        whorl__context_fini(&f.self);
        memset(&again, 0, sizeof again);
        whorl__context_init(&again, f.stack, STACK_SIZE, enter);
        f.self = again;
    }
    flow_fini(&f);
}

/* Registers. keep_registers(hop, f, seed) fills the registers that a callee keeps with values made of the seed, calls hop(f),
 * which switches, and returns a bit for each register that came back with something else. */

typedef void (*hop)(struct flow *);
uintptr_t keep_registers(hop hop, struct flow *f, uintptr_t seed);

#if defined(__x86_64__)
__asm__(".text\n"
        ".type keep_registers, @function\n"
        "keep_registers:\n"
        ".irp r, rbp, rbx, r12, r13, r14, r15\n push %\\r\n .endr\n"
        "sub $24, %rsp\n" /* so that the stack is aligned at the call */
        "mov %rdx, (%rsp)\n"
        "mov %rdi, %rax\n"
        "mov %rsi, %rdi\n"
        "lea 1(%rdx), %rbp\n"
        "lea 2(%rdx), %rbx\n"
        "lea 3(%rdx), %r12\n"
        "lea 4(%rdx), %r13\n"
        "lea 5(%rdx), %r14\n"
        "lea 6(%rdx), %r15\n"
        "call *%rax\n"
        "mov (%rsp), %rdx\n"
        "xor %eax, %eax\n"
        ".irp r, rbp, rbx, r12, r13, r14, r15\n"
        "inc %rdx\n add %rax, %rax\n cmp %rdx, %\\r\n je 1f\n inc %rax\n 1:\n"
        ".endr\n"
        "add $24, %rsp\n"
        ".irp r, r15, r14, r13, r12, rbx, rbp\n pop %\\r\n .endr\n"
        "ret\n"
        ".size keep_registers, . - keep_registers\n");
#else
__asm__(".text\n"
        ".type keep_registers, %function\n"
        "keep_registers:\n"
        "stp x29, x30, [sp, #-176]!\n"
        "stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n stp x23, x24, [sp, #48]\n"
        "stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n"
        "stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n stp d12, d13, [sp, #128]\n stp d14, d15, [sp, #144]\n"
        "str x2, [sp, #160]\n"
        "mov x9, x0\n mov x0, x1\n"
        ".irp r, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n add x2, x2, #1\n mov x\\r, x2\n .endr\n"
        ".irp r, 8, 9, 10, 11, 12, 13, 14, 15\n add x2, x2, #1\n fmov d\\r, x2\n .endr\n"
        "blr x9\n"
        "ldr x2, [sp, #160]\n mov x0, #0\n"
        ".irp r, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
        "add x2, x2, #1\n lsl x0, x0, #1\n cmp x\\r, x2\n cinc x0, x0, ne\n .endr\n"
        ".irp r, 8, 9, 10, 11, 12, 13, 14, 15\n"
        "add x2, x2, #1\n lsl x0, x0, #1\n fmov x3, d\\r\n cmp x3, x2\n cinc x0, x0, ne\n .endr\n"
        "ldp x19, x20, [sp, #16]\n ldp x21, x22, [sp, #32]\n ldp x23, x24, [sp, #48]\n"
        "ldp x25, x26, [sp, #64]\n ldp x27, x28, [sp, #80]\n"
        "ldp d8, d9, [sp, #96]\n ldp d10, d11, [sp, #112]\n ldp d12, d13, [sp, #128]\n ldp d14, d15, [sp, #144]\n"
        "ldp x29, x30, [sp], #176\n"
        "ret\n"
        ".size keep_registers, . - keep_registers\n");
#endif

static void hop_back(struct flow *f)
{
    yield(f, NULL);
}

static void hop_in(struct flow *f)
{
    resume(f, f);
}

static void keep_registers_forever(struct flow *f)
{
    uintptr_t lost = 0;

    for (uintptr_t i = 0;; i++) {
        lost |= keep_registers(hop_back, f, 0x5a00000000000000 + i * 256);
        f->seen = (void *)lost;
    }
}

TEST(context, registers_of_both_sides_survive)
{
    struct flow f;

    flow_init(&f, keep_registers_forever);
    for (uintptr_t i = 0; i < 1000; i++)
        CHECK_EQ(keep_registers(hop_in, &f, 0x2500000000000000 + i * 256), 0);
    CHECK_EQ((uintptr_t)f.seen, 0);
    flow_fini(&f);
}

static void hop_in_bare(struct flow *f)
{
    whorl__context_init_thread(&f->resumer);
    whorl__context_switch_bare(&f->resumer, &f->self, f);
}

TEST(context, registers_survive_a_bare_switch)
{
    struct flow f;

    flow_init(&f, keep_registers_forever);
    for (uintptr_t i = 0; i < 1000; i++)
        CHECK_EQ(keep_registers(hop_in_bare, &f, 0x2500000000000000 + i * 256), 0);
    CHECK_EQ((uintptr_t)f.seen, 0);
    flow_fini(&f);
}

/* Control words: how to round. */

#if defined(__x86_64__)
/* MXCSR in the low half, x87's in the high. */
#define CONTROL_UP   0x0b7f00005f80 /* towards +infinity */
#define CONTROL_DOWN 0x077f00003f80 /* towards -infinity */
#define STICKY       0x3fu          /* flags of what happened, not control */
#else
#define CONTROL_UP   ((uint64_t)1 << 22)
#define CONTROL_DOWN ((uint64_t)2 << 22)
#define STICKY       0
#endif

static uint64_t control(void)
{
    return whorl__context_control() & ~(uint64_t)STICKY;
}

static void round_down(struct flow *f)
{
    f->seen = (void *)(uintptr_t)(control() == WHORL__CONTROL_DEFAULT);
    yield(f, NULL);
    whorl__context_set_control(CONTROL_DOWN);
    for (;;) {
        yield(f, NULL);
        f->seen = (void *)(uintptr_t)(control() == CONTROL_DOWN);
    }
}

TEST(context, control_words_belong_to_the_context)
{
    struct flow f;

    flow_init(&f, round_down);
    whorl__context_set_control(CONTROL_UP);
    resume(&f, &f);
    CHECK(f.seen); /* it began with the default, not with ours */
    for (int i = 0; i < 10; i++) {
        f.seen = NULL;
        resume(&f, NULL);
        CHECK(control() == CONTROL_UP);
        CHECK(i == 0 || f.seen);
    }
    whorl__context_set_control(WHORL__CONTROL_DEFAULT);
    resume(&f, NULL);
    CHECK(control() == WHORL__CONTROL_DEFAULT);
    CHECK(f.seen);
    flow_fini(&f);
}

TEST(context, bare_switch_spoils_the_control_words_of_one_side_only)
{
    struct flow f;
    uint64_t ours;

    flow_init(&f, round_down);
    whorl__context_set_control(CONTROL_UP);
    ours = control();
    CHECK(ours == CONTROL_UP);
    for (int i = 0; i < 10; i++) {
        hop_in_bare(&f);
        CHECK(i < 2 || f.seen);
        whorl__context_set_control(ours);
        CHECK(control() == CONTROL_UP);
    }
    whorl__context_set_control(WHORL__CONTROL_DEFAULT);
    flow_fini(&f);
}

/* Stacks */

static struct whorl__context aligner, aligner_resumer;
static uintptr_t entry_frame;

static void note_frame(void *arg)
{
    entry_frame = (uintptr_t)__builtin_frame_address(0);
    whorl__context_exit(&aligner_resumer, arg);
}

TEST(context, stack_is_aligned_at_the_entry_whatever_its_bounds)
{
    char *stack = aligned_alloc(64, STACK_SIZE);

    if (!CHECK(stack))
        return;
    for (uintptr_t skew = 0; skew < 40; skew++) {
        memset(&aligner, 0, sizeof aligner);
        whorl__context_init(&aligner, stack + skew, STACK_SIZE - 2 * skew, note_frame);
        whorl__context_init_thread(&aligner_resumer);
        whorl__context_switch(&aligner_resumer, &aligner, NULL);
        CHECK_EQ(entry_frame % 16, 0);
        CHECK(entry_frame > (uintptr_t)stack && entry_frame < (uintptr_t)stack + STACK_SIZE - skew);
        CHECK(entry_frame > (uintptr_t)stack + STACK_SIZE - skew - 1024 || SANITIZED); /* nearly all of the stack is left */
        whorl__context_fini(&aligner);
    }
    free(stack);
}

/* The frames are left in between at every depth and found again. */
__attribute__((noinline)) static uint64_t sum_down(struct flow *f, unsigned depth)
{
    volatile unsigned kept[16];
    uint64_t below;

    kept[0] = depth;
    kept[15] = ~depth;
    yield(f, NULL);
    below = depth ? sum_down(f, depth - 1) : 0;
    yield(f, NULL);
    return below + (kept[0] == ~kept[15] ? kept[0] : 1000000);
}

enum { DEPTH = 200 };

static void recurse(struct flow *f)
{
    uint64_t sum = sum_down(f, DEPTH);

    f->seen = (void *)(uintptr_t)sum;
}

TEST(context, deep_recursion_keeps_its_frames)
{
    struct flow f[2];

    flow_init(&f[0], recurse);
    flow_init(&f[1], recurse);
    resume(&f[0], &f[0]);
    resume(&f[1], &f[1]);
    for (int i = 0; i < 2 * (DEPTH + 1); i++) {
        resume(&f[0], NULL);
        resume(&f[1], NULL);
    }
    CHECK_EQ((uintptr_t)f[0].seen, DEPTH * (DEPTH + 1) / 2);
    CHECK_EQ((uintptr_t)f[1].seen, DEPTH * (DEPTH + 1) / 2);
    flow_fini(&f[0]);
    flow_fini(&f[1]);
}

static void count_up(struct flow *f)
{
    for (uintptr_t n = 1;; n++) {
        f->seen = (void *)n;
        yield(f, NULL);
    }
}

TEST(context, many_contexts_take_turns)
{
    enum { FLOWS = 300, TURNS = 100 };
    static struct flow flows[FLOWS];

    for (int i = 0; i < FLOWS; i++)
        flow_init(&flows[i], count_up);
    for (int turn = 0; turn < TURNS; turn++)
        for (int i = 0; i < FLOWS; i++)
            resume(&flows[i], &flows[i]);
    for (int i = 0; i < FLOWS; i++) {
        CHECK_EQ((uintptr_t)flows[i].seen, TURNS);
        flow_fini(&flows[i]);
    }
}

/* Threads. pthread_self() is declared to be constant, so that a compiler calls it once where we must ask again. */

#if defined(__clang__)
#define OPAQUE __attribute__((noinline))
#else
#define OPAQUE __attribute__((noinline, noipa))
#endif

OPAQUE static pthread_t this_thread(void)
{
    __asm__ volatile("" ::: "memory");
    return pthread_self();
}

static void note_threads(struct flow *f)
{
    pthread_t *where = f->seen;
    char local[64];

    for (int i = 0; i < 3; i++) {
        where[i] = this_thread();
        memset(local, i, sizeof local);
        yield(f, NULL);
        for (size_t k = 0; k < sizeof local; k++)
            if (local[k] != i)
                abort();
    }
}

static void *resume_once(void *arg)
{
    struct flow *f = arg;

    resume(f, f);
    return NULL;
}

TEST(context, context_goes_on_on_another_thread)
{
    struct flow f;
    pthread_t where[3], other;

    flow_init(&f, note_threads);
    f.seen = where;
    resume(&f, &f);
    if (!CHECK_EQ(pthread_create(&other, NULL, resume_once, &f), 0))
        return;
    pthread_join(other, NULL);
    resume(&f, &f);
    resume(&f, &f);
    CHECK(pthread_equal(where[0], pthread_self()));
    CHECK(pthread_equal(where[1], other));
    CHECK(pthread_equal(where[2], pthread_self()));
    flow_fini(&f);
}

/* The end of the stack, as unwinders see it. */

enum { FRAMES_MAX = 64 };
static void *frames[FRAMES_MAX];
static int frame_count;

__attribute__((noinline)) static void walk(unsigned depth)
{
    if (depth == 0)
        frame_count = backtrace(frames, FRAMES_MAX);
    else
        walk(depth - 1);
    __asm__ volatile("" ::: "memory"); /* no tail call */
}

static void take_backtrace(struct flow *f)
{
    walk(5);
    yield(f, NULL);
    walk(5);
}

static bool in_start(const void *address)
{
    uintptr_t start = (uintptr_t)whorl__context_start;

    return (uintptr_t)address >= start && (uintptr_t)address < start + 64;
}

TEST(context, backtrace_ends_where_the_context_began)
{
    struct flow f;

    walk(0); /* loads the unwinder on a stack that is large enough for the dynamic linker */
    flow_init(&f, take_backtrace);
    for (int i = 0; i < 2; i++) {
        frame_count = 0;
        resume(&f, &f);
        CHECK(frame_count >= 4); /* walk, take_backtrace, enter, the start; more of walk unless it was made a loop */
        CHECK(frame_count < FRAMES_MAX);
        CHECK(in_start(frames[frame_count - 1]));
    }
    flow_fini(&f);
}

static void drop_exception(_Unwind_Reason_Code reason, struct _Unwind_Exception *exception)
{
    (void)reason;
    (void)exception;
}

/* What a C++ throw does first. It comes back when nobody up the stack would catch, and then the program is terminated. */
static void raise_exception(struct flow *f)
{
    static struct _Unwind_Exception exception;
    _Unwind_Reason_Code code;

    memcpy(&exception.exception_class, "WHRLTEST", sizeof exception.exception_class);
    exception.exception_cleanup = drop_exception;
    code = _Unwind_RaiseException(&exception);
#if defined(__x86_64__) /* on aarch64 GCC 12's unwinder comes back, but with any value: GCC bug 114843 */
    CHECK_EQ(code, _URC_END_OF_STACK);
#else
    (void)code;
#endif
    f->seen = f;
}

TEST(context, exception_finds_no_handler_beyond_the_entry)
{
    struct flow f;

    flow_init(&f, raise_exception);
    resume(&f, &f);
    CHECK(f.seen == &f);
    flow_fini(&f);
}

static void return_to_nowhere(void *arg)
{
    (void)arg;
}

static void let_entry_return(void *stack)
{
    struct whorl__context context, resumer;

    memset(&context, 0, sizeof context);
    whorl__context_init(&context, stack, STACK_SIZE, return_to_nowhere);
    whorl__context_init_thread(&resumer);
    whorl__context_switch(&resumer, &context, NULL);
}

TEST(context, entry_that_returns_is_stopped)
{
    char *stack = aligned_alloc(64, STACK_SIZE);
    int status = run_in_child(let_entry_return, stack, NULL, 0);

    CHECK(WIFSIGNALED(status) || SANITIZED);
    CHECK(SANITIZED || WTERMSIG(status) == SIGILL || WTERMSIG(status) == SIGTRAP);
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
    free(stack);
}
