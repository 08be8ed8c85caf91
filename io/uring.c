/* SPDX-License-Identifier: MIT */
/* The io_uring reactor: a ring for each worker.
 *
 * Goals: an operation costs no system call of its own while others can share one; whoever cancels it, on any thread, learns whether it
 * will still finish, and the memory that it points at is never the kernel's when its task goes on; a worker that is kept by its task stops
 * nobody's I/O; no wake-up is lost.
 *
 * The life of an operation. All under the lock of the port that it is in.
 *
 *   A1  submit: it is pending, `op->port` names the port
 *   A2  flush: an entry is filled in, it is in flight, and the kernel is entered. What the kernel did not take is pending again before
 *       the lock is left: so an operation is always either pending or known to the kernel
 *   A3  reap: the result is copied, `op->port` is NULL, and the scheduler wakes the task
 *
 * Cancelling, on any thread.
 *
 *   C1  reads `op->port`; NULL: it has finished, or not begun
 *   C2  locks that port; if `op->port` has changed meanwhile (A3, M2): unlocks, C1 again
 *   C3  pending: it is withdrawn, and the canceller wakes its task. In flight: the kernel is asked, by IORING_REGISTER_SYNC_CANCEL with
 *       no time to wait, which needs no entry and has no completion of its own that could come late. The operation ends by its own
 *       completion (A3), and until then its task does not run
 *
 * A completion names its operation by address. A cancel can't hit the next operation there: C3 and A3 are under the same lock.
 *
 * Sleeping and waking.
 *
 *   W1  the worker, under the lock: nothing pending, nothing finished, the event armed: it is `waiting`. Else it polls first
 *   W2  enters the kernel until something finishes, without the lock: others may cancel meanwhile
 *   W3  under the lock: no longer `waiting`
 *
 * Whoever wakes it makes a completion on its ring (a ring message, or the eventfd that a poll stands on), which ends W2 whether it
 * comes before or in it.
 *
 * Taking over what a worker neglects (runtime/takeover.c). The taker
 *
 *   M1  tries the lock of that port; leaves if it is held, or `waiting`: a taker would reap the completion that is to end the sleep
 *   M2  with its own port's lock as well: pending operations become its own, `op->port` too
 *   M3  reaps what has finished; if a wake-up was among it, sends it again
 *
 * Set-up flags: COOP_TASKRUN | TASKRUN_FLAG, so that the kernel does not interrupt a worker for each completion but raises a flag
 * that the scheduler reads between tasks; SUBMIT_ALL, so that a bad entry does not hold up the rest; CLAMP and CQSIZE.
 *
 * Rejected: SINGLE_ISSUER | DEFER_TASKRUN (0 to 4 % more on loopback echo, but then nobody but the worker itself can finish its
 * operations: M3 would find nothing, and a hog stops every connection of its ring). Cancel entries (they need room in a queue that may be
 * full, a sequence number in each operation, and a thread that may submit). A poll before each receive
 * (0.87 of the raw loop's echo), or by the kernel (POLL_FIRST: 0.95 of our own HTTP requests). A
 * submission at once (a receive that must be armed costs more than one that finds its data, see FLUSH_AFTER). Waking by a futex of our own
 * beside the ring (25 to 40 us a wake, as an eventfd and a ring message: the sleeping CPU is what takes the time). */
#include "io/fd.h"
#include "io/op.h"
#include "io/reactors.h"
#include "io/sys.h"
#include "io/uring_features.h"
#include "runtime/atomic.h"
#include "runtime/context.h"
#include "runtime/fatal.h"
#include "runtime/pause.h"
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Entries of the submission queue: a batch never needs more, it is submitted in parts. */
#define SQ_ENTRIES     128
#define SQ_ENTRIES_MIN 16
/* Of the completion queue: that many may finish between two polls before the kernel has to keep them in a slower list. */
#define CQ_PER_SQ 32
/* Completions that one poll hands back, so that tasks that are ready are not kept waiting. */
#define REAP_MAX 128

/* user_data of what is no operation. */
#define WAKE_MESSAGE 0
#define WAKE_EVENT   1

