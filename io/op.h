/* SPDX-License-Identifier: MIT */
/* The operations, one table for all reactors, and how a task performs one.
 *
 * Every operation fits the same few fields of struct whorl__op, laid out as in a submission queue entry: descriptor, address,
 * length, a 64-bit offset (or second address), 32 bits of flags. */
#ifndef WHORL_IO_OP_H
#define WHORL_IO_OP_H

#include "runtime/reactor.h"

/* name | as waited for in dumps | the kernel's opcode | what the kernel does with length bytes at address: 'r' reads them, 'w'
 * writes them, '-' neither, or its own affair */
#define WHORL__OPS(X)                                                                                                              \
    X(NOP, "nop", IORING_OP_NOP, '-')                                                                                              \
    X(ACCEPT, "accept", IORING_OP_ACCEPT, '-')                                                                                     \
    X(CONNECT, "connect", IORING_OP_CONNECT, '-')                                                                                  \
    X(RECV, "recv", IORING_OP_RECV, 'w')                                                                                           \
    X(SEND, "send", IORING_OP_SEND, 'r')                                                                                           \
    X(POLL, "poll", IORING_OP_POLL_ADD, '-')                                                                                       \
    X(OPEN, "open", IORING_OP_OPENAT2, '-')                                                                                        \
    X(STATX, "statx", IORING_OP_STATX, '-')                                                                                        \
    X(READ, "read", IORING_OP_READ, 'w')

enum whorl__op_code {
#define WHORL__OP_CODE(name, text, opcode, access) WHORL__OP_##name,
    WHORL__OPS(WHORL__OP_CODE)
#undef WHORL__OP_CODE
        WHORL__OP_COUNT
};

/* What to do; the fields are those of struct whorl__op. */
struct whorl__request {
    enum whorl__op_code code;
    int fd;
    uint32_t flags;
    uint32_t length;
    const void *address;
    uint64_t offset;
    const char *reason; /* shown in dumps; NULL: as the table has it */
};

/* At most a gigabyte in one operation: lengths have 32 bits there. */
static inline uint32_t whorl__length(size_t size)
{
    return (uint32_t)(size < ((size_t)1 << 30) ? size : (size_t)1 << 30);
}

struct whorl_task;

/* Performs the operation in the running task `t`: its result, or -ECANCELED, -ETIMEDOUT when the task is to stop waiting. If
 * `result_flags` is given, the completion's flags are stored there. Suspends. */
int whorl__operate(struct whorl_task *t, const struct whorl__request *request, uint32_t *result_flags);

/* Begins a call that may suspend, named `call`: the running task in *t; the error that it is to return at once, or 0. */
int whorl__begin(const char *call, struct whorl_task **t);

/* Is there a kernel behind the running task's reactor? Without one no descriptor is of use. */
bool whorl__has_kernel(void);

/* The call was done by a plain system call. Now and then it lets others run: a task whose calls never have to wait would keep its
 * worker for ever. Suspends. */
void whorl__done_inline(void);

#endif
