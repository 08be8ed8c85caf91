/* SPDX-License-Identifier: MIT */
/* The workloads of whorl-bench. Each is one file with one function, and one line in the table of whorl-bench.c. */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

/* Reads its options from argv[1] on, measures, reports. Returns the exit status of the program. */
typedef int (*bench_workload_fn)(int argc, char **argv);

int bench_switch(int argc, char **argv);
int bench_yield(int argc, char **argv);
int bench_channel(int argc, char **argv);
int bench_stream(int argc, char **argv);
int bench_select(int argc, char **argv);
int bench_spawn(int argc, char **argv);
int bench_generator(int argc, char **argv);
int bench_blocking(int argc, char **argv);
int bench_mutex(int argc, char **argv);
int bench_mutex_contended(int argc, char **argv);
int bench_scope(int argc, char **argv);
int bench_cancel(int argc, char **argv);
int bench_fib(int argc, char **argv);
int bench_skynet(int argc, char **argv);
int bench_nqueens(int argc, char **argv);
int bench_matmul(int argc, char **argv);
int bench_sort(int argc, char **argv);
int bench_sleep_forks(int argc, char **argv);
int bench_fork_take(int argc, char **argv);
int bench_hog(int argc, char **argv);
int bench_busy_echo(int argc, char **argv);
int bench_server_sort(int argc, char **argv);
int bench_park(int argc, char **argv);
int bench_sleepers(int argc, char **argv);
int bench_echo_client(int argc, char **argv);

#endif