/* ThreadSanitizer does not see that the kernel hands the memory of a ring on to another one. */
#if defined(WHORL__TSAN)
static char ring_memory;
#define RING_GIVEN_UP() __tsan_release(&ring_memory)
#define RING_TAKEN()    __tsan_acquire(&ring_memory)
#else
#define RING_GIVEN_UP() ((void)0)
#define RING_TAKEN()    ((void)0)
#endif

enum { IDLE, PENDING, IN_FLIGHT };

struct uring_port {
    struct whorl__port base;
    struct io_uring ring; /* set up and mapped by liburing; its queues are moved here, under the lock */
    int event;            /* an eventfd, to wake a worker where ring messages do not work */
    uint64_t random;      /* the worker's */

    struct whorl__spinlock lock; /* guards the rest, both queues of the ring, and `pending` of base */
    bool armed;                  /* the poll of `event` stands */
    bool waiting;                /* the worker sleeps on this ring, or is about to: nobody else may take what would end its sleep */
    uint32_t sq_tail, sq_entries;
    struct whorl__op *first, **last;           /* pending */
    struct whorl__op *refused, **refused_last; /* finished without the kernel: their descriptor is being closed */
};

struct uring {
    struct whorl__reactor base;
    unsigned disabled;
    bool send_msg_ring;
    int count;
    struct uring_port *ports[WHORL__WORKERS_MAX];
};

static const uint8_t opcodes[] = {
#define OPCODE(name, text, opcode, access) opcode,
    WHORL__OPS(OPCODE)
#undef OPCODE
};

static struct uring *uring_of(struct whorl__reactor *r)
{
    return (struct uring *)r;
}

static struct uring_port *port_of(struct whorl__port *port)
{
    return (struct uring_port *)port;
}

/* Calls io_uring_enter until it is not interrupted. */
static int enter(struct uring_port *p, unsigned submit, unsigned flags)
{
    int n;

    do {
        whorl__add_relaxed(&p->base.enters, 1);
        n = io_uring_enter2((unsigned)p->ring.ring_fd, submit, 0, flags, NULL, 0);
    } while (n == -EINTR);
    if (n == -EBADR)
        whorl__fatal("the kernel had no memory to report a finished operation (EBADR): what waits for it would wait for ever");
    return n;
}

/* Room for another entry, zeroed; NULL: the queue is full. With the lock held. */
static struct io_uring_sqe *next_entry(struct uring_port *p)
{
    struct io_uring_sq *sq = &p->ring.sq;
    struct io_uring_sqe *e;

    /* Acquire: pairs with the kernel's release of `khead` once it has read an entry. */
    if (p->sq_tail - whorl__load_acquire(sq->khead) >= p->sq_entries)
        return NULL;
    e = &sq->sqes[p->sq_tail & (p->sq_entries - 1)];
    memset(e, 0, sizeof *e);
    p->sq_tail++;
    return e;
}

/* Makes the entries that the kernel did not take pending operations again, in order, so that one is either in the kernel or can be
 * withdrawn. With the lock held. */
static void take_back(struct uring_port *p, uint32_t head)
{
    while (p->sq_tail != head) {
        uint64_t user_data = p->ring.sq.sqes[--p->sq_tail & (p->sq_entries - 1)].user_data;
        struct whorl__op *op = (struct whorl__op *)(uintptr_t)user_data;

        if (user_data == WAKE_EVENT) {
            p->armed = false;
            continue;
        }
        op->stage = PENDING;
        op->next = p->first;
        if (!p->first)
            p->last = &op->next;
        p->first = op;
        whorl__store_relaxed(&p->base.pending, p->base.pending + 1);
    }
    whorl__store_release(p->ring.sq.ktail, p->sq_tail);
}

/* Gives the kernel all entries that are filled in. False: it did not take them all (-EAGAIN, -EBUSY: it is short of memory, or
 * wants its completions reaped first); the next poll tries again. With the lock held. */
