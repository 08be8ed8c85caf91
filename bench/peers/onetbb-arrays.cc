/* SPDX-License-Identifier: MIT */
/* Sorting numbers and multiplying matrices on oneTBB: the peer of `whorl-bench sort` and `matmul`, with the same numbers, the same
 * matrices and the same code at the leaves. */
extern "C" {
#include "../clock.h"
#include "../matrix.h"
#include "../numbers.h"
#include "../options.h"
#include "../report.h"
}

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <tbb/global_control.h>
#include <tbb/parallel_invoke.h>
#include <tbb/parallel_sort.h>
#include <tbb/task_arena.h>

struct settings {
    long n, workers = 1, runs = 5, warmups = 1;
    const char *compare = "inline"; /* of sort */
};

/* Runs once() as often as was asked for, on that many threads. once() returns the ns; negative: the result was wrong. */
template <class F> bool measure(const settings &s, bench_spread &ns, F once)
{
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(s.workers));
    tbb::task_arena arena(static_cast<int>(s.workers));
    std::vector<double> samples;
    bool right = true;

    arena.execute([&] {
        for (long i = -s.warmups; i < s.runs && right; i++) {
            double took = once();

            right = took >= 0;
            if (i >= 0)
                samples.push_back(took);
        }
    });
    if (right)
        ns = bench_spread_of(samples.data(), samples.size());
    return right;
}

/* As whorl_sort and qsort(3) compare: by a call. */
static bool before(uint64_t a, uint64_t b)
{
    return bench_numbers_compare(&a, &b) < 0;
}

static bool sort(const settings &s, bench_spread &ns)
{
    std::vector<uint64_t> numbers(static_cast<size_t>(s.n));
    bool called = strcmp(s.compare, "call") == 0;

    return measure(s, ns, [&] {
        bench_numbers_fill(numbers.data(), numbers.size());
        int64_t start = bench_now();
        if (called)
            tbb::parallel_sort(numbers.begin(), numbers.end(), before);
        else
            tbb::parallel_sort(numbers.begin(), numbers.end());
        double took = static_cast<double>(bench_now() - start);
        return bench_numbers_sorted(numbers.data(), numbers.size()) ? took : -1.0;
    });
}

static void multiply(const bench_matrix_product &p);

static void multiply_quarter(const bench_matrix_product &whole, int row, int column)
{
    for (int which = 0; which < 2; which++)
        multiply(bench_matrix_part(&whole, row, column, which));
}

static void multiply(const bench_matrix_product &p)
{
    if (p.n == BENCH_MATRIX_LEAF) {
        bench_matrix_multiply_leaf(&p);
        return;
    }
    tbb::parallel_invoke([&p] { multiply_quarter(p, 0, 0); }, [&p] { multiply_quarter(p, 0, 1); },
                         [&p] { multiply_quarter(p, 1, 0); }, [&p] { multiply_quarter(p, 1, 1); });
}

static bool matmul(const settings &s, bench_spread &ns)
{
    bench_matrix_product p;

    if (!bench_matrix_new(&p, static_cast<size_t>(s.n))) {
        fprintf(stderr, "onetbb-arrays: no memory for matrices of %ld rows\n", s.n);
        exit(1);
    }
    bench_matrix_multiply(&p);
    std::vector<double> expected(p.c, p.c + p.n * p.n);
    bool right = measure(s, ns, [&] {
        bench_matrix_clear(&p);
        int64_t start = bench_now();
        multiply(p);
        double took = static_cast<double>(bench_now() - start);
        return std::equal(expected.begin(), expected.end(), p.c) ? took : -1.0;
    });
    free(p.c);
    return right;
}

static int run(const char *name, settings s, bool (*program)(const settings &, bench_spread &), int argc, char **argv)
{
    const bench_option options[] = {
        {"runs", "measurements, whose median counts", &s.runs, nullptr, nullptr, 1, BENCH_RUNS_MAX},
        {"warmup", "measurements before those", &s.warmups, nullptr, nullptr, 0, BENCH_RUNS_MAX},
        {"workers", "OS threads that run tasks", &s.workers, nullptr, nullptr, 1, 1024},
        {"n", "the size", &s.n, nullptr, nullptr, 1, 1000000000},
        {"compare", "sort: inline, or call, as qsort does", nullptr, nullptr, &s.compare, 0, 0},
        {},
    };
    const bench_command command = {"onetbb-arrays sort|matmul", "Measures sorting N numbers, or multiplying matrices of N rows.",
                                   options};
    bench_spread ns;

    bench_options_read(&command, argc, argv);
    if (program == matmul && !bench_matrix_divides(s.n))
        bench_options_refuse(&command, "--n: %ld is not %d times a power of two", s.n, BENCH_MATRIX_LEAF);
    if (strcmp(s.compare, "inline") != 0 && strcmp(s.compare, "call") != 0)
        bench_options_refuse(&command, "--compare: '%s' is not inline or call", s.compare);
    if (!program(s, ns)) {
        fprintf(stderr, "onetbb-arrays: %s: a wrong result\n", name);
        return 1;
    }
    bench_report_begin(name);
    bench_report_text("peer", "onetbb");
    bench_report_count("workers", s.workers);
    bench_report_count("runs", s.runs);
    bench_report_count("n", s.n);
    bench_report_real("ms", ns.median / 1e6);
    bench_report_end();
    return 0;
}

int main(int argc, char **argv)
{
    settings s;

    if (argc > 1 && strcmp(argv[1], "sort") == 0) {
        s.n = 5000000;
        return run("sort", s, sort, argc - 1, argv + 1);
    }
    if (argc > 1 && strcmp(argv[1], "matmul") == 0) {
        s.n = 1024;
        return run("matmul", s, matmul, argc - 1, argv + 1);
    }
    bool help = argc > 1 && strcmp(argv[1], "--help") == 0;
    fputs("usage: onetbb-arrays sort|matmul [options]; each has --help\n", help ? stdout : stderr);
    return help ? 0 : 2;
}
