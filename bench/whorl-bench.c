/* SPDX-License-Identifier: MIT */
/* whorl-bench WORKLOAD [options]: measures one thing and prints one JSON object for each result. */
#include "workload.h"

#include <stdio.h>
#include <string.h>

static const struct workload {
    const char *name;
    const char *what;
    bench_workload_fn run;
} workloads[] = {
    {"switch", "the bare context switch, without the scheduler", bench_switch},
    {"yield", "two tasks of a worker that yield to each other", bench_yield},
    {"spawn", "spawn and join of a task that suspends once", bench_spawn},
    {"generator", "items that a generator hands to its consumer", bench_generator},
    {"blocking", "functions that do nothing, in the blocking pool", bench_blocking},
    {"channel", "round trips between two tasks, by channels", bench_channel},
    {"stream", "items that one task sends to another, by a channel", bench_stream},
    {"select", "choosing among four channels that all have something", bench_select},
    {"mutex", "a mutex that nobody else wants", bench_mutex},
    {"mutex-contended", "a mutex that tasks of all workers want", bench_mutex_contended},
    {"scope", "a scope with one child", bench_scope},
    {"cancel", "a task that is cancelled while it waits, and joined", bench_cancel},
    {"fib", "fork-join: Fibonacci numbers, a fork for each call", bench_fib},
    {"skynet", "fork-join: a tree with ten forks each", bench_skynet},
    {"nqueens", "fork-join: queens on a board", bench_nqueens},
    {"matmul", "fork-join: multiplying matrices by quarters", bench_matmul},
    {"sort", "whorl_sort beside qsort", bench_sort},
    {"sleep-forks", "fork-join that blocks: forks that each sleep", bench_sleep_forks},
    {"fork-take", "forks of an owner that computes on: until they are taken", bench_fork_take},
    {"hog", "connections whose worker is kept by a task", bench_hog},
    {"busy-echo", "connections while all workers compute", bench_busy_echo},
    {"server-sort", "connections while another one's handler sorts", bench_server_sort},
    {"park", "very many tasks that wait: starting, memory, waking", bench_park},
    {"sleepers", "very many tasks that sleep for a second", bench_sleepers},
    {"echo-client", "load on a TCP echo server, whose CPU time it reads", bench_echo_client},
};

enum { WORKLOADS = sizeof workloads / sizeof workloads[0] };

static void print_usage(FILE *out)
{
    fputs("usage: whorl-bench WORKLOAD [options]\n"
          "Measures one thing and prints a JSON object for each result. whorl-bench WORKLOAD --help shows its options.\n\n",
          out);
    for (size_t i = 0; i < WORKLOADS; i++)
        fprintf(out, "  %-16s %s\n", workloads[i].name, workloads[i].what);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        return 0;
    }
    for (size_t i = 0; i < WORKLOADS; i++)
        if (strcmp(argv[1], workloads[i].name) == 0)
            return workloads[i].run(argc - 1, argv + 1);
    fprintf(stderr, "whorl-bench: '%s': no such workload\n", argv[1]);
    print_usage(stderr);
    return 2;
}
