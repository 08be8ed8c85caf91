/* SPDX-License-Identifier: MIT */
/* The core of channels and queues: items of one size on their way from senders to receivers, under one lock.
 *
 * Of the buffer, those who wait to send and those who wait to receive, at most one side has to wait: while somebody waits to receive the
 * buffer is empty and nobody waits to send. (But for waiters of a select that has been decided elsewhere, and that has yet to take them off:
 * whoever comes across those drops them.) An item goes straight to a receiver, if one waits, and into the buffer otherwise; who receives
 * from a full buffer moves the item of the first waiting sender in.
 *
 * What is here is inline because it is the whole path of a send or receive that need not wait, and since a switch must not lie between
 * calls (see whorl__leave). */
#ifndef WHORL_RUNTIME_CHANNEL_H
#define WHORL_RUNTIME_CHANNEL_H

#include "runtime/waiter.h"
#include <errno.h>
#include <string.h>
#include <whorl/channel.h>

/* How the buffer is kept if not as a ring, first in, first out. With the lock; there is room, or something to take. */
struct whorl__order {
    void (*put)(struct whorl_channel *c, const void *item);
    void (*take)(struct whorl_channel *c, void *item);
};

/* What each item changes is in the first cache line, and what it only reads in the second: those are what two workers pull to and fro. */
struct whorl_channel {
    struct whorl__waiters receivers; /* its lock guards all of this */
    struct whorl__waiters senders;
    size_t length; /* items in the buffer */
    size_t first;  /* of a ring: the slot of the oldest */

    char *items __attribute__((aligned(WHORL__CACHE_LINE))); /* the buffer */
    size_t size;                                             /* of an item; constant */
    size_t room;                                             /* slots */
    size_t capacity;                                         /* how many slots there may be; constant */
    size_t stride;                                           /* of slots, in bytes; constant */
    const struct whorl__order *order;                        /* NULL: a ring; constant */
    bool closed;
    bool counted; /* it is a queue's, and counts in */

    size_t unfinished __attribute__((aligned(WHORL__CACHE_LINE))); /* items that were sent and not yet reported done */
} __attribute__((aligned(WHORL__CACHE_LINE)));

/* `room` slots now, up to `capacity` later. False: no memory. */
bool whorl__channel_init(struct whorl_channel *c, size_t size, size_t stride, size_t room, size_t capacity);
/* Frees the buffer. Aborts when somebody waits, as a sender, a receiver, or, if not NULL, as `other`; `call` is the public function. */
void whorl__channel_fini(struct whorl_channel *c, const struct whorl__waiter *other, const char *call);
/* Makes room for more. With the lock, which it leaves meanwhile. 0: look again; -ENOMEM. */
int whorl__channel_grow(struct whorl_channel *c);
/* Closes it, with the lock: appends those to be woken to a chain. */
void whorl__channel_shut(struct whorl_channel *c, struct whorl__waiter ***end);

static inline void whorl__channel_lock(struct whorl_channel *c)
{
    whorl__waiters_lock(&c->receivers);
}

static inline void whorl__channel_unlock(struct whorl_channel *c)
{
    whorl__waiters_unlock(&c->receivers);
}

/* Most items are a pointer or a number: those are moved without a call. */
static inline void whorl__item_copy(void *to, const void *from, size_t size)
{
    if (__builtin_expect(size == 8, 1))
        memcpy(to, from, 8);
    else if (size)
        memcpy(to, from, size);
}

static inline char *whorl__channel_slot(const struct whorl_channel *c, size_t i)
{
    return c->items + i * c->stride;
}

static inline void whorl__channel_put(struct whorl_channel *c, const void *item)
{
    size_t at = c->first + c->length;

    if (__builtin_expect(c->order != NULL, 0)) {
        c->order->put(c, item);
        return;
    }
    whorl__item_copy(whorl__channel_slot(c, at < c->room ? at : at - c->room), item, c->size);
    c->length++;
}

static inline void whorl__channel_take(struct whorl_channel *c, void *item)
{
    if (__builtin_expect(c->order != NULL, 0)) {
        c->order->take(c, item);
        return;
    }
    whorl__item_copy(item, whorl__channel_slot(c, c->first), c->size);
    c->first = c->first + 1 < c->room ? c->first + 1 : 0;
    c->length--;
}

/* With the lock: hands the item to a receiver, which is appended to a chain of those to be woken, or puts it into the buffer. 0, -EPIPE;
 * -EAGAIN: there is neither; -ENOBUFS: there may be more room, see whorl__channel_grow. */
