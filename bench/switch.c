/* SPDX-License-Identifier: MIT */
/* The runtime's context switch alone: a thread and one coroutine hand each other the processor. What it saves includes the
 * floating point control words, as in every switch between tasks. */
#include "clock.h"
#include "options.h"
#include "report.h"
#include "workload.h"

#include "runtime/context.h"

#include <stdio.h>
#include <sys/mman.h>

enum { STACK_SIZE = 64 * 1024 };

struct pair {
    struct whorl__context thread, coroutine;
};

static void answer(void *arg)
{
    struct pair *pair = arg;

    for (;;)
        whorl__context_switch(&pair->coroutine, &pair->thread, NULL);
}

static double switch_ns(struct pair *pair, long round_trips)
{
    int64_t start = bench_now();

    for (long i = 0; i < round_trips; i++)
        whorl__context_switch(&pair->thread, &pair->coroutine, pair);
    return (double)(bench_now() - start) / (double)round_trips / 2;
}

int bench_switch(int argc, char **argv)
{
    long runs = 5, iterations = 10000000;
    const struct bench_option options[] = {
        {.name = "runs", .help = "measurements, whose median counts", .number = &runs, .min = 1, .max = BENCH_RUNS_MAX},
        {.name = "iterations",
         .help = "switches to the coroutine and back in each",
         .number = &iterations,
         .min = 1,
         .max = 1L << 40},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench switch", .what = "Measures the bare context switch.", .options = options};
    double samples[BENCH_RUNS_MAX];
    struct bench_spread ns;
    struct pair pair;
    void *stack;

    bench_options_read(&command, argc, argv);
    stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        perror("whorl-bench switch: no stack");
        return 1;
    }
    whorl__context_init_thread(&pair.thread);
    whorl__context_init(&pair.coroutine, stack, STACK_SIZE, answer);

    switch_ns(&pair, iterations / 10 + 1); /* the first ones find cold caches and a slow clock */
    for (long i = 0; i < runs; i++)
        samples[i] = switch_ns(&pair, iterations);
    ns = bench_spread_of(samples, (size_t)runs);

    whorl__context_fini(&pair.coroutine);
    whorl__context_fini(&pair.thread);
    munmap(stack, STACK_SIZE);

    bench_report_begin("switch");
    bench_report_count("runs", runs);
    bench_report_count("iterations", iterations);
    bench_report_spread("ns_per_op", &ns);
    bench_report_end();
    return 0;
}
