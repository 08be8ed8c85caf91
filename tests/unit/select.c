/* SPDX-License-Identifier: MIT */
/* Selecting on the null reactor: over channels, queues, tasks and times; which is chosen, and that the others have not happened. Linked with
 * --wrap=mmap64, so that a timer can have no memory. */
#include <whorl/whorl.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "child.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

static bool no_memory;

void *__real_mmap64(void *p, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *p, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_mmap64(void *p, size_t size, int protection, int flags, int fd, off_t offset)
{
    return no_memory ? MAP_FAILED : __real_mmap64(p, size, protection, flags, fd, offset);
}

static void run_everywhere(whorl_fn fn, void *arg)
{
    for (uint64_t i = 0; i < 20; i++)
        CHECK_EQ(null_run(fn, arg, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0);
    CHECK_EQ(null_run_real(fn, arg, &(struct whorl_options){.spin_ns = -1}), 0);
}

/* The clock of null_run_real ticks while tasks run. */
static bool at(whorl_ns time)
{
    return whorl_now() >= time && whorl_now() < time + 1000 * NULL_TICK;
}

enum { CHANNELS = 4 };

static void create_all(struct whorl_channel **channels, size_t capacity)
{
    for (int i = 0; i < CHANNELS; i++)
        channels[i] = whorl_channel_create(sizeof(long), capacity);
}

static void destroy_all(struct whorl_channel **channels)
{
    for (int i = 0; i < CHANNELS; i++)
        whorl_channel_destroy(channels[i]);
}

static intptr_t choose_often(void *arg)
{
    enum { ROUNDS = 4000 };
    struct whorl_channel *channels[CHANNELS];
    struct whorl_case cases[CHANNELS + 1];
    long items[CHANNELS];
    int chosen[CHANNELS] = {0};

    create_all(channels, 1);
    for (long i = 0; i < CHANNELS; i++) {
        cases[i] = whorl_case_recv(channels[i], &items[i]);
        CHECK_EQ(whorl_channel_send(channels[i], &i), 0);
    }
    cases[CHANNELS] = whorl_case_at(WHORL_SEC(1000));
    for (int i = 0; i < ROUNDS; i++) {
        long at_index = i % 2 ? whorl_select(cases, CHANNELS + 1) : whorl_try_select(cases, CHANNELS + 1);

        if (!CHECK(at_index >= 0 && at_index < CHANNELS))
            return -EIO;
        CHECK_EQ(items[at_index], at_index);
        CHECK_EQ(cases[at_index].result, 0);
        chosen[at_index]++;
        CHECK_EQ(whorl_channel_try_send(channels[at_index], &at_index), 0);
    }
    for (int i = 0; i < CHANNELS; i++)
        CHECK(chosen[i] > ROUNDS / 5 && chosen[i] < ROUNDS * 3 / 10); /* by chance once in some 10^13 runs */
    destroy_all(channels);
    (void)arg;
    return 0;
}

TEST(select, of_several_that_are_ready_each_is_as_likely)
{
    run_everywhere(choose_often, NULL);
}

static intptr_t try_all(void *arg)
{
    struct whorl_channel *c = whorl_channel_create(sizeof(long), 1), *meeting = whorl_channel_create(sizeof(long), 0);
    struct whorl_queue *q = whorl_queue_create(sizeof(long), 0, WHORL_QUEUE_FIFO);
    long in = 5, out = 0;
    struct whorl_case recv = whorl_case_recv(c, &out), send = whorl_case_send(c, &in), get = whorl_case_get(q, &out);
    struct whorl_case both[] = {whorl_case_send(meeting, &in), whorl_case_recv(meeting, &out)};
    struct whorl_case late = whorl_case_at(WHORL_SEC(5)), now = whorl_case_at(0), never = whorl_case_at(WHORL_NEVER);

    (void)arg;
    CHECK_EQ(whorl_try_select(NULL, 0), -EAGAIN);
    CHECK_EQ(whorl_try_select(&recv, 1), -EAGAIN);
    CHECK_EQ(whorl_try_select(&send, 1), 0);
    CHECK_EQ(whorl_try_select(&send, 1), -EAGAIN);
    CHECK_EQ(whorl_try_select(&recv, 1), 0);
    CHECK_EQ(out, 5);
    CHECK_EQ(whorl_try_select(both, 2), -EAGAIN); /* a task does not meet itself */
    CHECK_EQ(whorl_try_select(&get, 1), -EAGAIN);
    CHECK_EQ(whorl_queue_put(q, &(long){6}), 0);
    CHECK_EQ(whorl_try_select(&get, 1), 0);
    CHECK_EQ(out, 6);
    CHECK_EQ(whorl_try_select(&late, 1), -EAGAIN);
    CHECK_EQ(whorl_try_select(&never, 1), -EAGAIN);
    CHECK_EQ(whorl_try_select(&now, 1), 0);
    CHECK_EQ(now.result, 0);
    CHECK_EQ(whorl_try_select(&now, WHORL_CASES_MAX + 1), -EINVAL);
    CHECK_EQ(whorl_select(&now, WHORL_CASES_MAX + 1), -EINVAL);
    whorl_channel_close(c);
    whorl_queue_close(q);
    CHECK_EQ(whorl_select(&recv, 1), 0);
    CHECK_EQ(recv.result, -EPIPE);
    CHECK_EQ(whorl_select(&send, 1), 0);
    CHECK_EQ(send.result, -EPIPE);
    CHECK_EQ(whorl_select(&get, 1), 0);
    CHECK_EQ(get.result, -EPIPE);
    whorl_channel_destroy(c);
    whorl_channel_destroy(meeting);
    whorl_queue_destroy(q);
    return 0;
}

TEST(select, without_waiting_it_tells_what_can_be_done)
{
    run_everywhere(try_all, NULL);
}

/* Someone who does one thing after a while. */
struct later {
    whorl_ns after;
    struct whorl_channel *channel;
    char what; /* s: sends, r: receives, c: closes */
    long item;
    int result;
};

static intptr_t do_later(void *arg)
{
    struct later *l = arg;

    whorl_sleep(l->after);
    if (l->what == 's')
        l->result = whorl_channel_send(l->channel, &l->item);
    else if (l->what == 'r')
        l->result = whorl_channel_recv(l->channel, &l->item);
    else
        whorl_channel_close(l->channel);
    return l->item;
}

static intptr_t wait_for_first(void *arg)
{
    struct whorl_channel *channels[CHANNELS];
    struct later l = {.after = WHORL_SEC(1), .what = 's', .item = 77};
    long items[CHANNELS] = {0}, offer = 33;
    intptr_t result = 0;
    struct whorl_case cases[CHANNELS + 2];
    struct whorl_task *t;

    (void)arg;
    create_all(channels, 0);
    for (int i = 0; i < CHANNELS; i++)
        cases[i] = i % 2 ? whorl_case_send(channels[i], &offer) : whorl_case_recv(channels[i], &items[i]);
    cases[CHANNELS] = whorl_case_at(WHORL_SEC(10));
    cases[CHANNELS + 1] = whorl_case_at(WHORL_SEC(9));
    for (int i = 0; i < CHANNELS; i++) {
        l.channel = channels[i];
        l.what = i % 2 ? 'r' : 's';
        l.item = i % 2 ? 0 : 70 + i;
        t = whorl_spawn(do_later, &l);
        CHECK_EQ(whorl_select(cases, CHANNELS + 2), i);
        CHECK_EQ(cases[i].result, 0);
        CHECK_EQ(whorl_join(t, &result), 0);
        CHECK_EQ(i % 2 ? l.item : items[i], i % 2 ? 33 : 70 + i);
        CHECK(at(WHORL_SEC(i + 1)));
    }
    for (int i = 0; i < 2; i++) { /* channels that are closed meanwhile */
        l.channel = channels[i];
        l.what = 'c';
        t = whorl_spawn(do_later, &l);
        CHECK_EQ(whorl_select(cases + i, 1), 0);
        CHECK_EQ(cases[i].result, -EPIPE);
        CHECK_EQ(whorl_join(t, NULL), 0);
    }
    CHECK_EQ(whorl_select(cases + 2, CHANNELS), CHANNELS - 1);
    CHECK(at(WHORL_SEC(9)));
    CHECK_EQ(whorl_select(cases + 4, 1), 0);
    CHECK(at(WHORL_SEC(10)));
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0); /* by the same timer */
    CHECK(at(WHORL_SEC(11)));
    destroy_all(channels);
    return 0;
}

TEST(select, waits_for_whatever_comes_first)
{
    run_everywhere(wait_for_first, NULL);
}

static intptr_t join_first(void *arg)
{
    struct whorl_channel *c = whorl_channel_create(sizeof(long), 0);
    struct later fast = {.after = WHORL_SEC(1), .channel = c, .what = 'c', .item = 5};
    struct later slow = {.after = WHORL_SEC(2), .channel = c, .what = 'c', .item = 6};
    struct whorl_task *tasks[] = {whorl_spawn(do_later, &slow), whorl_spawn(do_later, &fast)};
    intptr_t results[3] = {0};
    struct whorl_case cases[] = {whorl_case_join(tasks[0], &results[0]), whorl_case_join(tasks[1], &results[1]),
                                 whorl_case_at(WHORL_SEC(9))};
    struct whorl_case self = whorl_case_join(whorl_self(), NULL);

    (void)arg;
    CHECK_EQ(whorl_try_select(cases, 3), -EAGAIN);
    CHECK_EQ(whorl_select(cases, 3), 1);
    CHECK_EQ(results[1], 5);
    CHECK(at(WHORL_SEC(1)));
    CHECK_EQ(whorl_result(tasks[0], NULL), -EINPROGRESS); /* still a handle */
    cases[1] = whorl_case_at(WHORL_MS(1500));
    CHECK_EQ(whorl_select(cases, 3), 1);
    CHECK_EQ(whorl_sleep_until(WHORL_SEC(3)), 0);
    cases[1] = whorl_case_at(WHORL_SEC(8));
    CHECK_EQ(whorl_select(cases, 2), 0); /* it has ended already */
    CHECK_EQ(results[0], 6);
    CHECK(at(WHORL_SEC(3)));
    CHECK_EQ(whorl_select(&self, 1), 0);
    CHECK_EQ(self.result, -EDEADLK);
    whorl_channel_destroy(c);
    return 0;
}

TEST(select, a_task_is_joined_when_chosen_and_only_then)
{
    run_everywhere(join_first, NULL);
}

/* Two selects that can only meet each other. */
struct half {
    struct whorl_channel *out, *in;
    long sent, received;
    int chosen;
};

static intptr_t meet_other(void *arg)
{
    struct half *h = arg;
    struct whorl_case cases[] = {whorl_case_send(h->out, &h->sent), whorl_case_recv(h->in, &h->received),
                                 whorl_case_recv(h->out, &h->received)};

    h->chosen = whorl_select(cases, 3); /* on one channel it waits on both sides */
    CHECK_EQ(cases[h->chosen].result, 0);
    return 0;
}

static intptr_t meet_all(void *arg)
{
    struct whorl_channel *channels[CHANNELS];
    struct half halves[8];
    struct whorl_scope s;
    long sum = 0;
    int senders = 0;

    (void)arg;
    create_all(channels, 0);
    whorl_scope_open(&s);
    for (int i = 0; i < 8; i++) {
        halves[i] = (struct half){.out = channels[i % 2], .in = channels[1 - i % 2], .sent = 1L << i};
        CHECK_EQ(whorl_scope_spawn(&s, meet_other, &halves[i]), 0);
    }
    CHECK_EQ(whorl_scope_close(&s), 0);
    for (int i = 0; i < 8; i++) {
        senders += halves[i].chosen == 0;
        sum += halves[i].received - (halves[i].chosen == 0 ? halves[i].sent : 0);
        CHECK(halves[i].received != halves[i].sent);
    }
    CHECK_EQ(senders, 4);
    CHECK_EQ(sum, 0);
    destroy_all(channels);
    return 0;
}

TEST(select, selects_meet_each_other_in_pairs_and_nobody_himself)
{
    run_everywhere(meet_all, NULL);
}

static intptr_t select_nothing(void *arg)
{
    (void)arg;
    return whorl_select(NULL, 0);
}

static intptr_t select_too_long(void *arg)
{
    struct whorl_channel *channels[CHANNELS];
    struct whorl_task *t = whorl_spawn(select_nothing, NULL), *child;
    struct later l = {.after = WHORL_SEC(9), .what = 'c', .item = 4};
    struct whorl_case cases[3];
    struct whorl_scope s;
    long item;
    intptr_t result = 0;

    (void)arg;
    create_all(channels, 0);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, &result), 0);
    CHECK_EQ(result, -ECANCELED);

    l.channel = channels[3];
    child = whorl_spawn(do_later, &l);
    cases[0] = whorl_case_recv(channels[0], &item);
    cases[1] = whorl_case_join(child, &result);
    cases[2] = whorl_case_at(WHORL_SEC(20));
    whorl_scope_open(&s);
    CHECK_EQ(whorl_scope_deadline(&s, WHORL_SEC(2)), 0);
    CHECK_EQ(whorl_select(cases, 3), -ETIMEDOUT);
    CHECK(at(WHORL_SEC(2)));
    CHECK_EQ(whorl_select(cases, 3), -ETIMEDOUT);
    cases[2] = whorl_case_at(0);
    CHECK_EQ(whorl_select(cases, 3), 2); /* what can be done needs no waiting */
    CHECK_EQ(whorl_scope_close(&s), -ETIMEDOUT);
    CHECK_EQ(whorl_channel_try_send(channels[0], &item), -EAGAIN); /* nobody stands there */
    CHECK_EQ(whorl_join(child, &result), 0);
    CHECK_EQ(result, 4);
    destroy_all(channels);
    return 0;
}

