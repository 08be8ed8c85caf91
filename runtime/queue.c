/* SPDX-License-Identifier: MIT */
#include "runtime/queue.h"
#include <stdlib.h>

/* Last in, first out: the buffer is a stack. */

static void push(struct whorl_channel *c, const void *item)
{
    whorl__item_copy(whorl__channel_slot(c, c->length++), item, c->size);
}

static void pop(struct whorl_channel *c, void *item)
{
    whorl__item_copy(item, whorl__channel_slot(c, --c->length), c->size);
}

static const struct whorl__order stack = {.put = push, .take = pop};

/* Sorted: the buffer is a binary heap. Behind each item stands its number, which decides between those that are level. */

static size_t numbered(size_t size)
{
    size_t align = sizeof(uint64_t);

    return (size + align - 1) / align * align + sizeof(uint64_t);
}

static uint64_t *number_of(const struct whorl_queue *q, char *slot)
{
    return (uint64_t *)(void *)(slot + q->core.stride - sizeof(uint64_t));
}

static bool is_before(const struct whorl_queue *q, const void *a, uint64_t number_a, char *b)
{
    int order = q->compare(a, b);

    return order < 0 || (order == 0 && number_a < *number_of(q, b));
}

static void insert(struct whorl_channel *c, const void *item)
{
    struct whorl_queue *q = (struct whorl_queue *)c;
    uint64_t number = q->puts++;
    size_t hole = c->length++;

    while (hole > 0 && is_before(q, item, number, whorl__channel_slot(c, (hole - 1) / 2))) {
        memcpy(whorl__channel_slot(c, hole), whorl__channel_slot(c, (hole - 1) / 2), c->stride);
        hole = (hole - 1) / 2;
    }
    whorl__item_copy(whorl__channel_slot(c, hole), item, c->size);
    *number_of(q, whorl__channel_slot(c, hole)) = number;
}

static void take_least(struct whorl_channel *c, void *item)
{
    struct whorl_queue *q = (struct whorl_queue *)c;
    size_t hole = 0, child;
    char *last, *least;

    whorl__item_copy(item, whorl__channel_slot(c, 0), c->size);
    last = whorl__channel_slot(c, --c->length);
    while ((child = 2 * hole + 1) < c->length) {
        least = whorl__channel_slot(c, child);
        if (child + 1 < c->length && !is_before(q, least, *number_of(q, least), least + c->stride)) {
            child++;
            least += c->stride;
        }
        if (is_before(q, last, *number_of(q, last), least))
            break;
        memcpy(whorl__channel_slot(c, hole), least, c->stride);
        hole = child;
    }
    if (hole != c->length)
        memcpy(whorl__channel_slot(c, hole), last, c->stride);
}

static const struct whorl__order heap = {.put = insert, .take = take_least};

static struct whorl_queue *create(size_t size, size_t stride, size_t most, const struct whorl__order *order,
                                  whorl_queue_compare compare)
{
    struct whorl_queue *q = aligned_alloc(WHORL__CACHE_LINE, sizeof *q);

    if (!q)
        return NULL;
    *q = (struct whorl_queue){.compare = compare};
    if (stride < size || !whorl__channel_init(&q->core, size, stride, 0, most ? most : SIZE_MAX)) {
        free(q);
        return NULL;
    }
    q->core.order = order;
    q->core.counted = true;
    return q;
}

struct whorl_queue *whorl_queue_create(size_t size, size_t most, enum whorl_queue_order order)
{
    if (order != WHORL_QUEUE_FIFO && order != WHORL_QUEUE_LIFO)
        whorl__misuse("whorl_queue_create was given the order %d, which is none", (int)order);
    return create(size, size, most, order == WHORL_QUEUE_LIFO ? &stack : NULL, NULL);
}

struct whorl_queue *whorl_queue_create_sorted(size_t size, size_t most, whorl_queue_compare compare)
{
    if (!compare)
        whorl__misuse("whorl_queue_create_sorted was given no function that compares");
    return create(size, numbered(size), most, &heap, compare);
}

void whorl_queue_destroy(struct whorl_queue *q)
{
    if (!q)
        return;
    whorl__channel_fini(&q->core, q->joiners.first, "whorl_queue_destroy");
    free(q);
}

int whorl_queue_put(struct whorl_queue *q, const void *item)
{
    return whorl__channel_send(&q->core, item, "whorl_queue_put", "put into queue");
}

int whorl_queue_get(struct whorl_queue *q, void *item)
{
    return whorl__channel_recv(&q->core, item, "whorl_queue_get", "get from queue");
}

int whorl_queue_try_put(struct whorl_queue *q, const void *item)
{
    return whorl__channel_try_send(&q->core, item);
}

int whorl_queue_try_get(struct whorl_queue *q, void *item)
{
    return whorl__channel_try_recv(&q->core, item);
}

/* With the lock: `count` items are done. Those who waited for the last are appended to a chain. */
static void finish(struct whorl_queue *q, size_t count, struct whorl__waiter ***end)
{
    q->core.unfinished -= count;
    if (q->core.unfinished == 0)
        while (whorl__waiters_claim(&q->joiners, end))
            continue;
}

int whorl_queue_done(struct whorl_queue *q)
{
    struct whorl__waiter *chain = NULL, **end = &chain;
    bool any;

    whorl__channel_lock(&q->core);
    any = q->core.unfinished > 0;
    if (any)
        finish(q, 1, &end);
    whorl__channel_unlock(&q->core);
    whorl__waiters_open(chain);
    return any ? 0 : -EINVAL;
}

int whorl_queue_join(struct whorl_queue *q)
{
    struct whorl__waiter me;

    whorl__waiter_init(&me, "whorl_queue_join");
    whorl__channel_lock(&q->core);
    if (q->core.unfinished == 0) {
        whorl__channel_unlock(&q->core);
        return 0;
    }
    whorl__waiters_append(&q->joiners, &me);
    return whorl__waiter_wait_under(&q->core.receivers, &q->joiners, &me, "queue to be done", q);
}

void whorl_queue_close(struct whorl_queue *q)
{
    whorl_channel_close(&q->core);
}

size_t whorl_queue_close_now(struct whorl_queue *q, void (*drop)(void *item, void *arg), void *arg)
{
    struct whorl__waiter *chain = NULL, **end = &chain;
    struct whorl_channel rest;

    whorl__channel_lock(&q->core);
    whorl__channel_shut(&q->core, &end);
    rest = q->core;
    /* Nothing is ever put again, so that no buffer is needed. */
    q->core.items = NULL;
    q->core.length = q->core.room = 0;
    finish(q, rest.length, &end);
    whorl__channel_unlock(&q->core);
    whorl__waiters_open(chain);
    for (size_t i = 0; drop && i < rest.length; i++)
        drop(whorl__channel_slot(&rest, (rest.first + i) % rest.room), arg);
    free(rest.items);
    return rest.length;
}

size_t whorl_queue_length(struct whorl_queue *q)
{
    return whorl_channel_length(&q->core);
}
