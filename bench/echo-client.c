/* SPDX-License-Identifier: MIT */
/* Load on a TCP echo server, any server: requests per second, latency, and what they cost the server in CPU time, which is the
 * figure that compares servers when the client or the other core limits the rate. */
#include "clock.h"
#include "cputime.h"
#include "echo-load.h"
#include "options.h"
#include "report.h"
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct client {
    struct echo_load_options load;
    double seconds, warmup;
    long runs;
    long server_pid; /* 0: its CPU time is not known */
};

/* What is reported of a window, and of it how. */
enum figure { RATE, P50, P99, P999, LATE_P99, CLIENT_SHARE, SERVER_SHARE, SERVER_RATE, FIGURES };
static const char *const figure_names[FIGURES] = {
    [RATE] = "requests_per_second",
    [P50] = "p50_us",
    [P99] = "p99_us",
    [P999] = "p999_us",
    [LATE_P99] = "client_late_p99_us",
    [CLIENT_SHARE] = "client_cpu_share",
    [SERVER_SHARE] = "server_cpu_share",
    [SERVER_RATE] = "requests_per_server_cpu_second",
};

struct results {
    double of[FIGURES][BENCH_RUNS_MAX];
};

static int run_window(struct echo_load *load, const struct client *client, struct results *results, long run)
{
    static struct echo_window window;
    int64_t start, server, self, elapsed;
    int err;

    memset(&window, 0, sizeof window);
    self = bench_cputime(0);
    server = client->server_pid ? bench_cputime((pid_t)client->server_pid) : 0;
    start = bench_now();
    err = echo_load_run(load, start + (int64_t)(client->seconds * 1e9), &window);
    if (!err && client->load.rate)
        err = echo_load_drain(load, &window); /* those that come late count too */
    elapsed = bench_now() - start;
    if (client->server_pid && server >= 0)
        server = bench_cputime((pid_t)client->server_pid) - server;
    self = bench_cputime(0) - self;
    if (err)
        return err;
    if (window.answered == 0 || (client->server_pid && server <= 0)) {
        fprintf(stderr, "whorl-bench echo-client: %s\n", window.answered ? "the server's CPU time cannot be read" : "no answers");
        return -1;
    }
    results->of[RATE][run] = (double)window.answered * 1e9 / (double)elapsed;
    results->of[P50][run] = bench_histogram_quantile(&window.latency, 0.5) / 1e3;
    results->of[P99][run] = bench_histogram_quantile(&window.latency, 0.99) / 1e3;
    results->of[P999][run] = bench_histogram_quantile(&window.latency, 0.999) / 1e3;
    results->of[LATE_P99][run] = bench_histogram_quantile(&window.late, 0.99) / 1e3;
    results->of[CLIENT_SHARE][run] = (double)self / (double)elapsed;
    if (client->server_pid) {
        results->of[SERVER_SHARE][run] = (double)server / (double)elapsed;
        results->of[SERVER_RATE][run] = (double)window.answered * 1e9 / (double)server;
    }
    return 0;
}

static int measure(const struct client *client, struct results *results)
{
    static struct echo_window ignored;
    struct echo_load *load = echo_load_open(&client->load);
    int err;

    if (!load)
        return -1;
    err = echo_load_run(load, bench_now() + (int64_t)(client->warmup * 1e9), &ignored);
    for (long run = 0; run < client->runs && !err; run++)
        err = run_window(load, client, results, run);
    if (!err)
        err = echo_load_drain(load, NULL);
    echo_load_close(load);
    return err;
}

static void report(const struct client *client, struct results *results)
{
    bench_report_begin("echo");
    bench_report_count("connections", client->load.connections);
    bench_report_count("size", client->load.size);
    bench_report_count("depth", client->load.depth);
    bench_report_count("rate", client->load.rate);
    bench_report_real("seconds", client->seconds);
    bench_report_count("runs", client->runs);
    for (int i = 0; i < (client->server_pid ? FIGURES : SERVER_SHARE); i++) {
        struct bench_spread spread = bench_spread_of(results->of[i], (size_t)client->runs);

        bench_report_spread(figure_names[i], &spread);
    }
    bench_report_end();
}

int bench_echo_client(int argc, char **argv)
{
    static struct results results;
    struct client client = {
        .load = {.host = "127.0.0.1", .connections = 50, .size = 64},
        .seconds = 1,
        .warmup = 0.3,
        .runs = 5,
    };
    struct echo_load_options *load = &client.load;
    const struct bench_option options[] = {
        {.name = "host", .help = "the server's address or name", .text = &load->host},
        {.name = "port", .help = "its port, required", .number = &load->port, .min = 1, .max = 65535},
        {.name = "connections", .help = "connections at once", .number = &load->connections, .min = 1, .max = 1000000},
        {.name = "size", .help = "bytes of a request", .number = &load->size, .min = 1, .max = 1 << 20},
        {.name = "depth",
         .help = "requests under way on each connection (1); with --rate the most there may be (256)",
         .number = &load->depth,
         .min = 1,
         .max = 1024},
        {.name = "rate", .help = "requests each second in an open loop; 0: closed loop", .number = &load->rate, .max = 10000000},
        {.name = "seconds", .help = "length of a measurement", .seconds = &client.seconds, .min = 0, .max = 3600},
        {.name = "warmup", .help = "time before the first of them", .seconds = &client.warmup, .min = 0, .max = 3600},
        {.name = "runs", .help = "measurements, whose median counts", .number = &client.runs, .min = 1, .max = BENCH_RUNS_MAX},
        {.name = "server-pid",
         .help = "process whose CPU time is read, 0: none",
         .number = &client.server_pid,
         .min = 0,
         .max = 1 << 30},
        {0},
    };
    const struct bench_command command = {.name = "whorl-bench echo-client",
                                          .what = "Measures a TCP echo server: each answer is checked and followed by a request.",
                                          .options = options};

    bench_options_read(&command, argc, argv);
    if (!load->port)
        bench_options_refuse(&command, "--port is required");
    if (!load->depth)
        load->depth = load->rate ? 256 : 1;
    if (measure(&client, &results) < 0)
        return 1;
    report(&client, &results);
    return 0;
}