TEST(select, ends_early_when_cancelled_or_late_and_leaves_nothing_behind)
{
    run_everywhere(select_too_long, NULL);
}

static intptr_t select_without_memory(void *arg)
{
    struct whorl_channel *c = whorl_channel_create(sizeof(long), 0);
    long item;
    struct whorl_case cases[] = {whorl_case_recv(c, &item), whorl_case_at(WHORL_SEC(1))};

    (void)arg;
    no_memory = true;
    CHECK_EQ(whorl_select(cases, 2), -ENOMEM);
    no_memory = false;
    CHECK_EQ(whorl_channel_try_send(c, &item), -EAGAIN);
    CHECK_EQ(whorl_select(cases, 2), 1);
    CHECK(at(WHORL_SEC(1)));
    whorl_channel_destroy(c);
    return 0;
}

TEST(select, without_memory_for_its_timer_nothing_is_done)
{
    run_everywhere(select_without_memory, NULL);
}

/* Conservation: tasks that send and receive whatever comes first, cancelled and late at any point. */
enum { TRADERS = 5, ITEMS = 10 };

struct market {
    struct whorl_channel *channels[CHANNELS];
    uint64_t random;
    int sent[TRADERS * ITEMS], received[TRADERS * ITEMS];
};

struct trader {
    struct market *market;
    long first; /* of its items */
};

