/* SPDX-License-Identifier: MIT */
/* Channels on the null reactor: order, capacity, closing, and that nothing is lost or received twice whatever is cancelled when. Linked
 * with --wrap=calloc and --wrap=aligned_alloc, so that a test can have no memory. */
#include <whorl/whorl.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "child.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

/* The allocation of this number fails, counted from 1 down; 0: none. */
static int fail_at;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static bool fails(void)
{
    return fail_at > 0 && --fail_at == 0;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
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

TEST(channel, items_come_out_in_the_order_of_sending_and_as_they_were)
{
    static const size_t sizes[] = {0, 1, 4, 8, 24, 1000};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct whorl_channel *c = whorl_channel_create(sizes[s], 5);
        unsigned char item[1000], sent = 0, received = 0;

        for (int round = 0; round < 20; round++) {
            for (int i = 0; i < 1 + round % 5; i++) {
                memset(item, sent++, sizeof item);
                CHECK_EQ(whorl_channel_try_send(c, item), 0);
            }
            CHECK_EQ(whorl_channel_length(c), 1 + round % 5);
            for (int i = 0; i < 1 + round % 5; i++) {
                memset(item, 0xff, sizeof item);
                CHECK_EQ(whorl_channel_try_recv(c, item), 0);
                for (size_t b = 0; b < sizes[s]; b++)
                    CHECK_EQ(item[b], received);
                CHECK(sizes[s] == sizeof item || item[sizes[s]] == 0xff);
                received++;
            }
            CHECK_EQ(whorl_channel_try_recv(c, item), -EAGAIN);
        }
        whorl_channel_destroy(c);
    }
}

