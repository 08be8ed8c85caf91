/* SPDX-License-Identifier: MIT */
/* Channels, queues and selects between tasks of several workers, and OS threads: what is sent is received, once, whoever is cancelled or
 * late, and however selects meet. */
#include "tests/io/loopback.h"

#include <pthread.h>

enum { CHANNELS = 4, SELECTORS = 6, PLAIN = 4, THREADS = 2 };

static unsigned times(unsigned count)
{
    return rounds(count) * test_seconds(1);
}

static int workers_here(void)
{
    const char *given = getenv("WHORL_WORKERS");

    return given ? atoi(given) : 2;
}

/* Sums over items: if none is lost or doubled those of both sides agree. */
struct sums {
    uint64_t count, sum, mixed;
};

static void add(struct sums *sums, uint64_t item)
{
    __atomic_fetch_add(&sums->count, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&sums->sum, item, __ATOMIC_RELAXED);
    __atomic_fetch_add(&sums->mixed, (item + 1) * 0x9e3779b97f4a7c15 % 0xfffffffb, __ATOMIC_RELAXED);
}

struct market {
    struct whorl_channel *channels[CHANNELS];
    struct sums sent, received;
    uint64_t next; /* item that nobody has yet; anyone, atomic */
};

struct trader {
    struct market *market;
    uint64_t random;
    struct whorl_task *task;
};

static uint64_t new_item(struct market *m)
{
    return __atomic_fetch_add(&m->next, 1, __ATOMIC_RELAXED);
}

static struct whorl_channel *any_channel(struct trader *trader)
{
    return trader->market->channels[test_random(&trader->random) % CHANNELS];
}

/* One select over some channels, and now and then a time. False: what it chose is closed. */
static bool select_once(struct trader *trader, uint64_t *offer)
{
    struct market *m = trader->market;
    uint64_t received = 0;
    struct whorl_case cases[CHANNELS + 1];
    size_t count = 1 + test_random(&trader->random) % CHANNELS;
    int chosen;

    for (size_t i = 0; i < count; i++)
        cases[i] = test_random(&trader->random) % 2 ? whorl_case_send(any_channel(trader), offer)
                                                    : whorl_case_recv(any_channel(trader), &received);
    if (test_random(&trader->random) % 4 == 0)
        cases[count++] = whorl_case_at(whorl_after((whorl_ns)(test_random(&trader->random) % 20000)));
    chosen = whorl_select(cases, count);
    if (chosen < 0) {
        CHECK(chosen == -ECANCELED || chosen == -ETIMEDOUT);
        return true;
    }
    if (cases[chosen].result == 0 && cases[chosen].item == offer) {
        add(&m->sent, *offer);
        *offer = new_item(m);
    } else if (cases[chosen].result == 0 && cases[chosen].item == &received) {
        add(&m->received, received);
    }
    return cases[chosen].result == 0;
}

static intptr_t trade(void *arg)
{
    struct trader *trader = arg;
    uint64_t offer = new_item(trader->market);
    bool open = true;

    while (open) {
        struct whorl_scope s;

        whorl_scope_open(&s);
        if (test_random(&trader->random) % 2)
            whorl_scope_deadline(&s, whorl_after((whorl_ns)(test_random(&trader->random) % 30000)));
        open = select_once(trader, &offer);
        whorl_scope_close(&s);
    }
    return 0;
}

/* Those who only send, or receive, in a task or a thread, until all is closed. */
static intptr_t send_items(void *arg)
{
    struct trader *trader = arg;
    struct market *m = trader->market;
    int err;

    do {
        uint64_t item = new_item(m);

        err = whorl_channel_send(any_channel(trader), &item);
        if (err == 0)
            add(&m->sent, item);
    } while (err != -EPIPE);
    return 0;
}

static intptr_t receive_items(void *arg)
{
    struct trader *trader = arg;
    int err;

    do {
        uint64_t item;

        err = whorl_channel_recv(any_channel(trader), &item);
        if (err == 0)
            add(&trader->market->received, item);
    } while (err != -EPIPE);
    return 0;
}

static void *send_in_thread(void *arg)
{
    send_items(arg);
    return NULL;
}

static void *receive_in_thread(void *arg)
{
    receive_items(arg);
    return NULL;
}

static whorl_fn role_of(int i)
{
    return i < SELECTORS ? trade : i % 2 ? send_items : receive_items;
}

static void cancel_now_and_then(struct trader *traders)
{
    uint64_t random = test_seed();
    whorl_ns end = whorl_after(WHORL_MS(SANITIZED ? 700 : 400) * test_seconds(1));

    while (whorl_now() < end) {
        whorl_sleep((whorl_ns)(test_random(&random) % 50000));
        whorl_cancel(traders[test_random(&random) % (SELECTORS + PLAIN)].task);
    }
}

