/* SPDX-License-Identifier: MIT */
/* Any descriptor as something a task waits for: for what whorl has no call of its own, and for libraries that do their own I/O. */
#ifndef WHORL_FD_H
#define WHORL_FD_H

#include <poll.h> /* POLLIN, POLLOUT … */
#include <whorl/select.h>

WHORL_BEGIN_DECLS

/* Waits until descriptor `fd` has one of `events`, those of poll(2). Whether it blocks does not matter. Returns those that it has, and POLLERR and
 * POLLHUP, asked for or not; -EBADF; -ECANCELED, also when it is closed meanwhile by whorl_close; -ETIMEDOUT; -ENOMEM. Suspends. */
WHORL_API WHORL_MUST_USE int whorl_wait_fd(int fd, int events);

/* For whorl's own use. */
extern WHORL_API const struct whorl__case_kind whorl__case_kind_fd;

/* In a select (select.h): that `fd` has one of `events`. `result`: as whorl_wait_fd returns it. Each such case costs a small task while the select
 * waits. Never suspends. */
static inline struct whorl_case whorl_case_fd(int fd, int events)
{
    struct whorl_case c = whorl__case(&whorl__case_kind_fd, NULL, NULL);

    c.fd = fd;
    c.events = events;
    return c;
}

WHORL_END_DECLS

#endif
