/* SPDX-License-Identifier: MIT */
#include "beside.h"

#include "options.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <whorl/whorl.h>

struct measurement {
    struct bench_beside *beside;
    struct echo_service echo;
    const char *clients;
    long workers;
    double seconds;
    struct echo_service_result echo_alone, echo_both;
    double work_alone, work_both; /* the mean, in ms */
};

/* The work, again and again. */
struct series {
    struct bench_beside *beside;
    bool over; /* atomic */
    double ns;
    long count;
};

static intptr_t work(void *arg)
{
    struct series *s = arg;
    double ns;
    int err = 0;

    while (!err && !__atomic_load_n(&s->over, __ATOMIC_ACQUIRE)) {
        err = s->beside->once(s->beside, &ns);
        if (!err && !__atomic_load_n(&s->over, __ATOMIC_ACQUIRE)) {
            s->ns += ns;
            s->count++;
        }
    }
    return err;
}

/* Works, while the clients send unless `result` is NULL. Stores the mean time of the work in ms. */
static int work_beside(struct measurement *m, struct echo_service_result *result, double *ms)
{
    struct series series = {.beside = m->beside};
    struct whorl_task *worker = whorl_spawn(work, &series);
    intptr_t ended;
    int err;

    if (!worker)
        return -ENOMEM;
    err = result ? echo_service_measure(&m->echo, m->seconds, result) : whorl_sleep((whorl_ns)(m->seconds * 1e9));
    __atomic_store_n(&series.over, true, __ATOMIC_RELEASE);
    whorl_join(worker, &ended);
    if (!err && !ended && series.count == 0) {
        fprintf(stderr, "whorl-bench %s: --seconds is too short: the work was not done once\n", m->beside->name);
        return -ETIME;
    }
    *ms = series.ns / (double)series.count / 1e6;
    return err ? err : (int)ended;
}

static intptr_t measure(void *arg)
{
    struct measurement *m = arg;
    int err = m->beside->begin ? m->beside->begin(m->beside) : 0, closed;

    if (!err)
        err = echo_service_open(&m->echo);
    if (!err)
        err = echo_service_measure(&m->echo, m->seconds, &m->echo_alone);
    if (!err)
        err = work_beside(m, NULL, &m->work_alone);
    if (!err)
        err = work_beside(m, &m->echo_both, &m->work_both);
    closed = echo_service_close(&m->echo);
    if (m->beside->end)
        m->beside->end(m->beside);
    return err ? err : closed;
}

static void report_echo(const char *when, const struct echo_service_result *r)
{
    const struct {
        const char *what;
        double value;
    } values[] = {{"p50_us", r->p50_us},
                  {"p99_us", r->p99_us},
                  {"p999_us", r->p999_us},
                  {"per_second", r->per_second},
                  {"client_late_p99_us", r->late_p99_us},
                  {"client_cpu_share", r->cpu_share}};
    char key[64];

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        snprintf(key, sizeof key, "%s_%s", when, values[i].what);
        bench_report_real(key, values[i].value);
    }
}

static void report(const struct measurement *m, bool pinned)
{
    bench_report_begin(m->beside->name);
    bench_report_count("workers", m->workers);
    bench_report_count("workers_pinned", pinned);
    bench_report_text("clients", m->echo.first ? "real-time" : "normal");
    bench_report_count("clients_cpu", m->echo.cpu);
    bench_report_count("connections", m->echo.load.connections);
    bench_report_count("rate", m->echo.load.rate);
    bench_report_real("seconds", m->seconds);
    bench_report_count("n", m->beside->n);
    report_echo("alone", &m->echo_alone);
    report_echo("both", &m->echo_both);
    bench_report_real("work_alone_ms", m->work_alone);
    bench_report_real("work_both_ms", m->work_both);
    bench_report_real("p99_ratio", m->echo_both.p99_us / m->echo_alone.p99_us);
    bench_report_real("speed_ratio", m->work_alone / m->work_both);
    bench_report_end();
}

static void read_options(struct measurement *m, struct whorl_options *runtime, int argc, char **argv)
{
    struct echo_load_options *load = &m->echo.load;
    long pin = 1;
    const struct bench_option options[] = {
        {.name = "workers", .help = "OS threads that run tasks", .number = &m->workers, .min = 1, .max = 1024},
        {.name = "pin", .help = "1: each on a processor of its own", .number = &pin, .min = 0, .max = 1},
        {.name = "clients",
         .help = "real-time, so that they need not wait for a worker's processor, or normal; on the last one",
         .text = &m->clients},
        {.name = "connections", .help = "that echo", .number = &load->connections, .min = 1, .max = 100000},
        {.name = "rate", .help = "requests each second, over all of them", .number = &load->rate, .min = 1, .max = 1000000},
        {.name = "seconds", .help = "for each of the three measurements", .seconds = &m->seconds, .min = 0, .max = 600},
        {.name = "n",
         .help = "size of the work; may stand without --n",
         .number = &m->beside->n,
         .min = 1,
         .max = m->beside->n_max},
        {0},
    };
    char name[64];
    const struct bench_command command = {.name = name, .what = m->beside->what, .options = options};

    snprintf(name, sizeof name, "whorl-bench %s", m->beside->name);
    bench_options_read(&command, argc, argv);
    if (strcmp(m->clients, "real-time") != 0 && strcmp(m->clients, "normal") != 0)
        bench_options_refuse(&command, "--clients: '%s' is not real-time or normal", m->clients);
    m->echo.first = m->clients[0] == 'r';
    runtime->workers = (int)m->workers;
    runtime->pin = (int)pin;
}

int bench_beside_run(int argc, char **argv, struct bench_beside *beside)
{
    struct measurement m = {
        .beside = beside,
        .echo.load = {.host = "127.0.0.1", .connections = beside->connections, .size = 64, .depth = 1024, .rate = beside->rate},
        .clients = "real-time",
        .workers = 2,
        .seconds = 2};
    struct whorl_options runtime = {.size = sizeof runtime};
    int err;

    read_options(&m, &runtime, argc, argv);
    err = echo_service_start(&m.echo);
    if (!err) {
        err = (int)whorl_run(measure, &m, &runtime);
        echo_service_end(&m.echo);
    }
    if (err) {
        fprintf(stderr, "whorl-bench %s: the measurement failed: %s\n", beside->name, strerror(-err));
        return 1;
    }
    report(&m, runtime.pin);
    return 0;
}
