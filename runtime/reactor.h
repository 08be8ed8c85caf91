/* SPDX-License-Identifier: MIT */
/* The seam between the scheduler and whatever does its I/O, keeps its time and draws its chances. The scheduler owns this
 * interface; io/ implements it; only whorl_run brings the two together. Nothing in runtime/ reads a clock, draws a random number or
 * sleeps but through it, so a reactor that simulates all three replays a run from a seed.
 *
 * A reactor never calls the scheduler: poll and cancel hand finished operations back, and the scheduler wakes their tasks. */
#ifndef WHORL_RUNTIME_REACTOR_H
#define WHORL_RUNTIME_REACTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <whorl/base.h>

struct whorl__port;

/* One operation. It lives in the record of the task that waits for it, whose memory stays of this type for as long as the runtime
 * runs: whoever comes late may look, though what it finds may be the next operation. */
struct whorl__op {
    /* The reactor's. */
    struct whorl__op *next;   /* in the list of pending operations, then in the list that poll returns */
    struct whorl__port *port; /* where it is; written under that port's lock, read by cancel without */
    uint8_t stage;            /* the reactor's own: idle, pending, in flight … */

    /* Set by the task before submit; the reactor only reads them. `code` is a row of the table in io/op.h. */
    uint8_t code;
    int fd;
    uint32_t flags;
    uint32_t length;
    const void *address;
    uint64_t offset;

    /* Set by the reactor when it is finished, read by the task: as in a completion queue entry. */
    int32_t result;
    uint32_t result_flags;
};

/* A worker's end of the reactor. The reactor's own struct begins with it. */
struct whorl__port {
    /* What the scheduler looks at between tasks, without a call: operations have finished if *done_tail != *done_head, or
     * (*flags & flags_mask). Constant; the words behind them are the kernel's. */
    const uint32_t *done_head, *done_tail, *flags;
    uint32_t flags_mask;
    /* Operations submitted but not yet given to the kernel. Anyone reads it, relaxed. */
    uint32_t pending;
    /* System calls made, operations cancelled. Any thread, relaxed. */
    uint64_t enters, cancels;
};

struct whorl__reactor;

struct whorl__reactor_ops {
    const char *name;
    /* One OS thread plays all workers, and wait moves a virtual clock. */
    bool simulated;

    /* A port for worker `index`. 0, or -errno after having said the cause and the remedy on standard error. */
    int (*port_open)(struct whorl__reactor *r, int index, struct whorl__port **port);
    void (*port_close)(struct whorl__reactor *r, struct whorl__port *port);
    /* In the child of a fork(2): gives up what is the parent's. From then on `wake` and `cancel` may still be called, and do nothing. */
    void (*forked)(struct whorl__reactor *r);

    /* Takes an operation. It may reach the kernel only with the next poll or wait. The port's worker only. Never fails: what is
     * wrong with the operation becomes its result. */
    void (*submit)(struct whorl__reactor *r, struct whorl__port *port, struct whorl__op *op);
    /* Asks that `op` finish soon. True: it had not reached the kernel, is withdrawn with the result -ECANCELED, and the caller
     * wakes its task. False: it finishes through poll, or has. Any thread. */
    bool (*cancel)(struct whorl__reactor *r, struct whorl__op *op);
    /* Asks that everything on descriptor `fd` finish soon; returns a list of what was withdrawn as above. Any thread. */
    struct whorl__op *(*cancel_fd)(struct whorl__reactor *r, int fd);
    /* Returns a list of finished operations, not too long a one, in the order of completion as far as the kernel
     * tells; with `flush` it gives the pending ones to
     * the kernel first. The port's worker only. */
    struct whorl__op *(*poll)(struct whorl__reactor *r, struct whorl__port *port, bool flush);
    /* For a worker that neglects its port `from`: returns a list of what has finished there, and makes what is pending there pending on
     * `to`, the caller's port, adding their number to *moved. Nothing, if either is being used just now. */
    struct whorl__op *(*take_over)(struct whorl__reactor *r, struct whorl__port *from, struct whorl__port *to, uint32_t *moved);
    /* Sleeps until something finishes on `port`, wake is called for it, or the clock shows `deadline`. False: there is nothing that
     * could ever end this sleep (a simulated reactor knows). The port's worker only. */
    bool (*wait)(struct whorl__reactor *r, struct whorl__port *port, whorl_ns deadline);
    /* Ends the present or the next wait of `port`. Any thread. */
    void (*wake)(struct whorl__reactor *r, struct whorl__port *port);

    whorl_ns (*now)(struct whorl__reactor *r);
    /* A number from 0 to n - 1, n > 0. The port's worker only. */
    uint32_t (*choose)(struct whorl__reactor *r, struct whorl__port *port, uint32_t n);
};

/* A reactor's own struct begins with this. */
struct whorl__reactor {
    const struct whorl__reactor_ops *ops;
};

/* Has something finished that poll would return? */
static inline bool whorl__port_ready(const struct whorl__port *port)
{
    /* Relaxed: a hint; poll reads the words again with the order it needs. */
    return __atomic_load_n(port->done_tail, __ATOMIC_RELAXED) != __atomic_load_n(port->done_head, __ATOMIC_RELAXED) ||
           (__atomic_load_n(port->flags, __ATOMIC_RELAXED) & port->flags_mask);
}

#endif
