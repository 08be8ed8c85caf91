/* SPDX-License-Identifier: MIT */
/* Whose a port is: its owner's, who polls it and sleeps on it, or a thief's, who takes over what the owner neglects. io/uring.c as it
 * is, on a kernel that is made up here: what an owner submits finishes at once or later; a wake-up is a completion, or counts an event
 * up, of which a poll tells; who sleeps on a ring is woken by a completion there and sleeps on if somebody else has reaped it.
 *
 * Of the kernel's words only the tail of the completions is one of the model; the rest is plain memory, which one thread at a time
 * looks at, or a mistake is noticed. */
#include "tests/unit/model.h"

#include <string.h>
#include <unistd.h>

/* Of the eventfd. */
static ssize_t write_event(int fd, const void *count, size_t size);
#define write write_event
#include "io/uring.c"
#undef write

enum { OWNER, THIEF, OTHER }; /* threads; the first two have a port */
enum { ENTRIES = 4, COMPLETIONS = 64, TAKES = 4, HEAD_START = 24 };

/* What the kernel has of a port. */
static struct side {
    unsigned sq_head, sq_tail, sq_flags, sq_array[ENTRIES], cq_head, cq_tail, cq_mask;
    struct io_uring_sqe entries[ENTRIES];
    _Alignas(struct io_uring_cqe) char completions[COMPLETIONS * sizeof(struct io_uring_cqe)]; /* which ends in a flexible array */
    struct whorl__op *in_flight;
    uint64_t events; /* the count of the eventfd */
    bool polled;     /* a poll of it stands */
    uint32_t door;   /* a word of the model, as is cq_tail */
} sides[2];

static struct uring reactor;
static struct uring_port ports[2];
static struct whorl__op operation;
static int finished; /* times */
static int wanted;   /* a word of the model: there is something for the owner to do */

/* Mistakes that must be noticed. */
static bool keeps_wake_ups, takes_from_sleepers;

/* The kernel, and its lock: who enters sees what all those before have done. */

static void kernel_enter(int i)
{
    whorl__add_acq_rel(&sides[i].door, 1u);
}

static void kernel_complete(int i, uint64_t user_data, int result, unsigned flags)
{
    struct side *k = &sides[i];
    struct io_uring_cqe *c;

    kernel_enter(i);
    c = (struct io_uring_cqe *)k->completions + (k->cq_tail & k->cq_mask);
    c->user_data = user_data;
    c->res = result;
    c->flags = flags;
    whorl__store_release(&k->cq_tail, k->cq_tail + 1);
    model_wake(i);
}

/* The poll of the eventfd tells of it, and may be over with that. */
static void kernel_tell_of_events(int i)
{
    struct side *k = &sides[i];

    if (!k->polled || k->events == 0)
        return;
    k->polled = model_choose(2) == 0;
    kernel_complete(i, WAKE_EVENT, 1, k->polled ? IORING_CQE_F_MORE : 0);
}

static void kernel_accept(int i, const struct io_uring_sqe *e)
{
    if (e->user_data == WAKE_EVENT) {
        sides[i].polled = true;
        kernel_tell_of_events(i);
    } else if (model_choose(2) == 0) {
        kernel_complete(i, e->user_data, 0, 0);
    } else {
        sides[i].in_flight = (struct whorl__op *)(uintptr_t)e->user_data;
    }
}

/* What was not finished at once is later: whoever enters the kernel may be the one to notice. */
static void kernel_finish(int i)
{
    struct whorl__op *op = sides[i].in_flight;

    sides[i].in_flight = NULL;
    if (op)
        kernel_complete(i, (uint64_t)(uintptr_t)op, 0, 0);
}

int io_uring_enter2(unsigned fd, unsigned submit, unsigned want, unsigned flags, sigset_t *arg, size_t size)
{
    struct side *k = &sides[fd];
    unsigned taken = submit;

    (void)flags;
    (void)arg;
    (void)size;
    kernel_enter((int)fd);
    kernel_finish((int)fd);
    for (; submit > 0; submit--)
        kernel_accept((int)fd, &k->entries[k->sq_head++ & (ENTRIES - 1)]);
    if (want > 0 && takes_from_sleepers)
        ports[fd].waiting = false;
    while (want > 0 && k->cq_head == k->cq_tail)
        model_sleep((int)fd);
    return (int)taken;
}

