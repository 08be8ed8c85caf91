/* SPDX-License-Identifier: MIT */
/* Whatever happens first: one wait for several things, of which one is then done.
 *
 *     struct whorl_case cases[] = {
 *         whorl_case_recv(messages, &message),
 *         whorl_case_join(child, &result),
 *         whorl_case_at(whorl_after(WHORL_MS(50))),
 *     };
 *
 *     switch (whorl_select(cases, 3)) {
 *     case 0:
 *         if (cases[0].result == -EPIPE)
 *             …
 *
 * What has not been chosen has not happened: nothing was sent or received there, no task was joined. If several things can be done, chance
 * decides, all with the same probability. Cases for descriptors are in fd.h. */
#ifndef WHORL_SELECT_H
#define WHORL_SELECT_H

#include <string.h>
#include <whorl/waiters.h>

struct whorl__case_kind;
struct whorl_channel;
struct whorl_event;
struct whorl_future;
struct whorl_queue;

/* One of the things to wait for, made by the functions below. It may be used for several selects, one after the other. */
struct whorl_case {
    int result; /* of the one that was chosen: what the call that it stands for would have returned */

    /* The library's. */
    uint32_t turn; /* in the order of looking at them: another's index */
    const struct whorl__case_kind *kind;
    void *object; /* a channel, a task, an event; for a descriptor, the one that waits for it */
    void *item;   /* what to send, or where to put what came */
    whorl_ns when;
    int fd, events;
    struct whorl__waiter waiter;
    struct whorl__watch watch;
    uint32_t over; /* whoever the watch was for has let go of this; anyone, atomic */
};

WHORL_BEGIN_DECLS

/* Most cases of a select. */
#define WHORL_CASES_MAX 16000

/* Waits until one of the `count` cases of `cases` can be done, and does it. `cases` and what they point to are borrowed during the call.
 * Returns its index; its `result` says what came of it. -ECANCELED or -ETIMEDOUT: nothing has been done; likewise -ENOMEM, for those with
 * a time or a descriptor; -EINVAL: there are too many. Suspends, unless something can be done at once. Aborts outside a task. */
WHORL_API WHORL_MUST_USE int whorl_select(struct whorl_case *cases, size_t count);

/* The same without waiting: -EAGAIN: nothing can be done. Never suspends. Aborts outside a task. */
WHORL_API WHORL_MUST_USE int whorl_try_select(struct whorl_case *cases, size_t count);

/* Kinds of cases. */
extern WHORL_API const struct whorl__case_kind whorl__case_kind_send, whorl__case_kind_recv, whorl__case_kind_join,
    whorl__case_kind_at, whorl__case_kind_event, whorl__case_kind_future;

/* For whorl's own use. Never suspends. */
static inline struct whorl_case whorl__case(const struct whorl__case_kind *kind, void *object, void *item)
{
    struct whorl_case c;

    memset(&c, 0, sizeof c);
    c.kind = kind;
    c.object = object;
    c.item = item;
    return c;
}

/* To send the item at `item`, as whorl_channel_send. `result`: 0 or -EPIPE. Never suspends. */
static inline struct whorl_case whorl_case_send(struct whorl_channel *channel, const void *item)
{
    return whorl__case(&whorl__case_kind_send, channel, (void *)(uintptr_t)item);
}

/* To receive into `item`, as whorl_channel_recv. `result`: 0 or -EPIPE. Never suspends. */
static inline struct whorl_case whorl_case_recv(struct whorl_channel *channel, void *item)
{
    return whorl__case(&whorl__case_kind_recv, channel, item);
}

/* To get the next item of a queue into `item`, as whorl_queue_get. `result`: 0 or -EPIPE. Never suspends. */
static inline struct whorl_case whorl_case_get(struct whorl_queue *queue, void *item)
{
    return whorl__case(&whorl__case_kind_recv, queue, item); /* a queue begins with its channel */
}

/* To join `task`, storing what it returned in *result (unless NULL): then its handle is freed, as by whorl_join. `result` of the case: 0, or
 * -EDEADLK for the calling task itself. Never suspends. */
static inline struct whorl_case whorl_case_join(struct whorl_task *task, intptr_t *result)
{
    return whorl__case(&whorl__case_kind_join, task, result);
}

/* That `event` is set (event.h). `result`: 0. Never suspends. */
static inline struct whorl_case whorl_case_event(struct whorl_event *event)
{
    return whorl__case(&whorl__case_kind_event, event, NULL);
}

/* That `future` is set (future.h), storing its value in *value (unless NULL). `result`: 0, or the error that it has failed with.
 * Never suspends. */
static inline struct whorl_case whorl_case_future(struct whorl_future *future, intptr_t *value)
{
    return whorl__case(&whorl__case_kind_future, future, value);
}

/* That the clock shows `when` (time.h). `result`: 0. Never suspends. */
static inline struct whorl_case whorl_case_at(whorl_ns when)
{
    struct whorl_case c = whorl__case(&whorl__case_kind_at, NULL, NULL);

    c.when = when;
    return c;
}

WHORL_END_DECLS

#endif
