/* SPDX-License-Identifier: MIT */
/* Queues on the null reactor: their orders, the count of what is not done, closing in both ways, and that nothing is lost. Linked with
 * --wrap=calloc and --wrap=aligned_alloc, so that a test can have no memory. */
#include <whorl/whorl.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
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

/* Sorted by `rank`; `number` tells those apart that are level. */
struct job {
    int rank;
    int number;
};

static int by_rank(const void *a, const void *b)
{
    const struct job *first = a, *second = b;

    return first->rank - second->rank;
}

TEST(queue, fifo_and_lifo_with_any_number_of_items)
{
    struct whorl_queue *fifo = whorl_queue_create(sizeof(long), 0, WHORL_QUEUE_FIFO);
    struct whorl_queue *lifo = whorl_queue_create(sizeof(long), 0, WHORL_QUEUE_LIFO);
    long item, put = 0, got = 0;

    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 20; i++, put++)
            CHECK_EQ(whorl_queue_try_put(fifo, &put), 0);
        for (int i = 0; i < 10; i++, got++) {
            CHECK_EQ(whorl_queue_try_get(fifo, &item), 0);
            CHECK_EQ(item, got);
        }
    }
    CHECK_EQ(whorl_queue_length(fifo), put - got);
    for (; got < put; got++) {
        CHECK_EQ(whorl_queue_try_get(fifo, &item), 0);
        CHECK_EQ(item, got);
    }
    CHECK_EQ(whorl_queue_try_get(fifo, &item), -EAGAIN);

    for (long i = 0; i < 1000; i++)
        CHECK_EQ(whorl_queue_try_put(lifo, &i), 0);
    for (long i = 1000; i-- > 0;) {
        CHECK_EQ(whorl_queue_try_get(lifo, &item), 0);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(whorl_queue_try_get(lifo, &item), -EAGAIN);
    whorl_queue_destroy(fifo);
    whorl_queue_destroy(lifo);
    whorl_queue_destroy(NULL);
}

TEST(queue, sorted_gives_the_first_of_the_least)
{
    enum { JOBS = 2000, RANKS = 50 };
    struct whorl_queue *q = whorl_queue_create_sorted(sizeof(struct job), 0, by_rank);
    uint64_t random = test_seed();
    struct job job = {0}, last = {.rank = -1};
    int counts[RANKS] = {0}, in = 0;

    for (int i = 0; i < JOBS; i++) {
        job = (struct job){.rank = (int)(test_random(&random) % RANKS), .number = i};
        CHECK_EQ(whorl_queue_try_put(q, &job), 0);
        counts[job.rank]++;
        in++;
        if (test_random(&random) % 3 == 0) { /* now and then the least of those that are in it */
            int least = 0;

            while (counts[least] == 0)
                least++;
            CHECK_EQ(whorl_queue_try_get(q, &job), 0);
            CHECK_EQ(job.rank, least);
            counts[least]--;
            in--;
        }
    }
    for (; in > 0; in--) {
        CHECK_EQ(whorl_queue_try_get(q, &job), 0);
        CHECK(job.rank > last.rank || (job.rank == last.rank && job.number > last.number));
        last = job;
    }
    CHECK_EQ(whorl_queue_try_get(q, &job), -EAGAIN);
    whorl_queue_destroy(q);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

TEST(queue, sorts_items_of_odd_sizes)
{
    struct whorl_queue *q = whorl_queue_create_sorted(3, 100, by_text);
    char item[4];

    for (int i = 99; i >= 0; i--) {
        snprintf(item, sizeof item, "%02d", i);
        CHECK_EQ(whorl_queue_try_put(q, item), 0);
    }
    CHECK_EQ(whorl_queue_try_put(q, item), -EAGAIN);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(whorl_queue_try_get(q, item), 0);
        CHECK_EQ(atoi(item), i);
    }
    whorl_queue_destroy(q);
}