int io_uring_register_sync_cancel(struct io_uring *ring, struct io_uring_sync_cancel_reg *request)
{
    struct whorl__op *op = sides[ring->ring_fd].in_flight;

    if (!op || op != (struct whorl__op *)(uintptr_t)request->addr)
        return -ENOENT;
    sides[ring->ring_fd].in_flight = NULL;
    kernel_complete(ring->ring_fd, request->addr, -ECANCELED, 0);
    return 0;
}

int whorl__uring_send_message(int fd, uint64_t user_data)
{
    if (!(keeps_wake_ups && model_thread() == THIEF))
        kernel_complete(fd, user_data, 0, 0);
    return 0;
}

static ssize_t write_event(int fd, const void *count, size_t size)
{
    (void)count;
    if (!(keeps_wake_ups && model_thread() == THIEF)) {
        kernel_enter(fd);
        sides[fd].events++;
        kernel_tell_of_events(fd);
    }
    return (ssize_t)size;
}

ssize_t whorl__sys_read(int fd, void *buffer, size_t size)
{
    kernel_enter(fd);
    *(uint64_t *)buffer = sides[fd].events;
    sides[fd].events = 0;
    return (ssize_t)size;
}

/* What else io/uring.c asks of others. */

bool whorl__fd_closing(int fd)
{
    (void)fd;
    return false;
}

_Noreturn void whorl__fatal(const char *format, ...)
{
    model_expect(false, format);
    abort();
}

whorl_ns whorl__sys_now(void)
{
    return 0;
}

uint64_t whorl__sys_random(void)
{
    return 1;
}

void whorl__uring_explain(int err, int index)
{
    (void)err;
    (void)index;
}

bool whorl__uring_probe_message(int fd)
{
    (void)fd;
    return true;
}

int io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    (void)entries;
    (void)ring;
    (void)params;
    return -ENOSYS; /* the rings are made by set_up_port */
}

void io_uring_queue_exit(struct io_uring *ring)
{
    (void)ring;
}

/* Setting up. */

static void set_up_port(int i)
{
    struct uring_port *p = &ports[i];
    struct side *k = &sides[i];

    k->cq_mask = COMPLETIONS - 1;
    p->ring.ring_fd = p->event = i;
    p->ring.sq.khead = &k->sq_head;
    p->ring.sq.ktail = &k->sq_tail;
    p->ring.sq.kflags = &k->sq_flags;
    p->ring.sq.array = k->sq_array;
    p->ring.sq.sqes = k->entries;
    p->ring.cq.khead = &k->cq_head;
    p->ring.cq.ktail = &k->cq_tail;
    p->ring.cq.kring_mask = &k->cq_mask;
    p->ring.cq.cqes = (struct io_uring_cqe *)k->completions;
    p->sq_entries = ENTRIES;
    p->base.done_head = &k->cq_head;
    p->base.done_tail = &k->cq_tail;
    p->base.flags = &k->sq_flags;
    p->last = &p->first;
    p->refused_last = &p->refused;
    model_lock(&p->lock);
    model_word(&k->door, sizeof k->door);
    model_word(&k->cq_tail, sizeof k->cq_tail);
    reactor.ports[i] = p;
}

static void set_up(bool with_events)
{
    memset(sides, 0, sizeof sides);
    memset(ports, 0, sizeof ports);
    memset(&operation, 0, sizeof operation);
    memset(&reactor, 0, sizeof reactor);
    finished = wanted = 0;
    keeps_wake_ups = takes_from_sleepers = false;
    reactor.count = 2;
    reactor.send_msg_ring = !with_events;
    for (int i = 0; i < 2; i++)
        set_up_port(i);
    model_word(&operation.port, sizeof operation.port);
    model_data(&operation);
    model_word(&wanted, sizeof wanted);
}

static void with_messages(void)
{
    set_up(false);
}

static void with_events(void)
{
    set_up(true);
}

static void keeping_messages(void)
{
    set_up(false);
    keeps_wake_ups = true;
}

static void keeping_events(void)
{
    set_up(true);
    keeps_wake_ups = true;
}

static void taking_from_sleepers(void)
{
    set_up(true);
    takes_from_sleepers = true;
}

/* What the threads do. */

static void end_all(struct whorl__op *done)
{
    struct whorl__op *next;

    for (; done; done = next) {
        next = done->next;
        model_data_write(done); /* a race if two have it, or if what its owner wrote is not visible */
        finished++;
    }
}