static whorl_ns pause_of(struct market *m)
{
    return (whorl_ns)(test_random(&m->random) % 8) * 100;
}

/* Some of the channels, some sides of them, perhaps a time; 0 to 6 cases. */
static size_t draw_cases(struct market *m, struct whorl_case *cases, long *offer, long *received)
{
    size_t n = 0;

    for (int i = 0; i < CHANNELS + 2; i++) {
        struct whorl_channel *c = m->channels[test_random(&m->random) % CHANNELS];

        switch (test_random(&m->random) % 3) {
        case 0:
            if (*offer >= 0)
                cases[n++] = whorl_case_send(c, offer);
            break;
        case 1:
            cases[n++] = whorl_case_recv(c, received);
            break;
        default:
            if (i == 0)
                cases[n++] = whorl_case_at(whorl_after(pause_of(m)));
        }
    }
    return n;
}

static intptr_t trade(void *arg)
{
    struct trader *trader = arg;
    struct market *m = trader->market;
    long offer = trader->first, received = -1;
    int pipes = 0;

    while (pipes < 3) { /* until all is closed */
        struct whorl_case cases[CHANNELS + 2];
        size_t count = draw_cases(m, cases, &offer, &received);
        struct whorl_scope s;
        int chosen;

        whorl_scope_open(&s);
        whorl_scope_deadline(&s, whorl_after(pause_of(m)));
        chosen = test_random(&m->random) % 4 ? whorl_select(cases, count) : whorl_try_select(cases, count);
        whorl_scope_close(&s);
        CHECK(chosen >= 0 || chosen == -ETIMEDOUT || chosen == -ECANCELED || chosen == -EAGAIN);
        if (chosen >= 0 && cases[chosen].result == -EPIPE) {
            pipes++;
        } else if (chosen >= 0 && cases[chosen].item == &offer) {
            m->sent[offer]++;
            offer = offer + 1 < trader->first + ITEMS ? offer + 1 : -1;
        } else if (chosen >= 0 && cases[chosen].item == &received) {
            m->received[received]++;
        }
        whorl_sleep(pause_of(m));
    }
    return 0;
}

