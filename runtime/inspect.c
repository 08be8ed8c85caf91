/* SPDX-License-Identifier: MIT */
/* Dumps and counters. A dump runs in a signal handler too: it takes no lock, allocates nothing, formats by hand and uses only
 * write(2). What it reads may change under it: records and slabs stay, single fields are atomic, and a line that mixes two moments
 * is the price. */
#include "runtime/inspect.h"
#include "runtime/holder.h"
#include "runtime/scheduler.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Runtimes that dumps can show at once; one beyond that runs as well but is not shown. */
#define RUNTIMES_MAX 64

static struct whorl__runtime *runtimes[RUNTIMES_MAX]; /* atomic */
static uint32_t unlisted;                             /* those beyond that, atomic */
static uint32_t readers;                              /* dumps under way, atomic */

static struct whorl__spinlock signal_lock; /* guards the two below */
static int signal_users;
static struct sigaction signal_before;

static void on_sigquit(int signal)
{
    int saved = errno;

    (void)signal;
    whorl_dump(STDERR_FILENO);
    errno = saved; /* a handler runs to its end on one thread */
}

static void want_sigquit(int change)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_sigquit;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    whorl__spin_lock(&signal_lock);
    if (change > 0 && signal_users == 0)
        sigaction(SIGQUIT, &action, &signal_before);
    signal_users += change;
    if (change < 0 && signal_users == 0)
        sigaction(SIGQUIT, &signal_before, NULL);
    whorl__spin_unlock(&signal_lock);
}

void whorl__inspect_register(struct whorl__runtime *rt)
{
    if (rt->config.dump_on_sigquit)
        want_sigquit(1);
    for (int i = 0; i < RUNTIMES_MAX; i++) {
        struct whorl__runtime *none = NULL;

        /* Release: pairs with the acquire in whorl_dump. */
        if (whorl__cas_acq_rel(&runtimes[i], &none, rt))
            return;
    }
    whorl__add_relaxed(&unlisted, 1);
}

void whorl__inspect_unregister(struct whorl__runtime *rt)
{
    bool listed = false;

    for (int i = 0; i < RUNTIMES_MAX && !listed; i++) {
        struct whorl__runtime *expected = rt;

        listed = whorl__cas_seq_cst(&runtimes[i], &expected, NULL);
    }
    if (!listed)
        whorl__add_relaxed(&unlisted, (uint32_t)-1);
    /* Store of the slot, then load of the count; a dump counts itself, then loads the slots: one of the two sees the other. */
    while (whorl__load_seq_cst(&readers))
        sched_yield();
    if (rt->config.dump_on_sigquit)
        want_sigquit(-1);
}

bool whorl__inspect_knows(const struct whorl__runtime *rt)
{
    for (int i = 0; i < RUNTIMES_MAX; i++)
        if (whorl__load_relaxed(&runtimes[i]) == rt)
            return true;
    return whorl__load_relaxed(&unlisted) > 0; /* it may be one of them */
}

bool whorl__inspect_any(void)
{
    bool any = whorl__load_relaxed(&unlisted) > 0;

    for (int i = 0; i < RUNTIMES_MAX && !any; i++)
        any = whorl__load_relaxed(&runtimes[i]) != NULL;
    return any;
}

void whorl__inspect_forked(void (*die)(struct whorl__runtime *rt))
{
    for (int i = 0; i < RUNTIMES_MAX; i++) {
        if (runtimes[i])
            die(runtimes[i]);
        runtimes[i] = NULL;
    }
    unlisted = 0;
    readers = 0;
    if (signal_users > 0)
        sigaction(SIGQUIT, &signal_before, NULL);
    signal_users = 0;
}

/* Text for write(2). Full: it is written out. */
struct text {
    int fd;
    size_t length;
    char bytes[1024];
};