TEST(queue, without_memory_nothing_is_put_and_nothing_lost)
{
    long item = 0;

    for (int n = 1; n <= 2; n++) {
        fail_at = n;
        CHECK(!whorl_queue_create(8, 0, WHORL_QUEUE_FIFO));
        fail_at = n;
        CHECK(!whorl_queue_create_sorted(8, 0, by_rank));
    }
    CHECK(!whorl_queue_create_sorted(SIZE_MAX - 3, 0, by_rank));
    for (int order = 0; order < 3; order++) {
        struct whorl_queue *q = order < 2 ? whorl_queue_create(sizeof item, 0, order ? WHORL_QUEUE_LIFO : WHORL_QUEUE_FIFO)
                                          : whorl_queue_create_sorted(sizeof item, 0, by_rank);
        long put = 0;

        for (int i = 0; i < 300; i++) {
            int err;

            fail_at = 1;
            item = put;
            err = whorl_queue_try_put(q, &item);
            CHECK(err == (fail_at ? 0 : -ENOMEM));
            fail_at = 0;
            if (err == -ENOMEM)
                CHECK_EQ(whorl_queue_try_put(q, &item), 0);
            put++;
        }
        for (long i = 0; i < put; i++) {
            CHECK_EQ(whorl_queue_try_get(q, &item), 0);
            CHECK_EQ(item, order == 1 ? put - 1 - i : i);
        }
        whorl_queue_destroy(q);
    }
}

/* A worker of a queue, and what it did. */
struct hand {
    struct whorl_queue *queue;
    int count, result;
};

static intptr_t work(void *arg)
{
    struct hand *h = arg;
    long item;

    while ((h->result = whorl_queue_get(h->queue, &item)) == 0) {
        CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
        h->count++;
        CHECK_EQ(whorl_queue_done(h->queue), 0);
    }
    return 0;
}

enum { HANDS = 4, PIECES = 40 };

static intptr_t work_off(void *arg)
{
    struct whorl_queue *q = whorl_queue_create(sizeof(long), *(size_t *)arg, WHORL_QUEUE_FIFO);
    struct hand hands[HANDS];
    struct whorl_scope s;
    int sum = 0;

    whorl_scope_open(&s);
    for (int i = 0; i < HANDS; i++) {
        hands[i] = (struct hand){.queue = q};
        CHECK_EQ(whorl_scope_spawn(&s, work, &hands[i]), 0);
    }
    CHECK_EQ(whorl_queue_join(q), 0); /* nothing was put */
    for (long i = 0; i < PIECES; i++)
        CHECK_EQ(whorl_queue_put(q, &i), 0);
    CHECK_EQ(whorl_queue_join(q), 0);
    CHECK_EQ(whorl_queue_done(q), -EINVAL);
    for (int i = 0; i < HANDS; i++)
        sum += hands[i].count;
    CHECK_EQ(sum, PIECES);
    CHECK(whorl_now() >= WHORL_MS(PIECES / HANDS) && whorl_now() < WHORL_MS(PIECES / HANDS + 1));
    whorl_queue_close(q);
    CHECK_EQ(whorl_scope_close(&s), 0);
    for (int i = 0; i < HANDS; i++)
        CHECK_EQ(hands[i].result, -EPIPE);
    whorl_queue_destroy(q);
    return 0;
}

TEST(queue, four_workers_empty_it_and_joining_waits_for_the_last)
{
    for (size_t most = 0; most < 4; most++)
        run_everywhere(work_off, &most);
}

static intptr_t join_queue(void *arg)
{
    struct hand *h = arg;

    h->result = whorl_queue_join(h->queue);
    return 0;
}

