/* SPDX-License-Identifier: MIT */
/* Channels: round trips between two tasks, a stream from one to the other, and choosing among channels. With one worker the two share it; with
 * more each is pinned to one of its own. */
#include "clock.h"
#include "measure.h"
#include "report.h"
#include "workload.h"

#include <errno.h>
#include <stdio.h>
#include <whorl/whorl.h>

struct talk {
    struct bench_measure measure;
    long iterations; /* items sent there, and in a round trip back */
    long capacity;
    struct whorl_channel *there, *back;
};

/* The other end of round trips. */
static intptr_t answer(void *arg)
{
    struct talk *talk = arg;
    long item;
    int err = 0;

    while (!err && whorl_channel_recv(talk->there, &item) == 0)
        err = whorl_channel_send(talk->back, &item);
    return err;
}

static intptr_t ask(void *arg)
{
    struct talk *talk = arg;
    int err = 0;

    for (long i = 0, item; i < talk->iterations && !err; i++) {
        err = whorl_channel_send(talk->there, &i);
        if (!err)
            err = whorl_channel_recv(talk->back, &item);
        if (!err && item != i)
            err = -EBADMSG;
    }
    whorl_channel_close(talk->there);
    return err;
}

static intptr_t drain(void *arg)
{
    struct talk *talk = arg;
    long expected = 0;

    for (long item; whorl_channel_recv(talk->there, &item) == 0; expected++)
        if (item != expected)
            return -EBADMSG;
    return expected == talk->iterations ? 0 : -EBADMSG;
}

static intptr_t fill(void *arg)
{
    struct talk *talk = arg;
    int err = 0;

    for (long i = 0; i < talk->iterations && !err; i++)
        err = whorl_channel_send(talk->there, &i);
    whorl_channel_close(talk->there);
    return err;
}

/* Runs both ends, each where it belongs, and stores the ns of an iteration. */
static int run_ends(struct talk *talk, whorl_fn first, whorl_fn second, double *ns)
{
    whorl_fn ends[] = {second, first};
    struct whorl_scope s;
    int64_t start = bench_now();
    int err = 0;

    whorl_scope_open(&s);
    for (int i = 0; i < 2 && !err; i++) {
        struct whorl_spawn_options own = {
            .size = sizeof own, .worker = WHORL_WORKER(i % (int)talk->measure.workers), .pinned = talk->measure.workers > 1};

        err = whorl_scope_spawn_with(&s, ends[i], talk, &own);
    }
    if (err)
        whorl_scope_fail(&s, err);
    err = whorl_scope_close(&s);
    *ns = (double)(bench_now() - start) / (double)talk->iterations;
    return err;
}

static int with_channels(struct talk *talk, whorl_fn first, whorl_fn second, double *ns)
{
    int err = -ENOMEM;

    talk->there = whorl_channel_create(sizeof(long), (size_t)talk->capacity);
    talk->back = whorl_channel_create(sizeof(long), (size_t)talk->capacity);
    if (talk->there && talk->back)
        err = run_ends(talk, first, second, ns);
    whorl_channel_destroy(talk->there);
    whorl_channel_destroy(talk->back);
    return err;
}

static int round_trip_ns(void *arg, double *ns)
{
    return with_channels(arg, ask, answer, ns);
}

static int stream_ns(void *arg, double *ns)
{
    return with_channels(arg, fill, drain, ns);
}

static int measure_talk(struct talk *talk, const char *bench, const char *what, int argc, char **argv)
{
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&talk->measure),
        {.name = "iterations", .help = "items sent", .number = &talk->iterations, .min = 1, .max = 1L << 40},
        {.name = "capacity", .help = "of the channels", .number = &talk->capacity, .min = 0, .max = 1L << 30},
        {.name = "spin",
         .help = "ns that an idle worker looks for work before it sleeps; 0: as it does, -1: not at all",
         .number = &talk->measure.spin_ns,
         .min = -1,
         .max = 1000000000},
        {0},
    };
    char name[64];
    const struct bench_command command = {.name = name, .what = what, .options = options};
    struct bench_spread ns;

    snprintf(name, sizeof name, "whorl-bench %s", bench);
    bench_options_read(&command, argc, argv);
    if (bench_measure_run(&talk->measure, &ns) < 0)
        return 1;
    bench_measure_report(bench, &talk->measure);
    bench_report_count("iterations", talk->iterations);
    bench_report_count("capacity", talk->capacity);
    bench_report_spread("ns_per_op", &ns);
    bench_report_end();
    return 0;
}

