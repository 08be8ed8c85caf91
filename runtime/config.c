/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* CPU affinity */
#include "runtime/config.h"
#include "runtime/fatal.h"
#include "runtime/record.h"
#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_SIZE_DEFAULT ((size_t)64 << 10)
#define SPIN_DEFAULT       WHORL_US(50)
#define RECORDS_PART       8
#define SLICE_DEFAULT      WHORL_MS(100)
#define SLICE_MIN          WHORL_MS(1)
#define SLICE_MAX          WHORL_SEC(3600)

/* CPUs of time that the cgroup's quota allows, rounded up; 0: no quota, or none to be read. */
static int cgroup_cpus(void)
{
    char path[512] = "", line[512], file[600];
    long long quota, period;
    FILE *f = fopen("/proc/self/cgroup", "re");
    int cpus = 0;

    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "0::", 3) == 0)
            sscanf(line + 3, "%511[^\n]", path);
    fclose(f);
    /* The quota of any group above counts as well. */
    for (;;) {
        snprintf(file, sizeof file, "/sys/fs/cgroup%s/cpu.max", path);
        f = fopen(file, "re");
        if (f) {
            if (fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
                int here = (int)((quota + period - 1) / period);

                cpus = cpus == 0 || here < cpus ? here : cpus;
            }
            fclose(f);
        }
        if (!strrchr(path, '/'))
            return cpus;
        *strrchr(path, '/') = 0;
    }
}

static int default_workers(void)
{
    cpu_set_t allowed;
    int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN), quota = cgroup_cpus(); /* more than a cpu_set_t has room for, if that fails */

    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0)
        cpus = CPU_COUNT(&allowed);
    if (cpus < 1)
        cpus = 1;
    if (quota > 0 && quota < cpus)
        cpus = quota;
    return cpus < WHORL__WORKERS_MAX ? cpus : WHORL__WORKERS_MAX;
}

/* Reads a whole number with an optional K, M or G behind it. */
static bool parse_number(const char *text, long long *out)
{
    char *end;
    long long scale = 1;

    errno = 0; /* local: nothing suspends here */
    *out = strtoll(text, &end, 10);
    if (end == text || errno)
        return false;
    if (*end == 'K' || *end == 'k')
        scale = 1 << 10;
    else if (*end == 'M' || *end == 'm')
        scale = 1 << 20;
    else if (*end == 'G' || *end == 'g')
        scale = 1 << 30;
    if (scale > 1)
        end++;
    return *end == 0 && !__builtin_mul_overflow(*out, scale, out);
}

/* The number in environment variable `name`, if it is set, within these bounds. */
static int env_number(const char *name, long long least, long long most, long long *out)
{
    const char *text = getenv(name);
    long long n;

    if (!text || !*text)
        return 0;
    if (!parse_number(text, &n) || n < least || n > most) {
        whorl__say("%s=%s: want a number from %lld to %lld", name, text, least, most);
        return -EINVAL;
    }
    *out = n;
    return 0;
}

static int read_workers(struct whorl__config *c, const struct whorl_options *o)
{
    long long n = o->workers;
    int err = env_number("WHORL_WORKERS", 1, WHORL__WORKERS_MAX, &n);

    if (err)
        return err;
    if (n < 0 || n > WHORL__WORKERS_MAX) {
        whorl__say("whorl_options.workers is %lld: want 1 to %d, or 0 for one a CPU", n, WHORL__WORKERS_MAX);
        return -EINVAL;
    }
    c->workers = n ? (int)n : default_workers();
    return 0;
}

static int read_stack_size(struct whorl__config *c, const struct whorl_options *o)
{
    long long n = o->stack_size <= WHORL__STACK_SIZE_MAX ? (long long)o->stack_size : -1;
    int err = env_number("WHORL_STACK_SIZE", 1, (long long)WHORL__STACK_SIZE_MAX, &n);

    if (err)
        return err;
    c->stack_class = n < 0 ? -1 : whorl__stack_class(n ? (size_t)n : STACK_SIZE_DEFAULT);
    if (c->stack_class < 0) {
        whorl__say("whorl_options.stack_size is %zu: want at most %zu", o->stack_size, WHORL__STACK_SIZE_MAX);
        return -EINVAL;
    }
    return 0;
}

/* Of the memory a part is for records, so that tasks can wait for stacks; and however little that is, enough for each worker to keep
 * some. */
static int read_memory(struct whorl__config *c, const struct whorl_options *o)
{
    long long n = o->memory < INT64_MAX ? (long long)o->memory : INT64_MAX;
    int err = env_number("WHORL_MEMORY", 0, INT64_MAX, &n);
    size_t records = (size_t)n / RECORDS_PART, least = ((size_t)c->workers + 1) * WHORL__RECORDS_KEPT;

    c->stacks_max = n ? (size_t)n - records : SIZE_MAX;
    records /= sizeof(struct whorl_task) + sizeof(struct whorl__rare);
    c->records_max = !n ? SIZE_MAX : records > least ? records : least;
    return err;
}

