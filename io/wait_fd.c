/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors. In a select each is waited for by a task of its own, since a task has one operation; the end of that one is what the
 * select stands by, and it is cancelled and has ended before the select returns. */
#include "io/fd.h"
#include "io/op.h"
#include "io/sys.h"
#include "runtime/select.h"
#include <errno.h>
#include <whorl/fd.h>
#include <whorl/task.h>

static int wait_in(struct whorl_task *t, int fd, int events)
{
    struct whorl__request r = {.code = WHORL__OP_POLL, .fd = fd, .flags = (uint32_t)events};
    struct whorl__fd *entry;
    int ready = whorl__fd_hold(fd, &entry);

    if (ready)
        return ready;
    ready = whorl__operate(t, &r, NULL);
    whorl__fd_release(entry);
    return ready;
}

int whorl_wait_fd(int fd, int events)
{
    struct whorl_task *t;
    int err = whorl__begin("whorl_wait_fd", &t);

    return err ? err : wait_in(t, fd, events);
}

static bool attempt_fd(struct whorl_case *self)
{
    self->result = whorl__has_kernel() ? whorl__sys_poll(self->fd, self->events) : -EOPNOTSUPP;
    return self->result != 0;
}

static intptr_t help(void *arg)
{
    struct whorl_case *self = arg;

    return whorl_wait_fd(self->fd, self->events);
}

/* By its end, which also comes if it never gets a stack. */
static int stand_by_fd(struct whorl_case *self)
{
    static const struct whorl_spawn_options options = {.size = sizeof options, .name = "select"};

    self->object = whorl_spawn_with(help, self, &options);
    if (!self->object)
        return -ENOMEM;
    if (!whorl__case_watch(self, self->object))
        self->watch.ended(&self->watch); /* another worker was that fast */
    return 0;
}

static void leave_fd(struct whorl_case *self, bool chosen)
{
    struct whorl_task *helper = self->object;

    whorl__case_unwatch(self, helper);
    if (!chosen)
        whorl_cancel(helper);
    /* Whatever else is asked of the selecting task: the helper uses the case. */
    whorl__latch_wait(whorl__worker(), self->waiter.task, &helper->latch, "select", (uintptr_t)self, WHORL__WAIT_SYNC);
    if (chosen)
        self->result = (int)helper->result;
    whorl__record_put(whorl__worker(), helper);
}

const struct whorl__case_kind whorl__case_kind_fd = {.attempt = attempt_fd, .stand = stand_by_fd, .leave = leave_fd};
