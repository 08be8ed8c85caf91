/* SPDX-License-Identifier: MIT */
#include "runtime/channel.h"
#include <stdlib.h>

/* Slots of a buffer that may grow, at first. */
#define ROOM_MIN 16

/* NULL: no memory, and never for want of anything to hold: a ring's slot has an address even if items have no bytes. */
static char *make_slots(size_t count, size_t stride)
{
    if (stride && count > PTRDIFF_MAX / stride)
        return NULL;
    return count && stride ? calloc(count, stride) : calloc(1, 1);
}

bool whorl__channel_init(struct whorl_channel *c, size_t size, size_t stride, size_t room, size_t capacity)
{
    char *items = make_slots(room, stride);

    if (!items)
        return false;
    *c = (struct whorl_channel){.items = items, .size = size, .stride = stride, .room = room, .capacity = capacity};
    return true;
}

void whorl__channel_fini(struct whorl_channel *c, const struct whorl__waiter *other, const char *call)
{
    bool waited;

    whorl__channel_lock(c);
    waited = c->receivers.first || c->senders.first || other;
    whorl__channel_unlock(c);
    if (waited)
        whorl__misuse("%s was given one that somebody waits for: close it and let those who wait end before", call);
    free(c->items);
}

/* From the ring, or the array that begins at its first slot, into a larger array. */
static void move(struct whorl_channel *c, char *items, size_t room)
{
    size_t behind = c->room - c->first, n = c->length < behind ? c->length : behind;

    if (c->length) {
        memcpy(items, whorl__channel_slot(c, c->first), n * c->stride);
        memcpy(items + n * c->stride, c->items, (c->length - n) * c->stride);
    }
    c->items = items;
    c->first = 0;
    c->room = room;
}

int whorl__channel_grow(struct whorl_channel *c)
{
    size_t from = c->room, room = from < ROOM_MIN ? ROOM_MIN : from * 2;
    char *items, *old = NULL;

    if (room > c->capacity)
        room = c->capacity;
    whorl__channel_unlock(c); /* an allocator may take its time */
    items = make_slots(room, c->stride);
    whorl__channel_lock(c);
    if (!items)
        return -ENOMEM;
    if (c->room == from) {
        old = c->items;
        move(c, items, room);
    } else {
        old = items; /* somebody was faster */
    }
    free(old);
    return 0;
}

static void shut_side(struct whorl__waiters *side, struct whorl__waiter ***end)
{
    struct whorl__waiter *waiter;

    while ((waiter = whorl__waiters_claim(side, end)) != NULL)
        waiter->item = NULL;
}

void whorl__channel_shut(struct whorl_channel *c, struct whorl__waiter ***end)
{
    c->closed = true;
    shut_side(&c->receivers, end);
    shut_side(&c->senders, end);
}

struct whorl_channel *whorl_channel_create(size_t size, size_t capacity)
{
    struct whorl_channel *c = aligned_alloc(WHORL__CACHE_LINE, sizeof *c);

    if (c && !whorl__channel_init(c, size, size, capacity, capacity)) {
        free(c);
        return NULL;
    }
    return c;
}

void whorl_channel_destroy(struct whorl_channel *c)
{
    if (!c)
        return;
    whorl__channel_fini(c, NULL, "whorl_channel_destroy");
    free(c);
}

int whorl_channel_send(struct whorl_channel *c, const void *item)
{
    return whorl__channel_send(c, item, "whorl_channel_send", "send to channel");
}

int whorl_channel_recv(struct whorl_channel *c, void *item)
{
    return whorl__channel_recv(c, item, "whorl_channel_recv", "receive from channel");
}

int whorl_channel_try_send(struct whorl_channel *c, const void *item)
{
    return whorl__channel_try_send(c, item);
}

int whorl_channel_try_recv(struct whorl_channel *c, void *item)
{
    return whorl__channel_try_recv(c, item);
}

void whorl_channel_close(struct whorl_channel *c)
{
    struct whorl__waiter *chain = NULL, **end = &chain;

    whorl__channel_lock(c);
    whorl__channel_shut(c, &end);
    whorl__channel_unlock(c);
    whorl__waiters_open(chain);
}

size_t whorl_channel_length(struct whorl_channel *c)
{
    size_t length;

    whorl__channel_lock(c);
    length = c->length;
    whorl__channel_unlock(c);
    return length;
}
