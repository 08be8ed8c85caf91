/* SPDX-License-Identifier: MIT */
#include "io/op.h"
#include "io/sys.h"
#include "runtime/error.h"
#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <whorl/signal.h>

static int wait_for_signal(const int *signals, size_t count)
{
    struct whorl__request r = {.code = WHORL__OP_POLL, .flags = POLLIN};
    struct signalfd_siginfo info;
    struct whorl_task *t;
    ssize_t n = whorl__begin("whorl_signal_wait", &t);

    if (n)
        return (int)n;
    r.fd = whorl__sys_signalfd(signals, count);
    if (r.fd < 0)
        return r.fd;
    do {
        n = whorl__operate(t, &r, NULL);
        if (n >= 0)
            n = whorl__sys_read(r.fd, &info, sizeof info);
    } while (n == -EAGAIN || n == -EINTR); /* somebody else was faster */
    whorl__sys_close(r.fd);
    return n < 0 ? (int)n : (int)info.ssi_signo;
}

int whorl_signal_wait(const int *signals, size_t count)
{
    int n = wait_for_signal(signals, count);

    return n < 0 ? whorl__failed(n, "signal_wait", NULL) : n;
}