static intptr_t run_market(void *arg)
{
    struct market *m = arg;
    struct trader traders[SELECTORS + PLAIN + 2 * THREADS];
    pthread_t threads[2 * THREADS];
    uint64_t item;

    for (int i = 0; i < SELECTORS + PLAIN + 2 * THREADS; i++) {
        traders[i] = (struct trader){.market = m, .random = test_seed() + (uint64_t)i};
        if (i < SELECTORS + PLAIN)
            traders[i].task = start("trader", role_of(i), &traders[i]);
        else
            CHECK_EQ(pthread_create(&threads[i - SELECTORS - PLAIN], NULL, i % 2 ? send_in_thread : receive_in_thread, &traders[i]),
                     0);
    }
    cancel_now_and_then(traders);
    for (int i = 0; i < CHANNELS; i++)
        whorl_channel_close(m->channels[i]);
    for (int i = 0; i < SELECTORS + PLAIN; i++)
        CHECK_EQ(result_of(traders[i].task), 0);
    for (int i = 0; i < 2 * THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < CHANNELS; i++)
        while (whorl_channel_try_recv(m->channels[i], &item) == 0)
            add(&m->received, item);
    return 0;
}

/* Selects that can only meet each other, each with both sides of two channels: every one meets one of the other kind. */
struct half {
    struct whorl_channel *out, *in;
    unsigned rounds, sent, received;
};

static intptr_t meet(void *arg)
{
    struct half *h = arg;

    for (unsigned i = 0; i < h->rounds; i++) {
        long item = 0;
        struct whorl_case cases[] = {whorl_case_send(h->out, &item), whorl_case_recv(h->in, &item)};
        int chosen = whorl_select(cases, 2);

        if (!CHECK(chosen >= 0))
            return chosen;
        h->sent += chosen == 0;
        h->received += chosen == 1;
    }
    return 0;
}

static intptr_t meet_all(void *arg)
{
    enum { PAIRS = 3 };
    struct whorl_channel *channels[] = {whorl_channel_create(sizeof(long), 0), whorl_channel_create(sizeof(long), 0)};
    struct half halves[2 * PAIRS];
    struct whorl_scope s;
    unsigned sent = 0;

    whorl_scope_open(&s);
    for (int i = 0; i < 2 * PAIRS; i++) {
        struct whorl_spawn_options apart = {.size = sizeof apart, .worker = WHORL_WORKER(i % whorl_workers())};

        halves[i] = (struct half){.out = channels[i % 2], .in = channels[1 - i % 2], .rounds = times(20000)};
        CHECK_EQ(whorl_scope_spawn_with(&s, meet, &halves[i], &apart), 0);
    }
    CHECK_EQ(whorl_scope_close(&s), 0);
    for (int i = 0; i < 2 * PAIRS; i++) {
        CHECK_EQ(halves[i].sent + halves[i].received, halves[i].rounds);
        sent += halves[i].sent;
    }
    CHECK_EQ(sent, PAIRS * halves[0].rounds);
    whorl_channel_destroy(channels[0]);
    whorl_channel_destroy(channels[1]);
    return (intptr_t)arg;
}

TEST(stress_channel, selects_that_meet_go_on, .timeout = 60)
{
    NEED_URING();
    CHECK_EQ(whorl_run(meet_all, NULL, &(struct whorl_options){.size = sizeof(struct whorl_options), .workers = workers_here()}),
             0);
}

/* Two that only send and receive, while both are cancelled all the time: a cancel often comes between the handing over and the waking. */
static intptr_t cancel_always(void *arg)
{
    struct market *m = arg;
    struct trader traders[2] = {{.market = m}, {.market = m}};
    whorl_ns end = whorl_after(WHORL_MS(SANITIZED ? 700 : 300) * test_seconds(1));

    for (int i = 0; i < 2; i++) {
        traders[i].random = test_seed() + (uint64_t)i;
        traders[i].task = start("trader", i ? send_items : receive_items, &traders[i]);
    }
    for (int i = 0; whorl_now() < end; i++) {
        whorl_cancel(traders[i % 2].task);
        whorl_yield();
    }
    for (int i = 0; i < CHANNELS; i++)
        whorl_channel_close(m->channels[i]);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(result_of(traders[i].task), 0);
    return 0;
}

