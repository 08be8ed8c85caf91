/* SPDX-License-Identifier: MIT */
/* The null reactor: no kernel behind it. One OS thread plays all workers; the clock stands still while any task can run, then jumps
 * to the next moment at which something happens; whatever is left to chance in a real run is drawn from the seed. So the same
 * program with the same seed does the same, to the last switch.
 *
 * A nop is finished `offset` nanoseconds after it was submitted, or up to a quarter earlier or later, as the seed has it.
 * Cancelled, it is withdrawn at once or finishes with -ECANCELED a little later, or too late, with its own result. Other operations
 * need a kernel and are refused. */
#include "io/fd.h"
#include "io/op.h"
#include "io/reactors.h"
#include <errno.h>
#include <stdlib.h>

struct null {
    struct whorl__reactor base;
    uint64_t random; /* state of the generator */
    whorl_ns now;
    struct whorl__op *under_way; /* unordered; the op's own fields say whose and until when */
};

static const uint32_t zero;

static struct null *null_of(struct whorl__reactor *r)
{
    return (struct null *)r;
}

/* splitmix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. */
static uint64_t draw(struct null *n)
{
    uint64_t z = n->random += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static int port_open(struct whorl__reactor *r, int index, struct whorl__port **out)
{
    struct whorl__port *port = calloc(1, sizeof *port);

    (void)r;
    (void)index;
    if (!port)
        return -ENOMEM;
    port->done_head = port->done_tail = port->flags = &zero;
    *out = port;
    return 0;
}

static void port_close(struct whorl__reactor *r, struct whorl__port *port)
{
    (void)r;
    free(port);
}

static void forked(struct whorl__reactor *r)
{
    (void)r; /* nothing is shared */
}

/* Under way, `offset` is when it finishes and `result` what with. */
static void submit(struct whorl__reactor *r, struct whorl__port *port, struct whorl__op *op)
{
    struct null *n = null_of(r);
    whorl_ns quarter = (whorl_ns)(op->offset / 4), latency = (whorl_ns)op->offset;

    op->port = port;
    op->result_flags = 0;
    op->result = op->code == WHORL__OP_NOP ? 0 : whorl__fd_closing(op->fd) ? -ECANCELED : -EOPNOTSUPP;
    if (op->code != WHORL__OP_NOP)
        latency = 0;
    else if (quarter > 0)
        latency += (whorl_ns)(draw(n) % (uint64_t)(2 * quarter)) - quarter;
    op->offset = (uint64_t)(n->now + latency);
    op->next = n->under_way;
    n->under_way = op;
}

static struct whorl__op **find(struct null *n, struct whorl__op *op)
{
    struct whorl__op **at = &n->under_way;

    while (*at && *at != op)
        at = &(*at)->next;
    return at;
}

static bool cancel(struct whorl__reactor *r, struct whorl__op *op)
{
    struct null *n = null_of(r);
    struct whorl__op **at = find(n, op);

    if (!*at)
        return false;
    op->port->cancels++;
    switch (draw(n) % 3) {
    case 0:
        *at = op->next;
        op->result = -ECANCELED;
        op->port = NULL;
        return true;
    case 1:
        op->result = -ECANCELED;
        op->offset = (uint64_t)(n->now + (whorl_ns)(draw(n) % 1000));
        return false;
    default:
        return false;
    }
}

static struct whorl__op *cancel_fd(struct whorl__reactor *r, int fd)
{
    for (struct whorl__op *op = null_of(r)->under_way; op; op = op->next)
        if (op->code != WHORL__OP_NOP && op->fd == fd)
            op->result = -ECANCELED;
    return NULL;
}

static struct whorl__op *poll(struct whorl__reactor *r, struct whorl__port *port, bool flush)
{
    struct null *n = null_of(r);
    struct whorl__op *done = NULL, **at = &n->under_way;

    (void)flush; /* nothing is ever pending */
    while (*at) {
        struct whorl__op *op = *at;

        if (op->port == port && (whorl_ns)op->offset <= n->now) {
            *at = op->next;
            op->port = NULL;
            op->next = done;
            done = op;
        } else {
            at = &op->next;
        }
    }
    return done;
}

static bool wait(struct whorl__reactor *r, struct whorl__port *port, whorl_ns deadline)
{
    struct null *n = null_of(r);

    (void)port;
    for (struct whorl__op *op = n->under_way; op; op = op->next)
        if ((whorl_ns)op->offset < deadline)
            deadline = (whorl_ns)op->offset;
    if (deadline == WHORL_NEVER)
        return false;
    if (deadline > n->now)
        n->now = deadline;
    return true;
}

static void wake(struct whorl__reactor *r, struct whorl__port *port)
{
    (void)r;
    (void)port; /* simulated workers do not sleep */
}

static whorl_ns now(struct whorl__reactor *r)
{
    return null_of(r)->now;
}

static uint32_t choose(struct whorl__reactor *r, struct whorl__port *port, uint32_t count)
{
    (void)port;
    return (uint32_t)(draw(null_of(r)) % count);
}

static const struct whorl__reactor_ops ops = {
    .name = "null",
    .simulated = true,
    .port_open = port_open,
    .port_close = port_close,
    .forked = forked,
    .submit = submit,
    .cancel = cancel,
    .cancel_fd = cancel_fd,
    .poll = poll,
    .wait = wait,
    .wake = wake,
    .now = now,
    .choose = choose,
};

struct whorl__reactor *whorl__null_new(const struct whorl__config *config)
{
    struct null *n = calloc(1, sizeof *n);

    if (!n)
        return NULL;
    n->base.ops = &ops;
    n->random = config->seed;
    return &n->base;
}
