/* SPDX-License-Identifier: MIT */
#include "cputime.h"

#include <errno.h>
#include <time.h>

int64_t bench_cputime(pid_t pid)
{
    struct timespec t;
    clockid_t clock;
    int err;

    /* The kernel keeps a CPU clock per process, which counts what the scheduler measured and not ticks as /proc/PID/stat does. */
    err = clock_getcpuclockid(pid, &clock);
    if (err)
        return -err;
    if (clock_gettime(clock, &t) < 0)
        return errno == EINVAL ? -ESRCH : -errno; /* it has ended between the two calls */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
