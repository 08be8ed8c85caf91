/* SPDX-License-Identifier: MIT */
/* The programs of ../forkjoin.c for peers in C++, written once: the same algorithms and the same records, a fork for each call.
 *
 * A peer is a class with a `name`, with with_workers(workers, f), which calls f where tasks run on that many threads, and with a
 * class `group`, one for each call that forks: run(f) forks f, wait() returns when what it has forked has run. */
#ifndef BENCH_PEERS_FORKJOIN_H
#define BENCH_PEERS_FORKJOIN_H

extern "C" {
#include "../clock.h"
#include "../options.h"
#include "../report.h"
}

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

/* What a program should come to. */
struct expectation {
    long result, forks;
};

/* fib: two calls, one of them forked. */

template <class Peer> long fib(long n)
{
    if (n < 2)
        return n;

    typename Peer::group group;
    long a, b;

    group.run([&a, n] { a = fib<Peer>(n - 1); });
    b = fib<Peer>(n - 2);
    group.wait();
    return a + b;
}

inline expectation fib_expected(long n)
{
    expectation before = {0, 0}, last = {1, 0}; /* of n - 1 and n, for n = 1 */

    for (long i = 2; i <= n; i++) {
        expectation next = {before.result + last.result, before.forks + last.forks + 1};

        before = last;
        last = next;
    }
    return last;
}

/* skynet: ten children each, down to n leaves that are summed. */

struct skynet_part {
    long from, size, sum;
};

template <class Peer> void skynet(skynet_part &part)
{
    part.sum = part.from;
    if (part.size == 1)
        return;

    typename Peer::group group;
    skynet_part children[10];

    for (int i = 0; i < 10; i++) {
        skynet_part *child = &children[i];

        child->from = part.from + i * (part.size / 10);
        child->size = part.size / 10;
        group.run([child] { skynet<Peer>(*child); });
    }
    group.wait();
    part.sum = 0;
    for (const skynet_part &child : children)
        part.sum += child.sum;
}

template <class Peer> long skynet_run(long n)
{
    skynet_part root = {0, n, 0};

    skynet<Peer>(root);
    return root.sum;
}

inline expectation skynet_expected(long n)
{
    expectation e = {n * (n - 1) / 2, 0};

    for (; n > 1; n /= 10)
        e.forks += n;
    return e;
}

/* nqueens: a fork for each place where the next queen may stand. */

enum { QUEENS_MAX = 16 };

struct board {
    int n;
    unsigned char at[QUEENS_MAX];
    long solutions;
};

inline bool may_stand(const unsigned char *at, int row, int column)
{
    for (int i = 0; i < row; i++)
        if (at[i] == column || at[i] - column == i - row || at[i] - column == row - i)
            return false;
    return true;
}

/* The row is a constant, as it is there. */
template <class Peer, int row> void queens(board &b)
{
    if constexpr (row < QUEENS_MAX) {
        const int n = b.n;

        b.solutions = row == n;
        if (b.solutions)
            return;

        typename Peer::group group;
        board next[QUEENS_MAX];
        int count = 0;

        for (int column = 0; column < n; column++) {
            board *one = &next[count];

            if (!may_stand(b.at, row, column))
                continue;
            one->n = n;
            memcpy(one->at, b.at, row);
            one->at[row] = static_cast<unsigned char>(column);
            group.run([one] { queens<Peer, row + 1>(*one); });
            count++;
        }
        group.wait();
        while (count > 0)
            b.solutions += next[--count].solutions;
    } else {
        b.solutions = 1;
    }
}

template <class Peer> long queens_run(long n)
{
    board root = {static_cast<int>(n), {}, 0};

    queens<Peer, 0>(root);
    return root.solutions;
}

