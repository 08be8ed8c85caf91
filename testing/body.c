/* SPDX-License-Identifier: MIT */
/* A test's body as the first task of a runtime, and what it left behind. */
#include "testing/fds.h"
#include "testing/record.h"
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <whorl/test.h>
#include <whorl/whorl.h>

#define SEEDED_WORKERS_MAX 4

struct run {
    const struct whorl_test *test;
    bool began;
};

static intptr_t main_task(void *arg)
{
    struct run *run = arg;

    run->began = true;
    run->test->body();
    return 0;
}

static struct whorl_leaks leaks(void)
{
    struct whorl_leaks now = {.size = sizeof now};

    whorl_leaks(&now);
    return now;
}

static void check_leaks(const struct whorl_test *test, const struct whorl_leaks *before)
{
    struct whorl_leaks after = leaks();

    if (after.tasks > before->tasks)
        whorl_test_fail("%s: leak: tasks that were neither joined nor detached: %" PRIu64, test->name, after.tasks - before->tasks);
    if (after.stacks > before->stacks)
        whorl_test_fail("%s: leak: stacks that were not given back: %" PRIu64, test->name, after.stacks - before->stacks);
}

static void run_once(const struct whorl_test *test, const struct whorl_options *options)
{
    struct run run = {.test = test};
    struct whorl_leaks before = leaks();
    struct whorl__test_fds fds;
    intptr_t result;

    whorl__test_fds_open(&fds);
    result = whorl_run(main_task, &run, options);
    if (!run.began)
        whorl_test_fail("%s: the runtime did not start: %s", test->name, strerror((int)-result));
    check_leaks(test, &before);
    whorl__test_fds_close(&fds, test->name);
}

/* Until a run fails, or the body has called itself skipped. */
static void run_seeds(const struct whorl_test *test, struct whorl_options *options)
{
    uint64_t first = whorl__test_first_seed();
    uint64_t count = whorl__test_replays() ? 1 : whorl__test_number("WHORL_TEST_SEEDS", (uint64_t)test->seeds);

    options->reactor = "null";
    for (uint64_t i = 0; i < count && whorl_test_failures() == 0 && !whorl__test_skipped(); i++) {
        uint64_t seed = first + i;

        whorl__test_begin_seed(seed);
        options->seed = seed;
        options->workers = test->workers ? test->workers : 1 + (int)(seed % SEEDED_WORKERS_MAX);
        run_once(test, options);
        if (whorl_test_failures() > 0)
            whorl__test_note("%s: failed in run %" PRIu64 " of %" PRIu64 "; WHORL_SEED=%" PRIu64 " replays it", test->name, i + 1,
                             count, seed);
    }
}

void whorl_test_in_runtime(const struct whorl_test *test)
{
    struct whorl_options options = {
        .size = sizeof options, .workers = test->workers, .stack_size = test->stack_size, .exit_policy = WHORL_EXIT_CANCEL};

    if (test->seeds > 0)
        run_seeds(test, &options);
    else
        run_once(test, &options);
}

int whorl_test_run(const struct whorl_test *test, void (*report)(const char *message, void *arg), void *arg)
{
    const char *message;

    whorl__test_reset();
    whorl_test_in_runtime(test);
    for (unsigned i = 0; report && (message = whorl__test_message(i)) != NULL; i++)
        report(message, arg);
    return (int)whorl_test_failures();
}