static intptr_t join_some(void *arg)
{
    struct hand h[3];
    struct whorl_task *tasks[3];

    h[0].queue = whorl_queue_create(sizeof(long), 0, WHORL_QUEUE_FIFO);
    CHECK_EQ(whorl_queue_put(h[0].queue, &(long){1}), 0);
    for (int i = 0; i < 3; i++) {
        h[i].queue = h[0].queue;
        tasks[i] = whorl_spawn(join_queue, &h[i]);
    }
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    whorl_cancel(tasks[1]);
    CHECK_EQ(whorl_join(tasks[1], NULL), 0);
    CHECK_EQ(h[1].result, -ECANCELED);
    CHECK_EQ(whorl_result(tasks[0], NULL), -EINPROGRESS);
    if (arg)
        CHECK_EQ(whorl_queue_close_now(h[0].queue, NULL, NULL), 1);
    else
        CHECK_EQ(whorl_queue_done(h[0].queue), 0); /* though nobody got it */
    CHECK_EQ(whorl_join(tasks[0], NULL), 0);
    CHECK_EQ(whorl_join(tasks[2], NULL), 0);
    CHECK(h[0].result == 0 && h[2].result == 0);
    whorl_queue_destroy(h[0].queue);
    return 0;
}

TEST(queue, joiners_are_woken_by_the_last_done_by_a_drop_or_by_being_cancelled)
{
    run_everywhere(join_some, NULL);
    run_everywhere(join_some, "drop");
}

static void count_item(void *item, void *arg)
{
    int *seen = arg;

    seen[*(long *)item]++;
}

static intptr_t put_one(void *arg)
{
    struct hand *h = arg;

    h->result = whorl_queue_put(h->queue, &(long){9});
    return 0;
}

static intptr_t close_at_once(void *arg)
{
    struct hand putters[2];
    struct whorl_task *tasks[2];
    int seen[10] = {0};
    long item;

    for (int order = 0; order < 3; order++) {
        struct whorl_queue *q = order < 2 ? whorl_queue_create(sizeof(long), 9, order ? WHORL_QUEUE_LIFO : WHORL_QUEUE_FIFO)
                                          : whorl_queue_create_sorted(sizeof(long), 9, by_rank);

        for (long i = 0; i < 12; i++) {
            item = i % 9;
            CHECK_EQ(whorl_queue_put(q, &item), 0);
            if (i < 3)
                CHECK_EQ(whorl_queue_get(q, &item), 0);
        }
        for (int i = 0; i < 2; i++) {
            putters[i].queue = q;
            tasks[i] = whorl_spawn(put_one, &putters[i]);
        }
        CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
        memset(seen, 0, sizeof seen);
        CHECK_EQ(whorl_queue_close_now(q, count_item, seen), 9);
        CHECK_EQ(whorl_queue_close_now(q, count_item, seen), 0);
        for (int i = 0; i < 9; i++)
            CHECK_EQ(seen[i], 1);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(whorl_join(tasks[i], NULL), 0);
            CHECK_EQ(putters[i].result, -EPIPE);
        }
        CHECK_EQ(whorl_queue_get(q, &item), -EPIPE);
        CHECK_EQ(whorl_queue_put(q, &item), -EPIPE);
        CHECK_EQ(whorl_queue_length(q), 0);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(whorl_queue_done(q), 0); /* of those that were got */
        CHECK_EQ(whorl_queue_done(q), -EINVAL);
        whorl_queue_destroy(q);
    }
    (void)arg;
    return 0;
}

TEST(queue, closing_at_once_hands_back_what_is_left)
{
    run_everywhere(close_at_once, NULL);
}

/* Conservation, with cancelling at any point: what was put is got, or dropped, once. */
enum { PUTTERS = 3, GETTERS = 3, ITEMS = 10 };

struct depot {
    struct whorl_queue *queue;
    uint64_t random;
    int put[PUTTERS * ITEMS], got[PUTTERS * ITEMS];
};

struct clerk {
    struct depot *depot;
    int first; /* of its items */
};

static whorl_ns pause_of(struct depot *d)
{
    return (whorl_ns)(test_random(&d->random) % 8) * 100;
}