static intptr_t open_market(void *arg)
{
    struct market *m = arg;
    struct trader traders[TRADERS];
    struct whorl_task *tasks[TRADERS];
    long item;

    for (int i = 0; i < TRADERS; i++) {
        traders[i] = (struct trader){.market = m, .first = i * ITEMS};
        tasks[i] = whorl_spawn(trade, &traders[i]);
    }
    for (int i = 0; i < 30; i++) {
        whorl_sleep(pause_of(m));
        whorl_cancel(tasks[test_random(&m->random) % TRADERS]);
    }
    for (int i = 0; i < CHANNELS; i++)
        whorl_channel_close(m->channels[i]);
    for (int i = 0; i < TRADERS; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    for (int i = 0; i < CHANNELS; i++)
        while (whorl_channel_try_recv(m->channels[i], &item) == 0)
            m->received[item]++;
    return 0;
}

TEST(select, nothing_is_lost_or_doubled_whatever_is_cancelled, .timeout = 60)
{
    unsigned seeds = test_seeds(2000);
    int sum = 0;

    for (unsigned i = 0; i < seeds; i++) {
        uint64_t seed = test_seed() + i;
        struct market m = {.random = seed};

        create_all(m.channels, seed % 3);
        CHECK_EQ(null_run(open_market, &m, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = seed}), 0);
        for (int item = 0; item < TRADERS * ITEMS; item++) {
            sum += m.sent[item];
            if (!CHECK_EQ(m.received[item], m.sent[item]))
                return;
        }
        destroy_all(m.channels);
    }
    CHECK(sum > (int)seeds * 10);
}