static int read_reactor(struct whorl__config *c, const struct whorl_options *o)
{
    const char *name = getenv("WHORL_REACTOR");

    if (!name || !*name)
        name = o->reactor ? o->reactor : "uring";
    if (strcmp(name, "uring") != 0 && strcmp(name, "null") != 0) {
        whorl__say("reactor \"%s\" is unknown: want uring or null (whorl_options.reactor, WHORL_REACTOR)", name);
        return -EINVAL;
    }
    snprintf(c->reactor, sizeof c->reactor, "%s", name);
    return 0;
}

static int read_exit_policy(struct whorl__config *c, const struct whorl_options *o)
{
    const char *text = getenv("WHORL_EXIT");

    c->exit_policy = o->exit_policy;
    if (text && strcmp(text, "join") == 0)
        c->exit_policy = WHORL_EXIT_JOIN;
    else if (text && strcmp(text, "cancel") == 0)
        c->exit_policy = WHORL_EXIT_CANCEL;
    else if (text && *text) {
        whorl__say("WHORL_EXIT=%s: want join or cancel", text);
        return -EINVAL;
    }
    if (c->exit_policy != WHORL_EXIT_JOIN && c->exit_policy != WHORL_EXIT_CANCEL) {
        whorl__say("whorl_options.exit_policy is %d: want WHORL_EXIT_JOIN or WHORL_EXIT_CANCEL", (int)c->exit_policy);
        return -EINVAL;
    }
    return 0;
}

static int read_disable(struct whorl__config *c, const struct whorl_options *o)
{
    static const struct {
        const char *name;
        unsigned bit;
    } features[] = {
        {"guard_install", WHORL__DISABLE_GUARD_INSTALL},
        {"process_madvise", WHORL__DISABLE_PROCESS_MADVISE},
        {"send_msg_ring", WHORL__DISABLE_SEND_MSG_RING},
        {"membarrier", WHORL__DISABLE_MEMBARRIER},
        {"watcher", WHORL__DISABLE_WATCHER},
    };
    const char *text = getenv("WHORL_DISABLE");

    if (!text || !*text)
        text = o->disable ? o->disable : "";
    while (*text) {
        size_t length = strcspn(text, ","), i = 0, count = sizeof features / sizeof *features;

        while (i < count && (strlen(features[i].name) != length || strncmp(text, features[i].name, length) != 0))
            i++;
        if (i == count && length > 0) {
            whorl__say("cannot disable \"%.*s\": want guard_install, process_madvise, send_msg_ring, membarrier or watcher "
                       "(whorl_options.disable, WHORL_DISABLE)",
                       (int)length, text);
            return -EINVAL;
        }
        if (length > 0)
            c->disable |= features[i].bit;
        text += length;
        text += *text == ',';
    }
    return 0;
}

static int read_flags(struct whorl__config *c, const struct whorl_options *o)
{
    long long pin = o->pin, dump = o->dump_on_sigquit, cancel = o->cancel_on_sigint, spin = o->spin_ns ? o->spin_ns : SPIN_DEFAULT,
              seed = 0;
    long long grace = o->blocking_grace > 0 ? o->blocking_grace : 0;
    int err = env_number("WHORL_PIN", 0, 1, &pin);

    if (!err)
        err = env_number("WHORL_DUMP_ON_SIGQUIT", 0, 1, &dump);
    if (!err)
        err = env_number("WHORL_CANCEL_ON_SIGINT", 0, 1, &cancel);
    if (!err)
        err = env_number("WHORL_SPIN_NS", -1, WHORL_SEC(1), &spin);
    if (!err)
        err = env_number("WHORL_BLOCKING_GRACE_NS", 0, INT64_MAX, &grace);
    if (!err)
        err = env_number("WHORL_SEED", 0, INT64_MAX, &seed);
    c->pin = pin != 0;
    c->dump_on_sigquit = dump != 0;
    c->cancel_on_sigint = cancel != 0;
    c->spin_ns = spin;
    c->blocking_grace = grace;
    c->seed = seed ? (uint64_t)seed : o->seed;
    return err;
}

static int read_debug(struct whorl__config *c, const struct whorl_options *o)
{
    long long debug = o->debug, slice = o->slice_ns ? o->slice_ns : SLICE_DEFAULT;
    int err = env_number("WHORL_DEBUG", 0, 1, &debug);

    if (!err)
        err = env_number("WHORL_SLICE_NS", SLICE_MIN, SLICE_MAX, &slice);
    if (!err && (slice < SLICE_MIN || slice > SLICE_MAX)) {
        whorl__say("whorl_options.slice_ns is %lld: want a time from 1 ms to 1 h, or 0 for 100 ms", slice);
        err = -EINVAL;
    }
    c->debug = debug != 0;
    c->slice_ns = slice;
    return err;
}

int whorl__config_read(struct whorl__config *c, const struct whorl_options *options)
{
    static const struct whorl_options defaults = {.size = sizeof defaults};
    static int (*const readers[])(struct whorl__config *, const struct whorl_options *) = {
        read_workers, read_stack_size, read_memory, read_reactor, read_exit_policy, read_disable, read_flags, read_debug};
    const struct whorl_options *o = options ? options : &defaults;

    memset(c, 0, sizeof *c);
    if (o->size != sizeof *o) {
        whorl__say("whorl_options.size is %zu: set it to sizeof(struct whorl_options), %zu", o->size, sizeof *o);
        return -EINVAL;
    }
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        int err = readers[i](c, o);

        if (err)
            return err;
    }
    return 0;
}