TEST(channel, full_empty_and_closed_are_told_without_waiting)
{
    struct whorl_channel *c = whorl_channel_create(sizeof(int), 2);
    int item = 1;

    CHECK_EQ(whorl_channel_try_recv(c, &item), -EAGAIN);
    CHECK_EQ(whorl_channel_try_send(c, &item), 0);
    item = 2;
    CHECK_EQ(whorl_channel_try_send(c, &item), 0);
    CHECK_EQ(whorl_channel_try_send(c, &item), -EAGAIN);
    whorl_channel_close(c);
    whorl_channel_close(c);
    CHECK_EQ(whorl_channel_try_send(c, &item), -EPIPE);
    CHECK_EQ(whorl_channel_length(c), 2);
    for (int i = 1; i <= 2; i++) {
        CHECK_EQ(whorl_channel_try_recv(c, &item), 0);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(whorl_channel_try_recv(c, &item), -EPIPE);
    whorl_channel_destroy(c);

    c = whorl_channel_create(sizeof(int), 0);
    CHECK_EQ(whorl_channel_try_send(c, &item), -EAGAIN);
    CHECK_EQ(whorl_channel_try_recv(c, &item), -EAGAIN);
    whorl_channel_destroy(c);
    whorl_channel_destroy(NULL);
}

TEST(channel, items_without_bytes_are_still_counted)
{
    struct whorl_channel *c = whorl_channel_create(0, (size_t)1 << 40);

    for (int i = 0; i < 1000; i++)
        CHECK_EQ(whorl_channel_try_send(c, NULL), 0);
    CHECK_EQ(whorl_channel_length(c), 1000);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(whorl_channel_try_recv(c, NULL), 0);
    CHECK_EQ(whorl_channel_try_recv(c, NULL), -EAGAIN);
    whorl_channel_destroy(c);
}

TEST(channel, without_memory_there_is_none)
{
    for (int n = 1; n <= 2; n++) {
        fail_at = n;
        CHECK(!whorl_channel_create(8, 8));
        CHECK_EQ(fail_at, 0);
    }
    CHECK(!whorl_channel_create(SIZE_MAX / 4, 8));
}

/* One side of a channel that waits, and what came of it. */
struct side {
    struct whorl_channel *channel;
    long item;
    int result;
    whorl_ns end;
};

static intptr_t send_one(void *arg)
{
    struct side *s = arg;

    s->result = whorl_channel_send(s->channel, &s->item);
    s->end = whorl_now();
    return s->result;
}

static intptr_t receive_one(void *arg)
{
    struct side *s = arg;

    s->result = whorl_channel_recv(s->channel, &s->item);
    s->end = whorl_now();
    return s->result;
}

static intptr_t meet(void *arg)
{
    struct side first = {.channel = whorl_channel_create(sizeof(long), 0), .item = 7}, second = {.channel = first.channel};
    struct whorl_task *t = whorl_spawn(send_one, &first);

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    CHECK_EQ(whorl_result(t, NULL), -EINPROGRESS);
    CHECK_EQ(whorl_channel_length(first.channel), 0);
    CHECK_EQ(whorl_channel_recv(second.channel, &second.item), 0);
    CHECK_EQ(second.item, 7);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK(first.result == 0 && first.end >= WHORL_SEC(1));

    t = whorl_spawn(receive_one, &second);
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    first.item = 8;
    CHECK_EQ(whorl_channel_try_send(first.channel, &first.item), 0); /* somebody is there */
    CHECK_EQ(whorl_channel_try_send(first.channel, &first.item), -EAGAIN);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(second.item, 8);
    whorl_channel_destroy(first.channel);
    return 0;
}

TEST(channel, without_capacity_sender_and_receiver_meet)
{
    run_everywhere(meet, NULL);
}

enum { WAITERS = 6 };

static void spawn_in_turn(whorl_fn fn, struct side *sides, struct whorl_task **tasks, struct whorl_channel *c)
{
    for (int i = 0; i < WAITERS; i++) {
        sides[i] = (struct side){.channel = c, .item = fn == send_one ? i : -1};
        tasks[i] = whorl_spawn(fn, &sides[i]);
        CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    }
}

static intptr_t wait_in_turn(void *arg)
{
    struct whorl_channel *c = whorl_channel_create(sizeof(long), 2);
    struct side sides[WAITERS];
    struct whorl_task *tasks[WAITERS];
    long item;

    (void)arg;
    spawn_in_turn(send_one, sides, tasks, c);
    CHECK_EQ(whorl_channel_length(c), 2);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(whorl_channel_recv(c, &item), 0);
        CHECK_EQ(item, i);
    }
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);

    spawn_in_turn(receive_one, sides, tasks, c);
    for (long i = 0; i < WAITERS; i++)
        CHECK_EQ(whorl_channel_send(c, &i), 0);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
        CHECK_EQ(sides[i].item, i);
    }
    CHECK_EQ(whorl_channel_length(c), 0);
    whorl_channel_destroy(c);
    return 0;
}

TEST(channel, who_waits_is_served_in_the_order_of_coming)
{
    run_everywhere(wait_in_turn, NULL);
}

static intptr_t close_on_waiters(void *arg)
{
    size_t capacity = *(size_t *)arg;
    struct whorl_channel *full = whorl_channel_create(sizeof(long), capacity),
                         *empty = whorl_channel_create(sizeof(long), capacity);
    struct side senders[WAITERS], receivers[WAITERS];
    struct whorl_task *tasks[2][WAITERS];
    long item;

    spawn_in_turn(send_one, senders, tasks[0], full);
    spawn_in_turn(receive_one, receivers, tasks[1], empty);
    whorl_channel_close(full);
    whorl_channel_close(empty);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(whorl_join(tasks[0][i], NULL), 0);
        CHECK_EQ(senders[i].result, (size_t)i < capacity ? 0 : -EPIPE);
        CHECK_EQ(whorl_join(tasks[1][i], NULL), 0);
        CHECK_EQ(receivers[i].result, -EPIPE);
        CHECK_EQ(receivers[i].item, -1);
    }
    for (size_t i = 0; i < capacity; i++) {
        CHECK_EQ(whorl_channel_recv(full, &item), 0);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(whorl_channel_recv(full, &item), -EPIPE);
    CHECK_EQ(whorl_channel_send(full, &item), -EPIPE);
    whorl_channel_destroy(full);
    whorl_channel_destroy(empty);
    return 0;
}

