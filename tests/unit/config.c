/* SPDX-License-Identifier: MIT */
/* Options and environment variables of a run: what they mean, which wins, what is said when they are wrong. */
#include "runtime/config.h"
#include "runtime/record.h"
#include "runtime/stack.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "null_run.h"
#include "test.h"

/* An attempt to read a configuration, in a child with its own environment. */
struct attempt {
    const char *name, *value; /* an environment variable, or NULL */
    struct whorl_options options;
    int expected;
};

static void forget_all(void)
{
    static const char *const names[] = {"WHORL_WORKERS",
                                        "WHORL_STACK_SIZE",
                                        "WHORL_REACTOR",
                                        "WHORL_PIN",
                                        "WHORL_EXIT",
                                        "WHORL_SEED",
                                        "WHORL_DISABLE",
                                        "WHORL_DUMP_ON_SIGQUIT",
                                        "WHORL_SPIN_NS",
                                        "WHORL_MEMORY",
                                        "WHORL_BLOCKING_GRACE_NS",
                                        "WHORL_DEBUG",
                                        "WHORL_SLICE_NS",
                                        "WHORL_CANCEL_ON_SIGINT"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static void read_it(void *arg)
{
    struct attempt *a = arg;
    struct whorl__config config;

    forget_all();
    if (a->name)
        setenv(a->name, a->value, 1);
    CHECK_EQ(whorl__config_read(&config, &a->options), a->expected);
}

/* Reading must be refused with exactly one line, which has `says` in it. */
static void refused(struct attempt a, const char *says)
{
    char err[2048], *end;

    a.expected = -EINVAL;
    CHECK_EQ(run_in_child(read_it, &a, err, sizeof err), 0);
    CHECK_HAS(err, says);
    CHECK(strncmp(err, "whorl: ", 7) == 0);
    end = strchr(err, '\n');
    CHECK(end && end[1] == '\0');
}

/* Reads `options` under the environment variable `name` (or NULL), which must go well. */
static struct whorl__config read_config(const char *name, const char *value, struct whorl_options options)
{
    struct whorl__config config;

    forget_all();
    if (name)
        setenv(name, value, 1);
    options.size = sizeof options;
    CHECK_EQ(whorl__config_read(&config, &options), 0);
    forget_all();
    return config;
}

#define OPTIONS(...) ((struct whorl_options){.size = sizeof(struct whorl_options), __VA_ARGS__})

TEST(config, without_options_everything_has_its_default)
{
    struct whorl__config config;
    cpu_set_t allowed;

    forget_all();
    CHECK_EQ(whorl__config_read(&config, NULL), 0);
    CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    CHECK(config.workers >= 1 && config.workers <= CPU_COUNT(&allowed));
    CHECK_EQ(config.stack_class, whorl__stack_class(64 << 10));
    CHECK_STR(config.reactor, "uring");
    CHECK(!config.pin);
    CHECK(!config.dump_on_sigquit);
    CHECK(!config.cancel_on_sigint);
    CHECK_EQ(config.exit_policy, WHORL_EXIT_JOIN);
    CHECK_EQ(config.seed, 0);
    CHECK_EQ(config.disable, 0);
    CHECK_EQ(config.spin_ns, WHORL_US(50));
    CHECK_EQ(config.blocking_grace, 0);
    CHECK(!config.debug);
    CHECK_EQ(config.slice_ns, WHORL_MS(100));
}

TEST(config, no_more_workers_than_this_process_may_use_cpus)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_EQ(read_config(NULL, NULL, OPTIONS(0)).workers, 1);
    CHECK_EQ(read_config(NULL, NULL, OPTIONS(.workers = 7)).workers, 7); /* unless it is told to */
}

TEST(config, options_are_taken_over)
{
    struct whorl__config c = read_config(
        NULL, NULL,
        OPTIONS(.workers = 1024, .stack_size = 1, .reactor = "null", .pin = 1, .exit_policy = WHORL_EXIT_CANCEL, .seed = UINT64_MAX,
                .disable = "guard_install,,membarrier,send_msg_ring,", .dump_on_sigquit = 1, .cancel_on_sigint = 1,
                .spin_ns = WHORL_MS(3), .blocking_grace = WHORL_SEC(9), .debug = 1, .slice_ns = WHORL_MS(7)));

    CHECK_EQ(c.workers, 1024);
    CHECK_EQ(c.stack_class, 0);
    CHECK_STR(c.reactor, "null");
    CHECK(c.pin);
    CHECK(c.dump_on_sigquit);
    CHECK(c.cancel_on_sigint);
    CHECK_EQ(c.exit_policy, WHORL_EXIT_CANCEL);
    CHECK(c.seed == UINT64_MAX);
    CHECK_EQ(c.disable, WHORL__DISABLE_GUARD_INSTALL | WHORL__DISABLE_MEMBARRIER | WHORL__DISABLE_SEND_MSG_RING);
    CHECK_EQ(c.spin_ns, WHORL_MS(3));
    CHECK_EQ(c.blocking_grace, WHORL_SEC(9));
    CHECK(c.debug);
    CHECK_EQ(c.slice_ns, WHORL_MS(7));
    CHECK(read_config(NULL, NULL, OPTIONS(.spin_ns = -5)).spin_ns < 0);
    CHECK_EQ(read_config(NULL, NULL, OPTIONS(.stack_size = 4 << 20)).stack_class, WHORL__STACK_CLASSES - 1);
}

TEST(config, the_environment_wins_over_options)
{
    CHECK_EQ(read_config("WHORL_WORKERS", "3", OPTIONS(.workers = 5)).workers, 3);
    CHECK_EQ(read_config("WHORL_STACK_SIZE", "262144", OPTIONS(.stack_size = 1)).stack_class, whorl__stack_class(256 << 10));
    CHECK_STR(read_config("WHORL_REACTOR", "null", OPTIONS(.reactor = "uring")).reactor, "null");
    CHECK(!read_config("WHORL_PIN", "0", OPTIONS(.pin = 1)).pin);
    CHECK(read_config("WHORL_PIN", "1", OPTIONS(0)).pin);
    CHECK_EQ(read_config("WHORL_EXIT", "join", OPTIONS(.exit_policy = WHORL_EXIT_CANCEL)).exit_policy, WHORL_EXIT_JOIN);
    CHECK_EQ(read_config("WHORL_EXIT", "cancel", OPTIONS(0)).exit_policy, WHORL_EXIT_CANCEL);
    CHECK_EQ(read_config("WHORL_SEED", "17", OPTIONS(.seed = 5)).seed, 17);
    CHECK_EQ(read_config("WHORL_SEED", "9223372036854775807", OPTIONS(0)).seed, INT64_MAX);
    CHECK_EQ(read_config("WHORL_DISABLE", "membarrier", OPTIONS(.disable = "guard_install")).disable, WHORL__DISABLE_MEMBARRIER);
    CHECK_EQ(read_config("WHORL_DISABLE", "process_madvise", OPTIONS(0)).disable, WHORL__DISABLE_PROCESS_MADVISE);
    CHECK(!read_config("WHORL_DUMP_ON_SIGQUIT", "0", OPTIONS(.dump_on_sigquit = 1)).dump_on_sigquit);
    CHECK(read_config("WHORL_DUMP_ON_SIGQUIT", "1", OPTIONS(0)).dump_on_sigquit);
    CHECK_EQ(read_config("WHORL_BLOCKING_GRACE_NS", "2K", OPTIONS(.blocking_grace = 5)).blocking_grace, 2048);
    CHECK(!read_config("WHORL_CANCEL_ON_SIGINT", "0", OPTIONS(.cancel_on_sigint = 1)).cancel_on_sigint);
    CHECK(read_config("WHORL_CANCEL_ON_SIGINT", "1", OPTIONS(0)).cancel_on_sigint);
    CHECK_EQ(read_config("WHORL_SPIN_NS", "1000", OPTIONS(.spin_ns = 5)).spin_ns, 1000);
    CHECK(read_config("WHORL_SPIN_NS", "-1", OPTIONS(.spin_ns = 5)).spin_ns < 0);
    CHECK(read_config("WHORL_DEBUG", "1", OPTIONS(0)).debug);
    CHECK(!read_config("WHORL_DEBUG", "0", OPTIONS(.debug = 1)).debug);
    CHECK_EQ(read_config("WHORL_SLICE_NS", "2000000", OPTIONS(.slice_ns = WHORL_MS(5))).slice_ns, WHORL_MS(2));
}

TEST(config, an_empty_variable_is_as_good_as_none)
{
    CHECK_EQ(read_config("WHORL_WORKERS", "", OPTIONS(.workers = 5)).workers, 5);
    CHECK_EQ(read_config("WHORL_STACK_SIZE", "", OPTIONS(.stack_size = 1)).stack_class, 0);
    CHECK_STR(read_config("WHORL_REACTOR", "", OPTIONS(.reactor = "null")).reactor, "null");
    CHECK(read_config("WHORL_PIN", "", OPTIONS(.pin = 1)).pin);
    CHECK_EQ(read_config("WHORL_EXIT", "", OPTIONS(.exit_policy = WHORL_EXIT_CANCEL)).exit_policy, WHORL_EXIT_CANCEL);
    CHECK_EQ(read_config("WHORL_SEED", "", OPTIONS(.seed = 5)).seed, 5);
    CHECK_EQ(read_config("WHORL_SPIN_NS", "", OPTIONS(.spin_ns = 5)).spin_ns, 5);
}

TEST(config, sizes_may_be_given_in_k_and_m)
{
    static const struct {
        const char *text;
        size_t size;
    } sizes[] = {{"1", 1},          {"16384", 16 << 10}, {"16385", 64 << 10},
                 {"16K", 16 << 10}, {"64k", 64 << 10},   {"256K", 256 << 10},
                 {"1M", 1 << 20},   {"4m", 4 << 20},     {"4096K", 4 << 20}};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK_EQ(read_config("WHORL_STACK_SIZE", sizes[i].text, OPTIONS(0)).stack_class, whorl__stack_class(sizes[i].size));
}

enum { RECORD = sizeof(struct whorl_task) + sizeof(struct whorl__rare) };

TEST(config, a_limit_on_memory_leaves_an_eighth_of_it_to_records_and_a_few_for_each_worker)
{
    const struct whorl__config none = read_config(NULL, NULL, OPTIONS(0));
    struct whorl__config c = read_config(NULL, NULL, OPTIONS(.memory = (size_t)8 << 30));

    CHECK(none.stacks_max == SIZE_MAX && none.records_max == SIZE_MAX);
    CHECK_EQ(c.stacks_max, (size_t)7 << 30);
    CHECK_EQ(c.records_max, ((size_t)1 << 30) / RECORD);
    c = read_config("WHORL_MEMORY", "8M", OPTIONS(.memory = 1, .workers = 2));
    CHECK_EQ(c.stacks_max, (size_t)7 << 20);
    CHECK_EQ(c.records_max, ((size_t)1 << 20) / RECORD);
    c = read_config("WHORL_MEMORY", "1G", OPTIONS(.workers = 1024));
    CHECK_EQ(c.records_max, ((size_t)1 << 27) / RECORD);
    c = read_config("WHORL_MEMORY", "64K", OPTIONS(.workers = 2));
    CHECK_EQ(c.records_max, 3 * WHORL__RECORDS_KEPT);
    CHECK(read_config("WHORL_MEMORY", "0", OPTIONS(.memory = 1)).records_max == SIZE_MAX);
}

TEST(config, an_option_that_is_wrong_is_refused_by_name)
{
    refused((struct attempt){.options = {.size = 0}}, "whorl_options.size is 0: set it to sizeof(struct whorl_options), ");
    refused((struct attempt){.options = {.size = sizeof(struct whorl_options) + 8}}, "whorl_options.size is ");
    refused((struct attempt){.options = OPTIONS(.workers = -1)}, "whorl_options.workers is -1: want 1 to 1024, or 0");
    refused((struct attempt){.options = OPTIONS(.workers = 1025)}, "whorl_options.workers is 1025: want 1 to 1024, or 0");
    refused((struct attempt){.options = OPTIONS(.stack_size = (4 << 20) + 1)},
            "whorl_options.stack_size is 4194305: want at most 4194304");
    refused((struct attempt){.options = OPTIONS(.stack_size = SIZE_MAX)}, "whorl_options.stack_size is ");
    refused((struct attempt){.options = OPTIONS(.reactor = "epoll")}, "reactor \"epoll\" is unknown: want uring or null");
    refused((struct attempt){.options = OPTIONS(.exit_policy = (enum whorl_exit)2)},
            "whorl_options.exit_policy is 2: want WHORL_EXIT_JOIN or WHORL_EXIT_CANCEL");
    refused((struct attempt){.options = OPTIONS(.disable = "guard_install,turbo")},
            "cannot disable \"turbo\": want guard_install, process_madvise, send_msg_ring, membarrier or watcher");
    refused((struct attempt){.options = OPTIONS(.slice_ns = -1)}, "whorl_options.slice_ns is -1: want a time from 1 ms to 1 h");
    refused((struct attempt){.options = OPTIONS(.slice_ns = 999999)}, "whorl_options.slice_ns is 999999: want");
}

TEST(config, a_variable_that_is_wrong_is_refused_by_name_and_value)
{
    static const struct {
        const char *name, *value, *says;
    } cases[] = {
        {"WHORL_WORKERS", "0", "WHORL_WORKERS=0: want a number from 1 to 1024"},
        {"WHORL_WORKERS", "1025", "WHORL_WORKERS=1025: want"},
        {"WHORL_WORKERS", "-3", "WHORL_WORKERS=-3: want"},
        {"WHORL_WORKERS", "two", "WHORL_WORKERS=two: want"},
        {"WHORL_WORKERS", "2 ", "WHORL_WORKERS=2 : want"},
        {"WHORL_WORKERS", "0x2", "WHORL_WORKERS=0x2: want"},
        {"WHORL_WORKERS", "2M", "WHORL_WORKERS=2M: want"},
        {"WHORL_WORKERS", "99999999999999999999", "WHORL_WORKERS=99999999999999999999: want"},
        {"WHORL_STACK_SIZE", "0", "WHORL_STACK_SIZE=0: want a number from 1 to 4194304"},
        {"WHORL_STACK_SIZE", "5M", "WHORL_STACK_SIZE=5M: want"},
        {"WHORL_MEMORY", "-1", "WHORL_MEMORY=-1: want a number from 0 to 9223372036854775807"},
        {"WHORL_MEMORY", "lots", "WHORL_MEMORY=lots: want"},
        {"WHORL_STACK_SIZE", "K", "WHORL_STACK_SIZE=K: want"},
        {"WHORL_STACK_SIZE", "64KB", "WHORL_STACK_SIZE=64KB: want"},
        {"WHORL_STACK_SIZE", "36028797018963969K", "WHORL_STACK_SIZE=36028797018963969K: want"}, /* 1024 if it wrapped around */
        {"WHORL_STACK_SIZE", "9223372036854775807K", "WHORL_STACK_SIZE=9223372036854775807K: want"},
        {"WHORL_REACTOR", "Null", "reactor \"Null\" is unknown: want uring or null (whorl_options.reactor, WHORL_REACTOR)"},
        {"WHORL_PIN", "yes", "WHORL_PIN=yes: want a number from 0 to 1"},
        {"WHORL_PIN", "2", "WHORL_PIN=2: want a number from 0 to 1"},
        {"WHORL_EXIT", "never", "WHORL_EXIT=never: want join or cancel"},
        {"WHORL_SEED", "-1", "WHORL_SEED=-1: want a number from 0 to"},
        {"WHORL_SEED", "9223372036854775808", "WHORL_SEED=9223372036854775808: want"},
        {"WHORL_DISABLE", "membarriers",
         "cannot disable \"membarriers\": want guard_install, process_madvise, send_msg_ring, membarrier or watcher"},
        {"WHORL_DISABLE", "membarrier, guard_install", "cannot disable \" guard_install\": want"},
        {"WHORL_DISABLE", "member", "cannot disable \"member\": want"},
        {"WHORL_DUMP_ON_SIGQUIT", "-1", "WHORL_DUMP_ON_SIGQUIT=-1: want a number from 0 to 1"},
        {"WHORL_CANCEL_ON_SIGINT", "2", "WHORL_CANCEL_ON_SIGINT=2: want a number from 0 to 1"},
        {"WHORL_SPIN_NS", "2000M", "WHORL_SPIN_NS=2000M: want a number from -1 to 1000000000"},
        {"WHORL_SPIN_NS", "-2", "WHORL_SPIN_NS=-2: want"},
        {"WHORL_SPIN_NS", "50us", "WHORL_SPIN_NS=50us: want"},
        {"WHORL_DEBUG", "2", "WHORL_DEBUG=2: want a number from 0 to 1"},
        {"WHORL_SLICE_NS", "1000", "WHORL_SLICE_NS=1000: want a number from 1000000 to 3600000000000"},
        {"WHORL_BLOCKING_GRACE_NS", "-1", "WHORL_BLOCKING_GRACE_NS=-1: want"},
        {"WHORL_BLOCKING_GRACE_NS", "1s", "WHORL_BLOCKING_GRACE_NS=1s: want"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused((struct attempt){.name = cases[i].name, .value = cases[i].value, .options = OPTIONS(0)}, cases[i].says);
}

static intptr_t must_not_run(void *arg)
{
    (void)arg;
    CHECK(false);
    return 1;
}

static void run_with_bad_option(void *arg)
{
    (void)arg;
    CHECK_EQ(null_run(must_not_run, NULL, &(struct whorl_options){.workers = 9999}), -EINVAL);
}

TEST(config, nothing_runs_with_a_wrong_option)
{
    char err[2048];

    CHECK_EQ(run_in_child(run_with_bad_option, NULL, err, sizeof err), 0);
    CHECK_HAS(err, "whorl_options.workers is 9999");
}