static inline int whorl__channel_accept(struct whorl_channel *c, const void *item, struct whorl__waiter ***end)
{
    struct whorl__waiter *receiver;

    if (__builtin_expect(c->closed, 0))
        return -EPIPE;
    if ((receiver = whorl__waiters_claim(&c->receivers, end)) != NULL) {
        whorl__item_copy(receiver->item, item, c->size);
    } else if (c->length < c->room) {
        whorl__channel_put(c, item);
    } else {
        return c->room < c->capacity ? -ENOBUFS : -EAGAIN;
    }
    if (c->counted)
        c->unfinished++;
    return 0;
}

/* With the lock: the next item. 0, -EPIPE or -EAGAIN. A sender whose item has been taken is appended to a chain of those to be woken. */
static inline int whorl__channel_hand_out(struct whorl_channel *c, void *item, struct whorl__waiter ***end)
{
    struct whorl__waiter *sender = NULL;
    bool buffered = c->length > 0;

    if (buffered)
        whorl__channel_take(c, item);
    if (__builtin_expect(c->senders.first != NULL, 0))
        sender = whorl__waiters_claim(&c->senders, end);
    if (sender) {
        if (c->counted)
            c->unfinished++;
        if (buffered)
            whorl__channel_put(c, sender->item);
        else
            whorl__item_copy(item, sender->item, c->size);
    }
    return buffered || sender ? 0 : c->closed ? -EPIPE : -EAGAIN;
}

/* What a waiter's `item` says: where the item is, or is to be put; any other address if items have no bytes; NULL: the channel was closed. */
static inline void *whorl__channel_place(struct whorl_channel *c, const void *item)
{
    return c->size ? (void *)(uintptr_t)item : c;
}

/* The body of whorl_channel_send and whorl_queue_put; `call` is the name of the public function. */
__attribute__((always_inline)) static inline int whorl__channel_send(struct whorl_channel *c, const void *item, const char *call,
                                                                     const char *reason)
{
    struct whorl__waiter *chain = NULL, **end = &chain, me;
    struct whorl__worker *w;
    struct whorl_task *t = whorl__caller_may_suspend(call, &w);
    int err;

    whorl__channel_lock(c);
    while ((err = whorl__channel_accept(c, item, &end)) == -ENOBUFS && (err = whorl__channel_grow(c)) == 0)
        continue;
    if (err == -EAGAIN) {
        whorl__waiter_begin(&me, t);
        me.item = whorl__channel_place(c, item);
        whorl__waiters_append(&c->senders, &me);
        err = whorl__waiter_wait_under(&c->receivers, &c->senders, &me, reason, c);
        return err ? err : me.item ? 0 : -EPIPE;
    }
    whorl__channel_unlock(c);
    if (chain)
        whorl__waiters_open(chain);
    whorl__went_on(w);
    return err;
}

/* Of whorl_channel_recv and whorl_queue_get. */
__attribute__((always_inline)) static inline int whorl__channel_recv(struct whorl_channel *c, void *item, const char *call,
                                                                     const char *reason)
{
    struct whorl__waiter *chain = NULL, **end = &chain, me;
    struct whorl__worker *w;
    struct whorl_task *t = whorl__caller_may_suspend(call, &w);
    int err;

    whorl__channel_lock(c);
    err = whorl__channel_hand_out(c, item, &end);
    if (err == -EAGAIN) {
        whorl__waiter_begin(&me, t);
        me.item = whorl__channel_place(c, item);
        whorl__waiters_append(&c->receivers, &me);
        err = whorl__waiter_wait_under(&c->receivers, &c->receivers, &me, reason, c);
        return err ? err : me.item ? 0 : -EPIPE;
    }
    whorl__channel_unlock(c);
    if (chain)
        whorl__waiters_open(chain);
    whorl__went_on(w);
    return err;
}

/* Of the forms that never wait. */
static inline int whorl__channel_try_send(struct whorl_channel *c, const void *item)
{
    struct whorl__waiter *chain = NULL, **end = &chain;
    int err;

    whorl__channel_lock(c);
    while ((err = whorl__channel_accept(c, item, &end)) == -ENOBUFS && (err = whorl__channel_grow(c)) == 0)
        continue;
    whorl__channel_unlock(c);
    whorl__waiters_open(chain);
    return err;
}

static inline int whorl__channel_try_recv(struct whorl_channel *c, void *item)
{
    struct whorl__waiter *chain = NULL, **end = &chain;
    int err;

    whorl__channel_lock(c);
    err = whorl__channel_hand_out(c, item, &end);
    whorl__channel_unlock(c);
    whorl__waiters_open(chain);
    return err;
}

#endif
