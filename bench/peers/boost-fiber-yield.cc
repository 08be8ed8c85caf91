/* SPDX-License-Identifier: MIT */
/* Two fibres of Boost.Fiber on one thread that yield to each other: the peer of `whorl-bench yield`. */
extern "C" {
#include "../clock.h"
#include "../options.h"
#include "../report.h"
}

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <vector>

static double yield_ns(long iterations)
{
    auto yield_often = [iterations] {
        for (long i = 0; i < iterations; i++)
            boost::this_fiber::yield();
    };
    int64_t start = bench_now();
    boost::fibers::fiber one(yield_often), other(yield_often);

    one.join();
    other.join();
    return static_cast<double>(bench_now() - start) / static_cast<double>(iterations) / 2;
}

int main(int argc, char **argv)
{
    long runs = 5, iterations = 2000000;
    struct bench_option options[3] = {};
    struct bench_command command = {};

    options[0].name = "runs";
    options[0].help = "measurements, whose median counts";
    options[0].number = &runs;
    options[0].min = 1;
    options[0].max = BENCH_RUNS_MAX;
    options[1].name = "iterations";
    options[1].help = "yields of each fibre";
    options[1].number = &iterations;
    options[1].min = 1;
    options[1].max = 1L << 40;
    command.name = "boost-fiber-yield";
    command.what = "Measures two fibres of Boost.Fiber that yield to each other.";
    command.options = options;
    bench_options_read(&command, argc, argv);

    std::vector<double> samples(static_cast<size_t>(runs));
    yield_ns(iterations / 10 + 1);
    for (double &sample : samples)
        sample = yield_ns(iterations);
    struct bench_spread ns = bench_spread_of(samples.data(), samples.size());

    bench_report_begin("boost-fiber-yield");
    bench_report_count("workers", 1);
    bench_report_count("runs", runs);
    bench_report_count("iterations", iterations);
    bench_report_spread("ns_per_op", &ns);
    bench_report_end();
    return 0;
}
