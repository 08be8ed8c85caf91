/* SPDX-License-Identifier: MIT */
#include "io/op.h"
#include "io/fd.h"
#include "runtime/scheduler.h"
#include <errno.h>

#if defined(WHORL__ASAN)
#include <sanitizer/asan_interface.h>
#endif
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_DEFINED(address, length) ((void)0)
#endif

static const char *const texts[] = {
#define TEXT(name, text, opcode, access) text,
    WHORL__OPS(TEXT)
#undef TEXT
};

static const char accesses[] = {
#define ACCESS(name, text, opcode, access) access,
    WHORL__OPS(ACCESS)
#undef ACCESS
};

/* No sanitizer sees what the kernel reads and writes: these two stand in for them. */
static void before_kernel(const struct whorl__request *r)
{
#if defined(WHORL__ASAN)
    void *bad = accesses[r->code] == '-' ? NULL : __asan_region_is_poisoned((void *)(uintptr_t)r->address, r->length);

    if (bad)
        whorl__misuse("%s was given a buffer of %u bytes at %p of which byte %p may not be touched", texts[r->code], r->length,
                      r->address, bad);
#endif
    (void)r;
}

static void after_kernel(const struct whorl__request *r, int result)
{
    if (accesses[r->code] == 'w' && result > 0)
        (void)VALGRIND_MAKE_MEM_DEFINED(r->address, result);
}

int whorl__begin(const char *call, struct whorl_task **t)
{
    struct whorl__worker *w;

    *t = whorl__self_may_suspend(call, &w);
    return whorl__cancel_take(*t);
}

bool whorl__has_kernel(void)
{
    return !whorl__worker()->runtime->ops->simulated;
}

void whorl__done_inline(void)
{
    struct whorl__worker *w = whorl__worker();

    whorl__count(&w->stats.inline_done, 1);
    if (--w->budget <= 0)
        whorl_yield();
}

/* A cancelled operation that blocked a thread of the kernel's was interrupted there; some say so by codes that system calls never
 * show (ERESTARTSYS and its like). */
static bool interrupted(int result)
{
    return result == -EINTR || (result <= -512 && result >= -516);
}

int whorl__operate(struct whorl_task *t, const struct whorl__request *r, uint32_t *result_flags)
{
    int result, err;

    before_kernel(r);
    for (;;) {
        t->op.code = (uint8_t)r->code;
        t->op.fd = r->fd;
        t->op.flags = r->flags;
        t->op.length = r->length;
        t->op.address = r->address;
        t->op.offset = r->offset;
        err = whorl__op_wait(whorl__worker(), t, r->reason ? r->reason : texts[r->code]);
        if (err)
            return err;
        result = t->op.result;
        if (result != -ECANCELED && !interrupted(result))
            break;
        /* Cancelled by whom? By a request that this task is still to obey; by whorl_close; or by a request meant for an earlier
         * wait, see wait.c: then as if nothing had been. */
        err = whorl__cancel_take(t);
        if (err)
            return err;
        if (whorl__fd_closing(r->fd)) {
            whorl__note_cause(t, WHORL__CLOSED);
            return -ECANCELED;
        }
    }
    if (result_flags)
        *result_flags = t->op.result_flags;
    after_kernel(r, result);
    return result;
}