static void poll_own(int i)
{
    kernel_finish(i);
    end_all(poll_port(&reactor.base, &ports[i].base, true));
}

/* A thief, who then looks after what is its own now. */
static void take(void)
{
    uint32_t moved = 0;

    end_all(take_over(&reactor.base, &ports[OWNER].base, &ports[THIEF].base, &moved));
    for (int i = 0; i < 2 && moved > 0; i++)
        poll_own(THIEF);
}

/* The owner has the longest way until it sleeps. */
static void let_others_go_first(void)
{
    for (unsigned n = model_choose(HEAD_START); n > 0; n--)
        model_pause();
}

/* The owner sleeps until somebody wakes it. As in the wake protocol, it looks for what it is woken for before it sleeps, and who
 * wakes it has put that there before: to be woken is to see it. */
static void sleep_until_wanted(int index)
{
    switch (index) {
    case OWNER:
        poll_own(OWNER);
        while (!whorl__load_relaxed(&wanted)) {
            wait_port(&reactor.base, &ports[OWNER].base, WHORL_NEVER);
            poll_own(OWNER);
        }
        break;
    case THIEF:
        let_others_go_first();
        for (int i = 0; i < TAKES; i++)
            take();
        break;
    default:
        let_others_go_first();
        whorl__store_relaxed(&wanted, 1);
        wake(&reactor.base, &ports[OWNER].base);
        break;
    }
}

static void after_sleeping(void)
{
    model_expect(!ports[OWNER].waiting, "who has slept says that it does no more");
}

/* Submits an operation. Owner and thief go on until it has finished; a third one may cancel it. */
static void poll_until_finished(int index)
{
    if (index == OWNER) {
        model_data_write(&operation);
        submit(&reactor.base, &ports[OWNER].base, &operation);
        poll_own(OWNER);
    } else if (index == OTHER) {
        if (cancel(&reactor.base, &operation)) {
            operation.next = NULL;
            end_all(&operation);
        }
        return;
    }
    for (int i = 0; i < 3 && !finished; i++) {
        if (index == THIEF)
            take();
        poll_own(index);
    }
}

static void after_polling(void)
{
    for (int i = 0; i < 2; i++)
        poll_own(i);
    model_expect(finished == 1, "an operation finishes once");
}

/* The owner submits, polls once and sleeps; whoever has the operation then ends it, and the owner is woken if it is he. */
static void sleep_until_finished(int index)
{
    switch (index) {
    case OWNER:
        model_data_write(&operation);
        submit(&reactor.base, &ports[OWNER].base, &operation);
        poll_own(OWNER);
        while (!finished && !whorl__load_relaxed(&wanted)) {
            wait_port(&reactor.base, &ports[OWNER].base, WHORL_NEVER);
            poll_own(OWNER);
        }
        break;
    default:
        take();
        if (finished) {
            whorl__store_relaxed(&wanted, 1);
            wake(&reactor.base, &ports[OWNER].base);
        }
        break;
    }
}

const struct model_scenario model_scenarios[] = {
    {"a wake-up that a thief finds is sent again", 3, with_messages, sleep_until_wanted, after_sleeping},
    {"a wake-up by an event that a thief finds is sent again", 3, with_events, sleep_until_wanted, after_sleeping},
    {"an operation finishes once, whoever polls or cancels", 3, with_messages, poll_until_finished, after_polling},
    {"an operation ends the owner's sleep, or the thief does", 2, with_messages, sleep_until_finished, after_sleeping},
    {0},
};

const struct model_scenario model_mistakes[] = {
    {"a thief keeps a wake-up", 3, keeping_messages, sleep_until_wanted, after_sleeping},
    {"a thief keeps a wake-up by an event", 3, keeping_events, sleep_until_wanted, after_sleeping},
    {"a thief takes from an owner that sleeps", 3, taking_from_sleepers, sleep_until_wanted, after_sleeping},
    {0},
};

const char *const model_elsewhere = "kernel_";

#define LOCKED_AFTERWARDS "ports stay as long as their reactor, and what is in them is seen by who has their lock"

const struct model_excuse model_excuses[] = {
    {"submit: store &op->port", NULL, LOCKED_AFTERWARDS},
    {"finish: store &op->port", NULL, LOCKED_AFTERWARDS},
    {"move_pending: store &op->port", NULL, LOCKED_AFTERWARDS},
    {"lock_port_of: load &op->port", "relaxed", LOCKED_AFTERWARDS},
    {0},
};
