/* SPDX-License-Identifier: MIT */
#include "io/uring_features.h"
#include "runtime/fatal.h"
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REGISTER_SEND_MSG_RING 31 /* IORING_REGISTER_SEND_MSG_RING */

int whorl__uring_send_message(int ring_fd, uint64_t user_data)
{
    struct io_uring_sqe e;

    memset(&e, 0, sizeof e);
    e.opcode = IORING_OP_MSG_RING; /* its sub-command 0: post user_data and a result */
    e.fd = ring_fd;
    e.off = user_data;
    return syscall(SYS_io_uring_register, -1, REGISTER_SEND_MSG_RING, &e, 1) < 0 ? -errno : 0;
}

bool whorl__uring_probe_message(int ring_fd)
{
    return whorl__uring_send_message(ring_fd, 0) == 0;
}

/* The value of kernel.io_uring_disabled, 0 where there is no such setting. */
static int disabled_by_sysctl(void)
{
    FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    int value = 0;

    if (f && fscanf(f, "%d", &value) != 1)
        value = 0;
    if (f)
        fclose(f);
    return value;
}

void whorl__uring_explain(int err, int index)
{
    int sysctl = disabled_by_sysctl();

    switch (err) {
    case -EPERM:
    case -EACCES:
        if (sysctl)
            whorl__say("io_uring is refused (EPERM): the setting kernel.io_uring_disabled is %d. Set it to 0 (as root: sysctl "
                       "kernel.io_uring_disabled=0)",
                       sysctl);
        else
            whorl__say("io_uring is refused (EPERM), most likely by the seccomp profile of a container. Allow io_uring_setup, "
                       "io_uring_enter and io_uring_register in it (docker: --security-opt seccomp=…)");
        break;
    case -ENOSYS:
        whorl__say("there is no io_uring here (ENOSYS): the kernel is older than 6.1, built without it, or a seccomp profile or "
                   "emulator hides it. Run on Linux 6.1 or later");
        break;
    case -EINVAL:
        whorl__say("this kernel's io_uring is too old: Linux 6.1 or later is needed");
        break;
    case -ENOMEM:
        whorl__say("no memory for the ring of worker %d: raise the limit on locked memory (ulimit -l), or run with fewer workers "
                   "(WHORL_WORKERS)",
                   index);
        break;
    case -EMFILE:
    case -ENFILE:
        whorl__say("no descriptor left for the ring of worker %d: raise the limit on open files (ulimit -n), or run with fewer "
                   "workers (WHORL_WORKERS)",
                   index);
        break;
    default:
        whorl__say("cannot set up the ring of worker %d: %s", index, strerror(-err));
        break;
    }
}
