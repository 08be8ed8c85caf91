/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CPUTIME_H
#define BENCH_CPUTIME_H

#include <stdint.h>
#include <sys/types.h>

/* The CPU time that the process `pid` has used since it started, in ns: all its threads, those that have ended and the kernel's
 * workers for it included. 0 stands for the calling process. Returns -ESRCH when there is no such process. */
int64_t bench_cputime(pid_t pid);

#endif