static intptr_t put_all(void *arg)
{
    struct clerk *clerk = arg;
    struct depot *d = clerk->depot;

    for (long i = clerk->first; i < clerk->first + ITEMS; i++) {
        int err;

        whorl_deadline(whorl_after(pause_of(d)));
        err = whorl_queue_put(d->queue, &i);
        whorl_deadline(WHORL_NEVER);
        CHECK(err == 0 || err == -ETIMEDOUT || err == -ECANCELED || err == -EPIPE);
        d->put[i] += err == 0;
        whorl_sleep(pause_of(d));
    }
    return 0;
}

static intptr_t get_all(void *arg)
{
    struct clerk *clerk = arg;
    struct depot *d = clerk->depot;
    int err;

    do {
        long item;

        whorl_deadline(whorl_after(pause_of(d)));
        err = whorl_queue_get(d->queue, &item);
        whorl_deadline(WHORL_NEVER);
        if (err == 0) {
            d->got[item]++;
            CHECK_EQ(whorl_queue_done(d->queue), 0);
        }
        whorl_sleep(pause_of(d));
    } while (err != -EPIPE);
    return 0;
}

static intptr_t busy_depot(void *arg)
{
    struct depot *d = arg;
    struct clerk clerks[PUTTERS + GETTERS];
    struct whorl_task *tasks[PUTTERS + GETTERS];

    for (int i = 0; i < PUTTERS + GETTERS; i++) {
        clerks[i] = (struct clerk){.depot = d, .first = i * ITEMS};
        tasks[i] = whorl_spawn(i < PUTTERS ? put_all : get_all, &clerks[i]);
    }
    for (int i = 0; i < 15; i++) {
        whorl_sleep(pause_of(d));
        whorl_cancel(tasks[test_random(&d->random) % (PUTTERS + GETTERS)]);
    }
    if (test_random(&d->random) % 2)
        whorl_queue_close(d->queue);
    else
        whorl_queue_close_now(d->queue, count_item, d->got);
    CHECK_EQ(whorl_queue_join(d->queue), 0);
    for (int i = 0; i < PUTTERS + GETTERS; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    return 0;
}

TEST(queue, nothing_is_lost_or_doubled_whatever_is_cancelled, .timeout = 60)
{
    unsigned seeds = test_seeds(2000);

    for (unsigned i = 0; i < seeds; i++) {
        uint64_t seed = test_seed() + i;
        size_t most = seed % 3;
        struct depot d = {.random = seed};

        d.queue = seed % 5 < 2 ? whorl_queue_create(sizeof(long), most, seed % 5 ? WHORL_QUEUE_LIFO : WHORL_QUEUE_FIFO)
                               : whorl_queue_create_sorted(sizeof(long), most, by_rank);
        CHECK_EQ(null_run(busy_depot, &d, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = seed}), 0);
        for (int item = 0; item < PUTTERS * ITEMS; item++)
            if (!CHECK_EQ(d.got[item], d.put[item]))
                return;
        whorl_queue_destroy(d.queue);
    }
}

static intptr_t destroy_joined(void *arg)
{
    struct hand h = {.queue = whorl_queue_create(sizeof(long), 0, WHORL_QUEUE_FIFO)};
    struct whorl_task *t = whorl_spawn(join_queue, &h);

    (void)arg;
    whorl_queue_put(h.queue, &(long){1});
    whorl_sleep(1);
    whorl_queue_destroy(h.queue);
    return whorl_join(t, NULL);
}

static intptr_t create_unsorted(void *arg)
{
    (void)arg;
    return whorl_queue_create_sorted(8, 0, NULL) != NULL;
}

static intptr_t create_disorderly(void *arg)
{
    (void)arg;
    return whorl_queue_create(8, 0, (enum whorl_queue_order)2) != NULL;
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

TEST(queue, mistakes_abort_and_say_what_to_do)
{
    aborts(destroy_joined, "whorl_queue_destroy was given one that somebody waits for");
    aborts(create_unsorted, "whorl_queue_create_sorted was given no function that compares");
    aborts(create_disorderly, "whorl_queue_create was given the order 2, which is none");
}