/* Times that come just when something else does, and the waits after them. */
static intptr_t race_times(void *arg)
{
    struct market *m = arg;

    for (int i = 0; i < 20; i++) {
        struct later l = {.after = pause_of(m), .channel = m->channels[0], .what = 's', .item = i};
        struct whorl_task *t = whorl_spawn(do_later, &l);
        whorl_ns start = whorl_now(), when = start + pause_of(m), length = pause_of(m);
        long item = -1;
        struct whorl_case cases[] = {whorl_case_recv(m->channels[0], &item), whorl_case_at(when)};
        int chosen = whorl_select(cases, 2);

        CHECK(whorl_now() == (chosen == 1 ? when : start + l.after) || (when == start && chosen == 1));
        CHECK_EQ(item, chosen == 0 ? i : -1);
        start = whorl_now();
        CHECK_EQ(whorl_sleep(length), 0);
        CHECK_EQ(whorl_now(), start + length); /* no timer of before ends it */
        if (chosen == 1)
            CHECK_EQ(whorl_channel_recv(m->channels[0], &item), 0);
        CHECK_EQ(whorl_join(t, NULL), 0);
    }
    return 0;
}

TEST(select, a_time_that_was_not_chosen_does_not_end_later_waits)
{
    for (unsigned i = 0; i < test_seeds(500); i++) {
        uint64_t seed = test_seed() + i;
        struct market m = {.random = seed};

        create_all(m.channels, 0);
        CHECK_EQ(null_run(race_times, &m, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = seed}), 0);
        destroy_all(m.channels);
    }
}

static intptr_t join_twice(void *arg)
{
    struct whorl_task *t = whorl_spawn(select_nothing, NULL);
    struct whorl_case cases[] = {whorl_case_join(t, NULL), whorl_case_join(t, NULL)};

    (void)arg;
    return whorl_select(cases, 2);
}

static intptr_t select_in_region(void *arg)
{
    struct whorl_case now = whorl_case_at(0);

    (void)arg;
    whorl_no_suspend_begin();
    return whorl_select(&now, 1);
}

static void run_here(void *arg)
{
    whorl_fn *fn = arg;

    null_run(*fn, NULL, NULL);
}

static void run_outside(void *arg)
{
    whorl_fn *fn = arg;

    (*fn)(NULL);
}

static void aborts(void (*run)(void *), whorl_fn fn, const char *message)
{
    char err[4096];
    int status = run_in_child(run, &fn, err, sizeof err);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(err, message);
}

TEST(select, mistakes_abort_and_say_what_to_do)
{
    aborts(run_here, join_twice, "whorl_select was given the handle of task \"\"");
    aborts(run_here, select_in_region, "whorl_select");
    aborts(run_outside, select_nothing, "whorl_select was called outside a task");
}