int bench_channel(int argc, char **argv)
{
    struct talk talk = {.measure = {.once = round_trip_ns, .arg = &talk, BENCH_MEASURE_DEFAULTS}, .iterations = 1000000};

    return measure_talk(&talk, "channel", "Measures round trips between two tasks, by two channels.", argc, argv);
}

int bench_stream(int argc, char **argv)
{
    struct talk talk = {
        .measure = {.once = stream_ns, .arg = &talk, BENCH_MEASURE_DEFAULTS}, .iterations = 5000000, .capacity = 128};

    return measure_talk(&talk, "stream", "Measures items that one task sends to another.", argc, argv);
}

/* Choosing among channels that all have something. */

enum { CHOICES = 4, CHOSEN_MAX = 1000 };

struct choice {
    struct bench_measure measure;
    long iterations;
    struct whorl_channel *channels[CHOICES];
};

static int fill_up(struct whorl_channel *c)
{
    long item = 0;
    int err;

    do
        err = whorl_channel_try_send(c, &item);
    while (err == 0);
    return err == -EAGAIN ? 0 : err;
}

/* Fewer than would empty any of them. Adds the ns. */
static int choose_some(struct choice *choice, struct whorl_case *cases, int64_t *ns)
{
    int64_t start;
    int chosen = 0;

    for (int i = 0; i < CHOICES; i++) {
        int err = fill_up(choice->channels[i]);

        if (err)
            return err;
    }
    start = bench_now();
    for (int i = 0; i < CHOSEN_MAX && chosen >= 0; i++)
        chosen = whorl_select(cases, CHOICES);
    *ns += bench_now() - start;
    return chosen < 0 ? chosen : 0;
}

static int select_ns(void *arg, double *ns)
{
    struct choice *choice = arg;
    struct whorl_case cases[CHOICES];
    long item, rounds = (choice->iterations + CHOSEN_MAX - 1) / CHOSEN_MAX;
    int64_t sum = 0;
    int err = 0;

    for (int i = 0; i < CHOICES; i++) {
        choice->channels[i] = whorl_channel_create(sizeof item, CHOSEN_MAX);
        if (!choice->channels[i])
            err = -ENOMEM;
        cases[i] = whorl_case_recv(choice->channels[i], &item);
    }
    for (long i = 0; i < rounds && !err; i++)
        err = choose_some(choice, cases, &sum);
    for (int i = 0; i < CHOICES; i++)
        whorl_channel_destroy(choice->channels[i]);
    *ns = (double)sum / (double)(rounds * CHOSEN_MAX);
    return err;
}

int bench_select(int argc, char **argv)
{
    struct choice choice = {.measure = {.once = select_ns, .arg = &choice, BENCH_MEASURE_DEFAULTS}, .iterations = 1000000};
    const struct bench_option options[] = {
        BENCH_MEASURE_OPTIONS(&choice.measure),
        {.name = "iterations", .help = "selects", .number = &choice.iterations, .min = 1, .max = 1L << 40},
        {0},
    };
    const struct bench_command command = {
        .name = "whorl-bench select", .what = "Measures selecting over 4 channels that all have something.", .options = options};
    struct bench_spread ns;

    bench_options_read(&command, argc, argv);
    if (bench_measure_run(&choice.measure, &ns) < 0)
        return 1;
    bench_measure_report("select", &choice.measure);
    bench_report_count("iterations", choice.iterations);
    bench_report_spread("ns_per_op", &ns);
    bench_report_end();
    return 0;
}