static bool submit_entries(struct uring_port *p, unsigned flags)
{
    uint32_t head = whorl__load_acquire(p->ring.sq.khead);

    whorl__store_release(p->ring.sq.ktail, p->sq_tail); /* pairs with the kernel's acquire */
    if (p->sq_tail == head && !flags)
        return true;
    whorl__pause_at(RING_SUBMIT);
    enter(p, p->sq_tail - head, flags);
    head = whorl__load_acquire(p->ring.sq.khead); /* pairs with the kernel's release */
    if (head == p->sq_tail)
        return true;
    take_back(p, head);
    return false;
}

static void fill(struct io_uring_sqe *e, struct whorl__op *op)
{
    e->opcode = opcodes[op->code];
    e->fd = op->fd;
    e->off = op->offset;
    e->addr = (uint64_t)(uintptr_t)op->address;
    e->len = op->length;
    e->rw_flags = (int)op->flags;
    e->user_data = (uint64_t)(uintptr_t)op;
}

static void arm_event(struct uring_port *p)
{
    struct io_uring_sqe *e = p->armed ? NULL : next_entry(p);

    if (!e)
        return;
    e->opcode = IORING_OP_POLL_ADD;
    e->fd = p->event;
    e->len = IORING_POLL_ADD_MULTI;
    e->poll32_events = POLLIN;
    e->user_data = WAKE_EVENT;
    p->armed = true;
}

static void append(struct whorl__op ***last, struct whorl__op *op)
{
    op->next = NULL;
    **last = op;
    *last = &op->next;
}

/* Makes `op` finished without the kernel. */
static void refuse(struct uring_port *p, struct whorl__op *op)
{
    op->result = -ECANCELED;
    op->result_flags = 0;
    append(&p->refused_last, op);
}

/* Makes entries of what is pending. With the lock held. */
static void flush_pending(struct uring_port *p)
{
    arm_event(p);
    while (p->first) {
        struct whorl__op *op = p->first;
        bool closing = whorl__fd_closing(op->fd); /* U2 of io/fd.c */
        struct io_uring_sqe *e = closing ? NULL : next_entry(p);

        if (!e && !closing) { /* the queue is full */
            if (!submit_entries(p, 0))
                return;
            e = next_entry(p);
        }
        p->first = op->next;
        if (!p->first)
            p->last = &p->first;
        whorl__store_relaxed(&p->base.pending, p->base.pending - 1);
        whorl__pause_at(FD_U2);
        if (e) {
            op->stage = IN_FLIGHT;
            fill(e, op);
        } else {
            refuse(p, op);
        }
    }
}

/* Takes an event's count off, so that its poll may report the next. */
static void drain_event(struct uring_port *p, uint32_t flags)
{
    uint64_t count;

    whorl__sys_read(p->event, &count, sizeof count);
    if (!(flags & IORING_CQE_F_MORE)) /* as it does when the completion queue was full */
        p->armed = false;
}

static void finish(struct whorl__op *op)
{
    op->stage = IDLE;
    whorl__store_release(&op->port, NULL); /* pairs with the acquire in cancel */
}

/* Adds what has finished to a list. True: a wake-up was among it. With the lock held. */
static bool reap(struct uring_port *p, struct whorl__op ***last)
{
    bool woken = false;
    struct io_uring_cq *cq = &p->ring.cq;
    unsigned head = whorl__load_relaxed(cq->khead), mask = *cq->kring_mask;
    /* Acquire: pairs with the kernel's release of the tail; the entries before it are visible. */
    unsigned tail = whorl__load_acquire(cq->ktail);

    if (tail - head > REAP_MAX)
        tail = head + REAP_MAX;
    for (; head != tail; head++) {
        const struct io_uring_cqe *c = &cq->cqes[head & mask];
        struct whorl__op *op = (struct whorl__op *)(uintptr_t)c->user_data;

        woken |= c->user_data == WAKE_EVENT || c->user_data == WAKE_MESSAGE;
        if (c->user_data == WAKE_EVENT) {
            drain_event(p, c->flags);
        } else if (c->user_data != WAKE_MESSAGE) {
            op->result = c->res;
            op->result_flags = c->flags;
            finish(op);
            append(last, op);
        }
    }
    whorl__pause_at(RING_REAP);
    whorl__store_release(cq->khead, head); /* pairs with the kernel's acquire: the entries may be written again */
    return woken;
}

