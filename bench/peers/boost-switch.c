/* SPDX-License-Identifier: MIT */
/* The context switch of Boost.Context, the usual yardstick: a thread and one coroutine hand each other the processor. */
#include "../clock.h"
#include "../options.h"
#include "../report.h"

#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>

/* The C interface of libboost_context, which its C++ headers declare in a namespace. */
typedef void *fcontext_t;
struct transfer {
    fcontext_t from;
    void *data;
};
extern struct transfer jump_fcontext(fcontext_t const to, void *data);
extern fcontext_t make_fcontext(void *stack_top, size_t size, void (*entry)(struct transfer));

enum { STACK_SIZE = 64 * 1024 };

static void answer(struct transfer t)
{
    for (;;)
        t = jump_fcontext(t.from, NULL);
}

static double switch_ns(fcontext_t *coroutine, long round_trips)
{
    int64_t start = bench_now();

    for (long i = 0; i < round_trips; i++)
        *coroutine = jump_fcontext(*coroutine, NULL).from;
    return (double)(bench_now() - start) / (double)round_trips / 2;
}

int main(int argc, char **argv)
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
        .name = "boost-switch", .what = "Measures the context switch of Boost.Context.", .options = options};
    double samples[BENCH_RUNS_MAX];
    struct bench_spread ns;
    fcontext_t coroutine;
    char *stack;

    bench_options_read(&command, argc, argv);
    stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        perror("boost-switch: no stack");
        return 1;
    }
    coroutine = make_fcontext(stack + STACK_SIZE, STACK_SIZE, answer);
    switch_ns(&coroutine, iterations / 10 + 1);
    for (long i = 0; i < runs; i++)
        samples[i] = switch_ns(&coroutine, iterations);
    ns = bench_spread_of(samples, (size_t)runs);
    munmap(stack, STACK_SIZE);

    bench_report_begin("boost-switch");
    bench_report_count("runs", runs);
    bench_report_count("iterations", iterations);
    bench_report_spread("ns_per_op", &ns);
    bench_report_end();
    return 0;
}
