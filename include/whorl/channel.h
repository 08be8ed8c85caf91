/* SPDX-License-Identifier: MIT */
/* Channels: items handed from task to task, each to one receiver, in the order of sending.
 *
 *     struct whorl_channel *lines = whorl_channel_create(sizeof(char *), 16);
 *
 *     while (whorl_channel_recv(lines, &line) == 0)
 *         print(line);
 *
 * A channel holds as many items as its capacity says; who sends more waits. With a capacity of 0 each send waits for a receive: both know then
 * that the other is there. Items are copied, all of one size.
 *
 * Any number of tasks may send and receive, of any runtime, and OS threads too, which then block. Who waits is served in the order of coming.
 * A send or receive that was cancelled has not happened. */
#ifndef WHORL_CHANNEL_H
#define WHORL_CHANNEL_H

#include <whorl/base.h>

struct whorl_channel;

WHORL_BEGIN_DECLS

/* A channel of items of `size` bytes, which may be 0 when what counts is that something was sent, with room for `capacity` of them.
 * Returns NULL: no memory. whorl_channel_destroy frees it. Never suspends. Callable from anywhere. */
WHORL_API WHORL_MUST_USE struct whorl_channel *whorl_channel_create(size_t size, size_t capacity);

/* Frees `channel`, which may be NULL, and the items that are still in it. Never suspends. Callable from anywhere. Aborts when somebody waits for
 * it: close it, let them end, then destroy it. */
WHORL_API void whorl_channel_destroy(struct whorl_channel *channel);

/* Sends the item at `item`, which is borrowed during the call (and may be NULL if items have no bytes): hands it to the receiver that has waited
 * longest, or else leaves it in the channel.
 * Returns 0; -EPIPE: the channel was closed, before it or meanwhile; -ECANCELED or -ETIMEDOUT. Unless it returns 0 nobody has received the
 * item. Suspends while there is neither a receiver nor room. Callable from OS threads, which block. */
WHORL_API int whorl_channel_send(struct whorl_channel *channel, const void *item);

/* Receives the next item into `item`.
 * Returns 0; -EPIPE: the channel was closed, and all that it held has been received; -ECANCELED or -ETIMEDOUT. Suspends while there is
 * nothing to receive. Callable from OS threads, which block. */
WHORL_API WHORL_MUST_USE int whorl_channel_recv(struct whorl_channel *channel, void *item);

/* Sends if it can be done without waiting. Returns as whorl_channel_send, or -EAGAIN. Never suspends. Callable from anywhere. */
WHORL_API WHORL_MUST_USE int whorl_channel_try_send(struct whorl_channel *channel, const void *item);

/* Receives likewise. Returns as whorl_channel_recv, or -EAGAIN. Never suspends. Callable from anywhere. */
WHORL_API WHORL_MUST_USE int whorl_channel_try_recv(struct whorl_channel *channel, void *item);

/* Closes it: nothing more can be sent, and what it holds can still be received. Whoever waits to send or to receive gets -EPIPE. A second call
 * changes nothing. Never suspends. Callable from anywhere. */
WHORL_API void whorl_channel_close(struct whorl_channel *channel);

/* How many items it holds just now; those that wait to be sent do not count. Never suspends. Callable from anywhere. */
WHORL_API size_t whorl_channel_length(struct whorl_channel *channel);

WHORL_END_DECLS

#endif