static struct whorl__op *poll_port(struct whorl__reactor *r, struct whorl__port *port, bool flush)
{
    struct uring_port *p = port_of(port);
    struct whorl__op *done = NULL, **last = &done;
    unsigned flags;

    (void)r;
    whorl__pause_at(RING_POLL);
    whorl__spin_lock(&p->lock);
    flags = whorl__load_relaxed(p->ring.sq.kflags) & port->flags_mask ? IORING_ENTER_GETEVENTS : 0;
    if (flush)
        flush_pending(p);
    submit_entries(p, flags);
    for (struct whorl__op *op = p->refused; op; op = op->next)
        finish(op);
    if (p->refused) {
        done = p->refused;
        last = p->refused_last;
        p->refused = NULL;
        p->refused_last = &p->refused;
    }
    reap(p, &last);
    whorl__spin_unlock(&p->lock);
    return done;
}

static void submit(struct whorl__reactor *r, struct whorl__port *port, struct whorl__op *op)
{
    struct uring_port *p = port_of(port);

    (void)r;
    whorl__pause_at(RING_ADD);
    whorl__spin_lock(&p->lock);
    op->stage = PENDING;
    whorl__store_release(&op->port, port); /* pairs with the acquire in cancel */
    append(&p->last, op);
    whorl__store_relaxed(&port->pending, port->pending + 1);
    whorl__spin_unlock(&p->lock);
}

/* Takes `op` out of the pending ones. With the lock held. */
static void withdraw(struct uring_port *p, struct whorl__op *op)
{
    struct whorl__op **at = &p->first;

    while (*at != op)
        at = &(*at)->next;
    *at = op->next;
    if (p->last == &op->next)
        p->last = at;
    whorl__store_relaxed(&p->base.pending, p->base.pending - 1);
    op->result = -ECANCELED;
    op->result_flags = 0;
    finish(op);
}

/* 0, or that nothing was found (-ENOENT), or that it is too late: the operation's own completion tells all there is to know. */
static int cancel_in_kernel(struct uring_port *p, uint64_t user_data, int fd, unsigned flags)
{
    struct io_uring_sync_cancel_reg request;

    memset(&request, 0, sizeof request);
    request.addr = user_data;
    request.fd = fd;
    request.flags = flags;
    return io_uring_register_sync_cancel(&p->ring, &request); /* timeout 0: it does not wait */
}

/* Locks the port that `op` is in; NULL: it is in none. */
static struct uring_port *lock_port_of(struct whorl__op *op)
{
    for (;;) {
        struct whorl__port *port = whorl__load_acquire(&op->port); /* pairs with the releases in submit and finish */

        if (!port)
            return NULL;
        whorl__pause_at(RING_CANCEL);
        whorl__spin_lock(&port_of(port)->lock);
        if (whorl__load_relaxed(&op->port) == port)
            return port_of(port);
        whorl__spin_unlock(&port_of(port)->lock);
    }
}

static bool cancel(struct whorl__reactor *r, struct whorl__op *op)
{
    struct uring_port *p = lock_port_of(op);
    bool withdrawn;

    (void)r;
    if (!p)
        return false;
    whorl__add_relaxed(&p->base.cancels, 1);
    withdrawn = op->stage == PENDING;
    if (withdrawn)
        withdraw(p, op);
    else if (op->stage == IN_FLIGHT)
        cancel_in_kernel(p, (uint64_t)(uintptr_t)op, -1, 0);
    whorl__spin_unlock(&p->lock);
    return withdrawn;
}

static struct whorl__op *cancel_fd(struct whorl__reactor *r, int fd)
{
    struct uring *u = uring_of(r);
    struct whorl__op *withdrawn = NULL, *next;

    for (int i = 0; i < u->count; i++) {
        struct uring_port *p = u->ports[i];

        whorl__pause_at(RING_CANCEL_FD);
        whorl__spin_lock(&p->lock);
        for (struct whorl__op *op = p->first; op; op = next) {
            next = op->next;
            if (op->fd != fd)
                continue;
            withdraw(p, op);
            op->next = withdrawn;
            withdrawn = op;
        }
        cancel_in_kernel(p, 0, fd, IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL);
        whorl__add_relaxed(&p->base.cancels, 1);
        whorl__spin_unlock(&p->lock);
    }
    return withdrawn;
}