TEST(channel, closing_answers_all_who_wait_and_leaves_what_was_sent)
{
    for (size_t capacity = 0; capacity < 4; capacity++)
        run_everywhere(close_on_waiters, &capacity);
}

static intptr_t wait_too_long(void *arg)
{
    struct side s = {.channel = whorl_channel_create(sizeof(long), 1)};
    struct whorl_scope scope;
    struct whorl_task *t = whorl_spawn(receive_one, &s);

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(t);
    CHECK_EQ(whorl_join(t, NULL), 0);
    CHECK_EQ(s.result, -ECANCELED);

    whorl_scope_open(&scope);
    CHECK_EQ(whorl_scope_deadline(&scope, WHORL_SEC(3)), 0);
    CHECK_EQ(whorl_channel_send(s.channel, &s.item), 0);
    CHECK_EQ(whorl_channel_send(s.channel, &s.item), -ETIMEDOUT);
    CHECK(at(WHORL_SEC(3)));
    CHECK_EQ(whorl_channel_recv(s.channel, &s.item), 0); /* what is there needs no waiting */
    CHECK_EQ(whorl_channel_recv(s.channel, &s.item), -ETIMEDOUT);
    CHECK_EQ(whorl_scope_close(&scope), -ETIMEDOUT);
    CHECK_EQ(whorl_channel_try_recv(s.channel, &s.item), -EAGAIN); /* the one that was given up is not there */
    whorl_channel_destroy(s.channel);
    return 0;
}

TEST(channel, waits_end_when_cancelled_or_late)
{
    run_everywhere(wait_too_long, NULL);
}

/* Conservation: tasks send numbered items and receive them, are cancelled and time out at any point, until the channel is closed. */
enum { SENDERS = 4, RECEIVERS = 3, ITEMS = 12 };

struct market {
    struct whorl_channel *channel;
    uint64_t random;
    int sent[SENDERS * ITEMS], received[SENDERS * ITEMS];
};

struct trader {
    struct market *market;
    int first; /* of its items */
};

/* As often as not it waits a little first. */
static whorl_ns pause_of(struct market *m)
{
    return (whorl_ns)(test_random(&m->random) % 8) * 100;
}

static intptr_t sell(void *arg)
{
    struct trader *trader = arg;
    struct market *m = trader->market;

    for (int i = trader->first; i < trader->first + ITEMS; i++) {
        intptr_t item = i;
        struct whorl_scope s;
        int err;

        whorl_scope_open(&s);
        whorl_scope_deadline(&s, whorl_after(pause_of(m)));
        err = test_random(&m->random) % 4 ? whorl_channel_send(m->channel, &item) : whorl_channel_try_send(m->channel, &item);
        whorl_scope_close(&s);
        CHECK(err == 0 || err == -ETIMEDOUT || err == -ECANCELED || err == -EPIPE || err == -EAGAIN);
        m->sent[i] += err == 0;
        whorl_sleep(pause_of(m));
    }
    return 0;
}

static intptr_t buy(void *arg)
{
    struct trader *trader = arg;
    struct market *m = trader->market;
    int err;

    do {
        intptr_t item = -1;
        struct whorl_scope s;

        whorl_scope_open(&s);
        whorl_scope_deadline(&s, whorl_after(pause_of(m)));
        err = test_random(&m->random) % 4 ? whorl_channel_recv(m->channel, &item) : whorl_channel_try_recv(m->channel, &item);
        whorl_scope_close(&s);
        if (err == 0)
            m->received[item]++;
        else
            CHECK_EQ(item, -1);
        whorl_sleep(pause_of(m));
    } while (err != -EPIPE);
    return 0;
}