static void flush(struct text *text)
{
    size_t done = 0;

    while (done < text->length) {
        ssize_t n = write(text->fd, text->bytes + done, text->length - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    text->length = 0;
}

static void put(struct text *text, const char *s)
{
    for (; *s; s++) {
        if (text->length == sizeof text->bytes)
            flush(text);
        text->bytes[text->length++] = *s;
    }
}

static void put_number(struct text *text, uint64_t n, unsigned base)
{
    char digits[24];
    size_t i = sizeof digits;

    digits[--i] = 0;
    do {
        digits[--i] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    put(text, digits + i);
}

static void put_count(struct text *text, const char *label, const uint64_t *n)
{
    put(text, label);
    put_number(text, whorl__load_relaxed(n), 10);
}

static const char *state_name(uint8_t state)
{
    static const char *const names[] = {"free", "ready", "running", "waits", "ended"};

    return state < sizeof names / sizeof *names ? names[state] : "?";
}

static void put_name(struct text *text, const struct whorl_task *t)
{
    char name[WHORL__NAME_SIZE];

    whorl__copy_name(t, name);
    put(text, " \"");
    put(text, name);
    put(text, "\"");
}

/* The record at `address`; NULL: there is none. Reason and object may be of two waits. */
static const struct whorl_task *record_at(const struct whorl_task *waiter, uintptr_t address)
{
    struct whorl__runtime *rt = whorl__runtime_of(waiter);

    for (struct whorl__record_slab *s = whorl__load_acquire(&rt->slabs); s; s = s->next) {
        uintptr_t offset = address - (uintptr_t)s->tasks;

        if (offset < sizeof s->tasks && offset % sizeof s->tasks[0] == 0)
            return &s->tasks[offset / sizeof s->tasks[0]];
    }
    return NULL;
}

static void put_holder(struct text *text, const struct whorl_task *holder)
{
    uint8_t state = whorl__load_relaxed(&holder->state);

    if (state == WHORL__FREE || state == WHORL__ENDED) {
        put(text, " that a task holds which has ended");
        return;
    }
    put(text, " that task 0x");
    put_number(text, (uintptr_t)holder, 16);
    put_name(text, holder);
    put(text, " holds");
}

/* What a task waits for that other tasks are to give. `still`: none of them runs. */
static void put_latch(struct text *text, const struct whorl_task *t, const char *reason, bool still)
{
    uintptr_t object = whorl__load_relaxed(&t->object);
    const char *opened_at = whorl__load_relaxed(&whorl__rare(t)->opened_at);
    const struct whorl_task *other;

    if (object == 0)
        return;
    put(text, " 0x");
    put_number(text, object, 16);
    if (strcmp(reason, "join") == 0) {
        other = record_at(t, object);
        if (other)
            put_name(text, other);
    } else if (strcmp(reason, "scope") == 0) {
        put(text, " opened at ");
        put(text, opened_at ? opened_at : "?");
    } else if (still && (other = whorl__holder_of(t)) != NULL) {
        put_holder(text, other);
    }
}

static void put_object(struct text *text, const struct whorl_task *t, const char *reason, bool still)
{
    uintptr_t object = whorl__load_relaxed(&t->object);

    switch (whorl__load_relaxed(&t->wait)) {
    case WHORL__WAIT_NONE:
        break;
    case WHORL__WAIT_LATCH:
    case WHORL__WAIT_SYNC:
        put_latch(text, t, reason, still);
        break;
    case WHORL__WAIT_TIMER:
        put(text, " ");
        put_number(text, object, 10);
        put(text, " ns");
        break;
    default:
        put(text, " fd ");
        put(text, (intptr_t)object < 0 ? "-" : "");
        put_number(text, (intptr_t)object < 0 ? (uint64_t) - (intptr_t)object : object, 10);
        break;
    }
}

static void dump_task(struct text *text, const struct whorl_task *t, whorl_ns now, bool still)
{
    uint8_t state = whorl__load_relaxed(&t->state);
    uint16_t bound = whorl__load_relaxed(&t->bound);
    whorl_ns since = whorl__load_relaxed(&t->since);
    const char *where = whorl__load_relaxed(&t->where), *reason = whorl__load_relaxed(&t->reason);
    const char *scope_at = whorl__load_relaxed(&whorl__rare(t)->scope_at);

    put(text, "  task 0x");
    put_number(text, (uintptr_t)t, 16);
    put_name(text, t);
    put(text, " ");
    if (whorl__load_relaxed(&t->root))
        put(text, "(a fork of it) ");
    put(text, state_name(state));
    if (state == WHORL__PARKED) {
        put(text, " for ");
        put(text, reason ? reason : "?");
        put_object(text, t, reason ? reason : "", still);
    } else if (whorl__load_relaxed(&t->traits) & WHORL__NO_SUSPEND) {
        put(text, " in the no-suspend region of ");
        put(text, reason ? reason : "?");
    }
    if (bound) {
        put(text, ", on worker ");
        put_number(text, bound - 1u, 10);
        put(text, " only");
    }
    if (scope_at) {
        put(text, ", in the scope opened at ");
        put(text, scope_at);
    }
    put(text, ", since ");
    put_number(text, now > since ? (uint64_t)(now - since) / 1000 : 0, 10);
    put(text, " us, spawned at ");
    put(text, where ? where : "?");
    put(text, "\n");
}

static void dump_worker(struct text *text, const struct whorl__worker *w)
{
    put(text, "  worker ");
    put_number(text, (uint64_t)w->index, 10);
    put(text, ": ");
    put_number(text,
               whorl__runq_length(&w->ready) + whorl__load_relaxed(&w->ready.bound_count) + whorl__load_relaxed(&w->bound.count),
               10);
    put(text, " ready");
    put_count(text, ", switches ", &w->stats.switches);
    put_count(text, ", spawned ", &w->stats.spawned);
    put_count(text, ", finished ", &w->stats.finished);
    put_count(text, ", steals ", &w->stats.steals);
    put_count(text, ", forks taken ", &w->stats.forks_taken);
    put_count(text, ", operations taken over ", &w->stats.taken_over);
    put_count(text, ", sleeps ", &w->stats.sleeps);
    put_count(text, ", operations ", &w->stats.submitted);
    put_count(text, " submitted, ", &w->stats.completed);
    put(text, " completed\n");
}

static void dump_runtime(struct text *text, struct whorl__runtime *rt, bool still)
{
    whorl_ns now = 0;

    for (int i = 0; i < rt->worker_count; i++) {
        whorl_ns read = whorl__load_relaxed(&rt->workers[i].now);

        now = read > now ? read : now;
    }
    put(text, "whorl: runtime 0x");
    put_number(text, (uintptr_t)rt, 16);
    put(text, ", reactor ");
    put(text, rt->ops->name);
    put(text, ", ");
    put_number(text, (uint64_t)rt->worker_count, 10);
    put(text, " workers\n");
    /* Acquire: pairs with the release in record.c. */
    for (struct whorl__record_slab *s = whorl__load_acquire(&rt->slabs); s; s = s->next)
        for (uint32_t i = 0; i < whorl__load_relaxed(&s->used); i++)
            if (whorl__load_relaxed(&s->tasks[i].state) != WHORL__FREE)
                dump_task(text, &s->tasks[i], now, still);
    for (int i = 0; i < rt->worker_count; i++)
        dump_worker(text, &rt->workers[i]);
}

void whorl__dump_still(struct whorl__runtime *rt, int fd)
{
    struct text text = {.fd = fd, .length = 0};

    dump_runtime(&text, rt, true);
    flush(&text);
}

void whorl_dump(int fd)
{
    struct whorl__worker *w = whorl__worker();
    struct text text = {.fd = fd, .length = 0};

    whorl__add_seq_cst(&readers, 1);
    if (w && w->current) {
        dump_runtime(&text, w->runtime, false);
    } else {
        for (int i = 0; i < RUNTIMES_MAX; i++) {
            struct whorl__runtime *rt = whorl__load_seq_cst(&runtimes[i]);

            if (rt)
                dump_runtime(&text, rt, false);
        }
    }
    flush(&text);
    whorl__add_seq_cst(&readers, (uint32_t)-1);
}

/* Adds a worker's counters. All fields of whorl_stats but the first are counters. */
static void add(struct whorl_stats *sum, const struct whorl__worker *w)
{
    uint64_t *to = &sum->spawned;
    const uint64_t *from = &w->stats.spawned;
    size_t n = (sizeof *sum - offsetof(struct whorl_stats, spawned)) / sizeof *to;

    for (size_t i = 0; i < n; i++)
        to[i] += whorl__load_relaxed(&from[i]);
    sum->enters += whorl__load_relaxed(&w->port->enters);
    sum->cancels += whorl__load_relaxed(&w->port->cancels);
}

int whorl_stats(int index, struct whorl_stats *out)
{
    struct whorl__worker *w;
    struct whorl__runtime *rt;

    whorl__self("whorl_stats", &w);
    rt = w->runtime;
    if (out->size != sizeof *out || index < -1 || index >= rt->worker_count)
        return -EINVAL;
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    for (int i = index < 0 ? 0 : index; i < (index < 0 ? rt->worker_count : index + 1); i++)
        add(out, &rt->workers[i]);
    if (index < 0) { /* what no worker did */
        out->completed += whorl__load_relaxed(&rt->withdrawn);
        out->spawned += whorl__load_relaxed(&rt->posted);
    }
    return 0;
}