/* False: poll first, something is not yet submitted, or has finished. */
static bool begin_waiting(struct uring_port *p)
{
    whorl__spin_lock(&p->lock);
    p->waiting = p->armed && !p->base.pending && !whorl__port_ready(&p->base);
    whorl__spin_unlock(&p->lock);
    return p->waiting;
}

static bool wait_port(struct whorl__reactor *r, struct whorl__port *port, whorl_ns deadline)
{
    struct uring_port *p = port_of(port);
    struct __kernel_timespec timeout;
    struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8};

    (void)r;
    if (deadline != WHORL_NEVER) {
        whorl_ns left = deadline - whorl__sys_now();

        if (left <= 0)
            return true;
        timeout.tv_sec = left / 1000000000;
        timeout.tv_nsec = left % 1000000000;
        arg.ts = (uint64_t)(uintptr_t)&timeout;
    }
    whorl__pause_at(RING_WAIT);
    if (!begin_waiting(p))
        return true;
    whorl__pause_at(RING_SLEEP);
    whorl__add_relaxed(&port->enters, 1);
    /* However it ends (-ETIME, -EINTR), the scheduler looks around again. Without the lock: others may cancel meanwhile. */
    io_uring_enter2((unsigned)p->ring.ring_fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (void *)&arg, sizeof arg);
    whorl__pause_at(RING_SLEPT);
    whorl__spin_lock(&p->lock);
    p->waiting = false;
    whorl__spin_unlock(&p->lock);
    return true;
}

static void wake(struct whorl__reactor *r, struct whorl__port *port)
{
    struct uring *u = uring_of(r);
    struct uring_port *p = port_of(port);
    uint64_t one = 1;

    if (u->send_msg_ring && whorl__uring_send_message(p->ring.ring_fd, WAKE_MESSAGE) == 0)
        return;
    while (write(p->event, &one, sizeof one) < 0 && errno == EINTR) /* on a worker's or foreign stack; nothing suspends here */
        continue;
}

/* All that is pending on `from` becomes pending on `to`. With both locks, so that whoever looks for an operation's port finds it on one
 * or the other. */
static uint32_t move_pending(struct uring_port *from, struct uring_port *to)
{
    uint32_t count = from->base.pending;

    for (struct whorl__op *op = from->first; op; op = op->next)
        whorl__store_release(&op->port, &to->base); /* pairs with the acquire in lock_port_of */
    whorl__pause_at(TAKE_MOVE);
    if (from->first) {
        *to->last = from->first;
        to->last = from->last;
        from->first = NULL;
        from->last = &from->first;
    }
    whorl__store_relaxed(&from->base.pending, 0u);
    whorl__store_relaxed(&to->base.pending, to->base.pending + count);
    return count;
}

static struct whorl__op *take_over(struct whorl__reactor *r, struct whorl__port *from, struct whorl__port *to, uint32_t *moved)
{
    struct uring_port *p = port_of(from), *own = port_of(to);
    struct whorl__op *done = NULL, **last = &done;
    bool woken;

    whorl__pause_at(TAKE_LOCK);
    if (!whorl__spin_trylock(&p->lock))
        return NULL;
    if (p->waiting) {
        whorl__spin_unlock(&p->lock);
        return NULL;
    }
    if (whorl__spin_trylock(&own->lock)) { /* two that take from each other both give up rather than wait */
        *moved += move_pending(p, own);
        whorl__spin_unlock(&own->lock);
    }
    whorl__pause_at(TAKE_REAP);
    woken = reap(p, &last);
    whorl__spin_unlock(&p->lock);
    if (woken) {
        whorl__pause_at(TAKE_WAKE);
        wake(r, from); /* that was not for us */
    }
    whorl__pause_at(TAKE_HAND_ON);
    return done;
}

static whorl_ns now(struct whorl__reactor *r)
{
    (void)r;
    return whorl__sys_now();
}