static intptr_t trade(void *arg)
{
    struct market *m = arg;
    struct trader traders[SENDERS + RECEIVERS];
    struct whorl_task *tasks[SENDERS + RECEIVERS];
    int joined = 0;

    for (int i = 0; i < SENDERS + RECEIVERS; i++) {
        traders[i] = (struct trader){.market = m, .first = i * ITEMS};
        tasks[i] = whorl_spawn(i < SENDERS ? sell : buy, &traders[i]);
    }
    for (int i = 0; i < 20; i++) {
        whorl_sleep(pause_of(m));
        whorl_cancel(tasks[test_random(&m->random) % (SENDERS + RECEIVERS)]);
    }
    if (test_random(&m->random) % 2) /* else while they send */
        while (joined < SENDERS)
            CHECK_EQ(whorl_join(tasks[joined++], NULL), 0);
    whorl_channel_close(m->channel);
    while (joined < SENDERS + RECEIVERS)
        CHECK_EQ(whorl_join(tasks[joined++], NULL), 0);
    return 0;
}

TEST(channel, nothing_is_lost_or_doubled_whatever_is_cancelled, .timeout = 60)
{
    unsigned seeds = test_seeds(2000);

    for (unsigned i = 0; i < seeds; i++) {
        uint64_t seed = test_seed() + i;
        struct market m = {.channel = whorl_channel_create(sizeof(intptr_t), seed % 4), .random = seed};
        unsigned sum = 0;

        CHECK_EQ(null_run(trade, &m, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = seed}), 0);
        for (int item = 0; item < SENDERS * ITEMS; item++) {
            if (!CHECK_EQ(m.received[item], m.sent[item]))
                return;
            sum += (unsigned)m.sent[item];
        }
        CHECK(sum > 0);
        CHECK_EQ(whorl_channel_length(m.channel), 0);
        whorl_channel_destroy(m.channel);
    }
}

/* Two that never have to wait, beside one that wants to run. */
struct stream {
    struct whorl_channel *channel;
    bool stop;
};

static intptr_t stream(void *arg)
{
    struct stream *s = arg;
    long item = 0;

    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        CHECK_EQ(whorl_channel_send(s->channel, &item), 0);
        CHECK_EQ(whorl_channel_recv(s->channel, &item), 0);
    }
    return 0;
}

static intptr_t run_beside(void *arg)
{
    struct stream s = {.channel = whorl_channel_create(sizeof(long), 2)};
    struct whorl_task *t = whorl_spawn(stream, &s);

    (void)arg;
    whorl_yield();
    whorl_yield();
    __atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
    CHECK_EQ(whorl_join(t, NULL), 0);
    whorl_channel_destroy(s.channel);
    return 0;
}

TEST(channel, who_never_waits_lets_others_run)
{
    run_everywhere(run_beside, NULL);
}

static intptr_t destroy_waited_for(void *arg)
{
    struct side s = {.channel = whorl_channel_create(sizeof(long), 0)};
    struct whorl_task *t = whorl_spawn(receive_one, &s);

    (void)arg;
    whorl_sleep(1);
    whorl_channel_destroy(s.channel);
    return whorl_join(t, NULL);
}

static intptr_t send_in_region(void *arg)
{
    struct whorl_channel *c = whorl_channel_create(sizeof(long), 1);

    (void)arg;
    whorl_no_suspend_begin();
    return whorl_channel_send(c, &(long){1});
}

static void run_here(void *arg)
{
    whorl_fn *fn = arg;

    null_run(*fn, NULL, NULL);
}

static void aborts(whorl_fn fn, const char *message)
{
    char err[4096];
    int status = run_in_child(run_here, &fn, err, sizeof err);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK_HAS(err, message);
}

TEST(channel, mistakes_abort_and_say_what_to_do)
{
    aborts(destroy_waited_for,
           "whorl_channel_destroy was given one that somebody waits for: close it and let those who wait end before");
    aborts(send_in_region, "whorl_channel_send");
}
