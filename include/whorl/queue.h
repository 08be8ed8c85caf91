/* SPDX-License-Identifier: MIT */
/* Queues: work for whoever takes it next, and knowing when all of it is done.
 *
 *     while (whorl_queue_get(urls, &url) == 0) {
 *         fetch(url);
 *         whorl_queue_done(urls);
 *     }
 *
 * A queue is a channel (channel.h) with an order, which need not have a limit, and which counts what was put into it and is not yet done. As
 * there, items are copied, all of one size; any number of tasks, and OS threads, may put and get; who waits is served in the order of
 * coming; and what was cancelled has not happened. */
#ifndef WHORL_QUEUE_H
#define WHORL_QUEUE_H

#include <whorl/base.h>

struct whorl_queue;

/* Which item is next. */
enum whorl_queue_order {
    WHORL_QUEUE_FIFO, /* the one that has been in the queue longest */
    WHORL_QUEUE_LIFO  /* … shortest */
};

/* Less than, equal to, or greater than 0, as the item at `a` is before, level with, or behind the one at `b`. It is called with the queue's lock
 * held: it must not take long, nor suspend, nor use the queue. */
typedef int (*whorl_queue_compare)(const void *a, const void *b);

WHORL_BEGIN_DECLS

/* A queue of items of `size` bytes, `most` at a time; 0: without a limit. Returns NULL: no memory. whorl_queue_destroy frees it. Never suspends.
 * Callable from anywhere. */
WHORL_API WHORL_MUST_USE struct whorl_queue *whorl_queue_create(size_t size, size_t most, enum whorl_queue_order order);

/* The same where the next item is the one that `compare` puts before all others; of several that are level, the first that was put. A binary heap.
 * Never suspends. Callable from anywhere. */
WHORL_API WHORL_MUST_USE struct whorl_queue *whorl_queue_create_sorted(size_t size, size_t most, whorl_queue_compare compare);

/* Frees `queue`, which may be NULL, and the items that are still in it. Never suspends. Callable from anywhere. Aborts when somebody waits for it:
 * close it, let them end, then destroy it. */
WHORL_API void whorl_queue_destroy(struct whorl_queue *queue);

/* Puts the item at `item`, borrowed during the call, into the queue, or hands it to the getter that has waited longest. Returns 0; -EPIPE: the
 * queue was closed, before it or meanwhile; -ENOMEM; -ECANCELED or -ETIMEDOUT. Suspends while the queue is full. Callable from OS threads,
 * which block. */
WHORL_API int whorl_queue_put(struct whorl_queue *queue, const void *item);

/* Gets the next item into `item`. Returns 0; -EPIPE: the queue was closed, and nothing is left in it; -ECANCELED or -ETIMEDOUT. Suspends while the
 * queue is empty. Callable from OS threads, which block. */
WHORL_API WHORL_MUST_USE int whorl_queue_get(struct whorl_queue *queue, void *item);

/* Puts if it can be done without waiting. Returns as whorl_queue_put, or -EAGAIN. Never suspends. Callable from anywhere. */
WHORL_API WHORL_MUST_USE int whorl_queue_try_put(struct whorl_queue *queue, const void *item);

/* Gets likewise. Returns as whorl_queue_get, or -EAGAIN. Never suspends. Callable from anywhere. */
WHORL_API WHORL_MUST_USE int whorl_queue_try_get(struct whorl_queue *queue, void *item);

/* Reports that what was to be done for one item is done; to be called once for each that was got, if anybody joins the queue. Returns 0;
 * -EINVAL: as many have been reported as were put. Never suspends. Callable from anywhere. */
WHORL_API int whorl_queue_done(struct whorl_queue *queue);

/* Waits until all items that were put have been reported done, or dropped. Returns 0, -ECANCELED or -ETIMEDOUT. Suspends. Callable from OS
 * threads, which block. */
WHORL_API int whorl_queue_join(struct whorl_queue *queue);

/* Closes it: nothing more can be put, and what is in it can still be got. Whoever waits to put or to get gets -EPIPE. A second call changes
 * nothing. Never suspends. Callable from anywhere. */
WHORL_API void whorl_queue_close(struct whorl_queue *queue);

/* Closes it at once: what is in it is dropped, too, and counts as done. Each item is first passed to drop(item, arg), unless `drop` is NULL, by this
 * call, in no stated order. Returns how many were dropped. Never suspends, unless `drop` does. Callable from anywhere. */
WHORL_API size_t whorl_queue_close_now(struct whorl_queue *queue, void (*drop)(void *item, void *arg), void *arg);

/* How many items are in it just now. Never suspends. Callable from anywhere. */
WHORL_API size_t whorl_queue_length(struct whorl_queue *queue);

WHORL_END_DECLS

#endif
