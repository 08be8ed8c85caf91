/* SPDX-License-Identifier: MIT */
/* Echoing beside fork-join that never waits: the way to the connections is in the forks themselves. */
#include "beside.h"
#include "clock.h"
#include "forkjoin.h"
#include "workload.h"

static int fib_once(struct bench_beside *beside, double *ns)
{
    int64_t start = bench_now();

    forkjoin_fib(beside->n);
    *ns = (double)(bench_now() - start);
    return 0;
}

int bench_busy_echo(int argc, char **argv)
{
    struct bench_beside beside = {.name = "busy-echo",
                                  .what = "Measures connections that echo while all workers compute Fibonacci numbers by forks.",
                                  .n = 36,
                                  .n_max = 60,
                                  .once = fib_once,
                                  .connections = 50,
                                  .rate = 2000};

    return bench_beside_run(argc, argv, &beside);
}