/* Counts in another way, so that it is a check: a bit for each column that is taken, by a column or by a diagonal. */
inline expectation queens_below(unsigned all, unsigned columns, unsigned rising, unsigned falling)
{
    expectation e = {columns == all, 0};

    for (unsigned open = all & ~(columns | rising | falling); open; open &= open - 1) {
        unsigned one = open & -open;
        expectation below = queens_below(all, columns | one, (rising | one) << 1, (falling | one) >> 1);

        e.result += below.result;
        e.forks += 1 + below.forks;
    }
    return e;
}

inline expectation queens_expected(long n)
{
    return queens_below((1U << n) - 1, 0, 0, 0);
}

struct forkjoin {
    const char *name, *what;
    long n, max;
    long (*run)(long n);
    expectation (*expected)(long n);
};

struct forkjoin_options {
    long n, workers, runs, warmups;
};

inline void read_options(const std::string &name, const forkjoin &program, forkjoin_options &o, int argc, char **argv)
{
    const bench_option options[] = {
        {"runs", "measurements, whose median counts", &o.runs, nullptr, nullptr, 1, BENCH_RUNS_MAX},
        {"warmup", "measurements before those", &o.warmups, nullptr, nullptr, 0, BENCH_RUNS_MAX},
        {"workers", "OS threads that run tasks", &o.workers, nullptr, nullptr, 1, 1024},
        {"n", "the size", &o.n, nullptr, nullptr, 2, program.max},
        {},
    };
    const bench_command command = {name.c_str(), program.what, options};

    bench_options_read(&command, argc, argv);
}

inline void report(const forkjoin &program, const char *peer, const forkjoin_options &o, long forks, std::vector<double> &samples)
{
    bench_spread ns = bench_spread_of(samples.data(), samples.size());
    double count = static_cast<double>(forks);
    bench_spread per_fork = {ns.median / count, ns.min / count, ns.max / count};

    bench_report_begin(program.name);
    bench_report_text("peer", peer);
    bench_report_count("workers", o.workers);
    bench_report_count("runs", o.runs);
    bench_report_count("n", o.n);
    bench_report_count("forks", forks);
    bench_report_spread("ns_per_op", &per_fork);
    bench_report_real("ms", ns.median / 1e6);
    bench_report_end();
}

/* main(): the program's name, then its options. */
template <class Peer> int forkjoin_main(int argc, char **argv)
{
    const forkjoin programs[] = {
        {"fib", "Measures the recursive Fibonacci function, one of the two calls forked.", 32, 60, fib<Peer>, fib_expected},
        {"skynet", "Measures a tree of forks, ten each, down to N leaves, a power of ten.", 1000000, 1000000000, skynet_run<Peer>,
         skynet_expected},
        {"nqueens", "Measures N queens on a board of N x N, a fork for each place of the next one.", 12, QUEENS_MAX,
         queens_run<Peer>, queens_expected},
    };

    for (const forkjoin &program : programs) {
        forkjoin_options o = {program.n, 1, 5, 1};
        std::vector<double> samples;
        bool right = true;

        if (argc < 2 || strcmp(argv[1], program.name) != 0)
            continue;
        read_options(std::string(Peer::name) + "-forkjoin " + program.name, program, o, argc - 1, argv + 1);
        expectation expected = program.expected(o.n);
        Peer::with_workers(static_cast<int>(o.workers), [&] {
            for (long i = -o.warmups; i < o.runs; i++) {
                int64_t start = bench_now();

                right = program.run(o.n) == expected.result && right;
                if (i >= 0)
                    samples.push_back(static_cast<double>(bench_now() - start));
            }
        });
        if (!right) {
            fprintf(stderr, "%s-forkjoin: %s: a wrong result\n", Peer::name, program.name);
            return 1;
        }
        report(program, Peer::name, o, expected.forks, samples);
        return 0;
    }
    bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
    fprintf(help ? stdout : stderr, "usage: %s-forkjoin fib|skynet|nqueens [options]; each has --help\n", Peer::name);
    return help ? 0 : 2;
}

#endif