static void check_market(whorl_fn fn, const size_t *capacities)
{
    struct whorl_options options = {.size = sizeof options, .workers = workers_here()};
    struct market m = {.next = 1};

    for (int i = 0; i < CHANNELS; i++)
        m.channels[i] = whorl_channel_create(sizeof(uint64_t), capacities[i]);
    CHECK_EQ(whorl_run(fn, &m, &options), 0);
    CHECK(m.sent.count > 0);
    CHECK_EQ(m.received.count, m.sent.count);
    CHECK_EQ(m.received.sum, m.sent.sum);
    CHECK_EQ(m.received.mixed, m.sent.mixed);
    for (int i = 0; i < CHANNELS; i++)
        whorl_channel_destroy(m.channels[i]);
}

TEST(stress_channel, tasks_and_threads_lose_nothing, .timeout = 60)
{
    NEED_URING();
    check_market(run_market, (const size_t[CHANNELS]){0, 0, 1, 16});
}

TEST(stress_channel, what_was_handed_over_wins_over_a_cancel, .timeout = 60)
{
    NEED_URING();
    check_market(cancel_always, (const size_t[CHANNELS]){0, 0, 0, 0});
}

/* Tasks that end just when a time comes, a channel has something, or the select is cancelled. */
static intptr_t end_soon(void *arg)
{
    whorl_sleep((whorl_ns)(uintptr_t)arg);
    return 7;
}

static intptr_t select_once_more(void *arg)
{
    struct whorl_case *cases = arg;

    return whorl_select(cases, 2);
}

static intptr_t race_ends(void *arg)
{
    uint64_t random = test_seed() + (uint64_t)(uintptr_t)arg;

    for (unsigned i = times(1000); i > 0; i--) {
        struct whorl_task *child = start("child", end_soon, (void *)(uintptr_t)(test_random(&random) % 30000)), *t;
        intptr_t result = 0;
        struct whorl_case cases[] = {whorl_case_join(child, &result),
                                     whorl_case_at(whorl_after((whorl_ns)(test_random(&random) % 30000)))};
        intptr_t chosen;
        bool cancel = test_random(&random) % 2;

        t = start("selects", select_once_more, cases);
        whorl_sleep((whorl_ns)(test_random(&random) % 30000));
        if (cancel)
            whorl_cancel(t);
        chosen = result_of(t);
        CHECK(chosen == 0 || chosen == 1 || (cancel && chosen == -ECANCELED));
        if (chosen == 0)
            CHECK_EQ(result, 7);
        else
            CHECK_EQ(result_of(child), 7); /* its handle is still valid */
    }
    return 0;
}

static intptr_t race_all(void *arg)
{
    struct whorl_task *tasks[4];

    for (int i = 0; i < 4; i++)
        tasks[i] = start("race", race_ends, (void *)(uintptr_t)i);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
    return (intptr_t)arg;
}

TEST(stress_channel, of_an_end_a_time_and_a_cancel_one_counts, .timeout = 60)
{
    NEED_URING();
    CHECK_EQ(whorl_run(race_all, NULL, &(struct whorl_options){.size = sizeof(struct whorl_options), .workers = workers_here()}),
             0);
}

/* Work for tasks and threads: what is put is done before the join returns. */
struct shop {
    struct whorl_queue *queue;
    uint64_t done;
};

static intptr_t work(void *arg)
{
    struct shop *s = arg;
    long item;

    while (whorl_queue_get(s->queue, &item) == 0) {
        __atomic_fetch_add(&s->done, (uint64_t)item, __ATOMIC_RELAXED);
        CHECK_EQ(whorl_queue_done(s->queue), 0);
    }
    return 0;
}

static void *work_in_thread(void *arg)
{
    work(arg);
    return NULL;
}

static intptr_t run_shop(void *arg)
{
    struct shop *s = arg;
    struct whorl_task *workers[4];
    pthread_t threads[THREADS];
    uint64_t sum = 0;

    for (int i = 0; i < 4; i++)
        workers[i] = start("worker", work, s);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, work_in_thread, s), 0);
    for (unsigned round = times(50); round > 0; round--) {
        for (long i = 1; i <= 100; i++, sum += (uint64_t)i - 1)
            CHECK_EQ(whorl_queue_put(s->queue, &i), 0);
        CHECK_EQ(whorl_queue_join(s->queue), 0);
        CHECK_EQ(__atomic_load_n(&s->done, __ATOMIC_RELAXED), sum);
    }
    whorl_queue_close(s->queue);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(result_of(workers[i]), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    return 0;
}

TEST(stress_channel, a_queue_is_done_when_all_is_done, .timeout = 60)
{
    NEED_URING();
    for (size_t most = 0; most < 8; most += 7) {
        struct shop s = {.queue = whorl_queue_create(sizeof(long), most, WHORL_QUEUE_FIFO)};

        CHECK_EQ(whorl_run(run_shop, &s, &(struct whorl_options){.size = sizeof(struct whorl_options), .workers = workers_here()}),
                 0);
        whorl_queue_destroy(s.queue);
    }
}
