/* SPDX-License-Identifier: MIT */
#ifndef BENCH_FORKJOIN_H
#define BENCH_FORKJOIN_H

/* The n-th Fibonacci number, by a fork for each call. In a task. */
long forkjoin_fib(long n);

#endif