/* xorshift64: Marsaglia, "Xorshift RNGs", 2003. */
static uint32_t choose(struct whorl__reactor *r, struct whorl__port *port, uint32_t n)
{
    struct uring_port *p = port_of(port);

    (void)r;
    p->random ^= p->random << 13;
    p->random ^= p->random >> 7;
    p->random ^= p->random << 17;
    return (uint32_t)(((p->random >> 32) * n) >> 32);
}

static int set_up_ring(struct uring_port *p)
{
    struct io_uring_params params;
    unsigned entries = SQ_ENTRIES;
    int err;

    do {
        memset(&params, 0, sizeof params);
        params.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP |
                       IORING_SETUP_CQSIZE;
        params.cq_entries = entries * CQ_PER_SQ;
        err = io_uring_queue_init_params(entries, &p->ring, &params);
        entries /= 2; /* -ENOMEM: RLIMIT_MEMLOCK leaves room for less */
    } while (err == -ENOMEM && entries >= SQ_ENTRIES_MIN);
    if (err)
        return err;
    io_uring_ring_dontfork(&p->ring); /* if it fails the child of a fork has the memory, too, and leaves it alone */
    RING_TAKEN();
    p->sq_entries = params.sq_entries;
    for (unsigned i = 0; i < p->sq_entries; i++)
        p->ring.sq.array[i] = i;
    return 0;
}

static void port_close(struct whorl__reactor *r, struct whorl__port *port)
{
    struct uring *u = uring_of(r);

    for (int i = 0; i < u->count; i++)
        if (u->ports[i] == port_of(port))
            u->ports[i] = u->ports[--u->count];
    RING_GIVEN_UP();
    io_uring_queue_exit(&port_of(port)->ring);
    close(port_of(port)->event);
    free(port);
}

static int port_open(struct whorl__reactor *r, int index, struct whorl__port **out)
{
    struct uring *u = uring_of(r);
    struct uring_port *p = calloc(1, sizeof *p);
    int err = p ? set_up_ring(p) : -ENOMEM;

    if (err) {
        free(p);
        whorl__uring_explain(err, index);
        return err;
    }
    p->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->event < 0)
        err = -errno;
    else if (cancel_in_kernel(p, (uint64_t)(uintptr_t)p, -1, 0) != -ENOENT) {
        close(p->event);
        err = -EINVAL; /* before 6.0 nothing can be cancelled so */
    }
    if (err) {
        io_uring_queue_exit(&p->ring);
        free(p);
        whorl__uring_explain(err, index);
        return err;
    }
    p->last = &p->first;
    p->refused_last = &p->refused;
    p->random = whorl__sys_random() | 1;
    p->base.done_head = p->ring.cq.khead;
    p->base.done_tail = p->ring.cq.ktail;
    p->base.flags = p->ring.sq.kflags;
    p->base.flags_mask = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    if (u->count == 0)
        u->send_msg_ring = !(u->disabled & WHORL__DISABLE_SEND_MSG_RING) && whorl__uring_probe_message(p->ring.ring_fd);
    u->ports[u->count++] = p;
    *out = &p->base;
    return 0;
}

/* Without descriptors nothing that a child may still call reaches the parent's rings. */
static void forked(struct whorl__reactor *r)
{
    struct uring *u = uring_of(r);

    for (int i = 0; i < u->count; i++) {
        struct uring_port *p = u->ports[i];

        close(p->ring.ring_fd);
        close(p->event);
        p->ring.ring_fd = p->ring.enter_ring_fd = p->event = -1;
    }
}

static const struct whorl__reactor_ops ops = {
    .name = "uring",
    .simulated = false,
    .port_open = port_open,
    .port_close = port_close,
    .forked = forked,
    .submit = submit,
    .cancel = cancel,
    .cancel_fd = cancel_fd,
    .poll = poll_port,
    .take_over = take_over,
    .wait = wait_port,
    .wake = wake,
    .now = now,
    .choose = choose,
};

struct whorl__reactor *whorl__uring_new(const struct whorl__config *config)
{
    struct uring *u = calloc(1, sizeof *u);

    if (!u)
        return NULL;
    u->base.ops = &ops;
    u->disabled = config->disable;
    return &u->base;
}
