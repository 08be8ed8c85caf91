/* SPDX-License-Identifier: MIT */
/* The heap of timers. Linked with --wrap=mmap64 and --wrap=mremap, so that a test can have no memory. */
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif
#include "runtime/timer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <whorl/whorl.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

static bool no_memory;

void *__real_mmap64(void *p, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *p, size_t size, int protection, int flags, int fd, off_t offset);
void *__real_mremap(void *p, size_t size, size_t wanted, int flags, ...);
void *__wrap_mremap(void *p, size_t size, size_t wanted, int flags, ...);

void *__wrap_mmap64(void *p, size_t size, int protection, int flags, int fd, off_t offset)
{
    return no_memory ? MAP_FAILED : __real_mmap64(p, size, protection, flags, fd, offset);
}

void *__wrap_mremap(void *p, size_t size, size_t wanted, int flags, ...)
{
    return no_memory ? MAP_FAILED : __real_mremap(p, size, wanted, flags);
}

static struct whorl__timer *due(struct whorl__timers *h, whorl_ns now)
{
    struct whorl__timer *t;

    whorl__spin_lock(&h->lock);
    t = whorl__timers_due(h, now);
    whorl__spin_unlock(&h->lock);
    return t;
}

static struct whorl__timer *new_timers(size_t count)
{
    struct whorl__timer *timers = calloc(count, sizeof *timers);

    if (!CHECK(timers != NULL))
        abort();
    return timers;
}

TEST(timer, an_empty_heap_has_nothing_due)
{
    struct whorl__timers h;
    struct whorl__timer t = {0};

    whorl__timers_init(&h);
    CHECK_EQ(h.next, WHORL_NEVER);
    CHECK(due(&h, WHORL_NEVER) == NULL);
    CHECK(!whorl__timer_stop(&t)); /* never started */
    CHECK(whorl__timer_lock(&t) == NULL);
    whorl__timers_fini(&h);
}

TEST(timer, a_hundred_thousand_leave_in_the_order_of_their_times)
{
    size_t count = 100000;
    struct whorl__timer *timers = new_timers(count);
    whorl_ns *whens = calloc(count, sizeof *whens);
    struct whorl__timers h;
    uint64_t random = test_seed();
    whorl_ns least = WHORL_NEVER, last = 0;

    if (!CHECK(whens != NULL))
        abort();
    whorl__timers_init(&h);
    for (size_t i = 0; i < count; i++) {
        whorl_ns when = (whorl_ns)(test_random(&random) % 50000); /* so that many are equal */

        whens[i] = when;
        CHECK_EQ(whorl__timer_start(&h, &timers[i], when), 0);
        least = when < least ? when : least;
        CHECK_EQ(h.next, least);
    }
    CHECK_EQ(h.count, count);
    CHECK(due(&h, least - 1) == NULL);
    for (size_t i = 0; i < count; i++) {
        whorl_ns next = h.next;
        struct whorl__timer *t = due(&h, next);

        if (!CHECK(t != NULL))
            break;
        CHECK_EQ(whens[t - timers], next);
        CHECK(next >= last);
        CHECK_EQ(t->index, 0);
        last = next;
    }
    CHECK_EQ(h.next, WHORL_NEVER);
    CHECK(due(&h, WHORL_NEVER) == NULL);
    whorl__timers_fini(&h);
    free(timers);
    free(whens);
}

/* A heap that is looked at in the plainest way there is. */
enum { MODEL = 300 };

static whorl_ns least_of(const whorl_ns *whens)
{
    whorl_ns least = WHORL_NEVER;

    for (int i = 0; i < MODEL; i++)
        if (whens[i] >= 0 && whens[i] < least)
            least = whens[i];
    return least;
}

TEST(timer, starts_stops_and_expiries_in_any_order_agree_with_a_plain_list)
{
    static struct whorl__timer timers[MODEL];
    whorl_ns whens[MODEL]; /* -1: not running */
    struct whorl__timers h;
    uint64_t random = test_seed();
    uint32_t running = 0;

    whorl__timers_init(&h);
    memset(whens, -1, sizeof whens);
    for (int step = 0; step < 100000; step++) {
        size_t i = test_random(&random) % MODEL;
        struct whorl__timer *t;

        if (test_random(&random) % 8 == 0) {
            whorl_ns least = least_of(whens);

            t = due(&h, least - (whorl_ns)(test_random(&random) % 2));
            if (t) {
                CHECK_EQ(whens[t - timers], least);
                whens[t - timers] = -1;
                running--;
            }
        } else if (whens[i] >= 0) {
            CHECK(whorl__timer_stop(&timers[i]));
            CHECK(!whorl__timer_stop(&timers[i]));
            whens[i] = -1;
            running--;
        } else {
            whens[i] = (whorl_ns)(test_random(&random) % 1000);
            CHECK_EQ(whorl__timer_start(&h, &timers[i], whens[i]), 0);
            running++;
        }
        CHECK_EQ(h.count, running);
        CHECK_EQ(h.next, least_of(whens));
    }
    for (int i = 0; i < MODEL; i++)
        CHECK_EQ(whorl__timer_stop(&timers[i]), whens[i] >= 0);
    CHECK_EQ(h.next, WHORL_NEVER);
    whorl__timers_fini(&h);
}

TEST(timer, one_that_was_due_can_be_put_back_for_later)
{
    struct whorl__timer a = {0}, b = {0};
    struct whorl__timers h;

    whorl__timers_init(&h);
    CHECK_EQ(whorl__timer_start(&h, &a, 10), 0);
    CHECK_EQ(whorl__timer_start(&h, &b, 20), 0);
    whorl__spin_lock(&h.lock);
    CHECK(whorl__timers_due(&h, 10) == &a);
    whorl__timers_again(&h, &a, 30);
    CHECK(whorl__timers_due(&h, 10) == NULL);
    whorl__spin_unlock(&h.lock);
    CHECK_EQ(h.next, 20);
    CHECK(due(&h, 100) == &b);
    CHECK(due(&h, 29) == NULL);
    CHECK(due(&h, 30) == &a);
    CHECK_EQ(h.count, 0);
    whorl__timers_fini(&h);
}

TEST(timer, a_lock_is_had_only_while_the_timer_runs)
{
    struct whorl__timer t = {0};
    struct whorl__timers h, other;

    whorl__timers_init(&h);
    whorl__timers_init(&other);
    CHECK_EQ(whorl__timer_start(&h, &t, 10), 0);
    if (CHECK(whorl__timer_lock(&t) == &h))
        whorl__spin_unlock(&h.lock);
    CHECK(whorl__timer_stop(&t));
    CHECK(whorl__timer_lock(&t) == NULL);
    CHECK_EQ(whorl__timer_start(&other, &t, 5), 0); /* as of a task that has moved to another worker */
    if (CHECK(whorl__timer_lock(&t) == &other))
        whorl__spin_unlock(&other.lock);
    CHECK(due(&other, 5) == &t);
    CHECK(whorl__timer_lock(&t) == NULL);
    CHECK(whorl__spin_trylock(&h.lock)); /* nobody has kept one */
    CHECK(whorl__spin_trylock(&other.lock));
    whorl__timers_fini(&h);
    whorl__timers_fini(&other);
}

/* A heap's worker takes out what is due while another thread stops the same timers: each is had by one of the two. */

static struct stop_race {
    struct whorl__timers heaps[2];
    struct whorl__timer *timers;
    size_t count, round; /* the round is atomic: odd while the stopper is to stop */
    uint32_t *had;       /* atomic */
    size_t stopped;
} stop_race;

static void *stopper(void *arg)
{
    size_t rounds = (size_t)(uintptr_t)arg;

    for (size_t round = 0; round < rounds; round++) {
        while (whorl__load_acquire(&stop_race.round) != 2 * round + 1)
            sched_yield();
        for (size_t i = stop_race.count; i-- > 0;)
            if (whorl__timer_stop(&stop_race.timers[i])) {
                whorl__add_relaxed(&stop_race.had[i], 1);
                stop_race.stopped++;
            }
        whorl__store_release(&stop_race.round, 2 * round + 2);
    }
    return NULL;
}

static size_t expire_all(struct whorl__timers *h, whorl_ns now)
{
    size_t n = 0;

    for (struct whorl__timer *t; (t = due(h, now)); n++)
        whorl__add_relaxed(&stop_race.had[t - stop_race.timers], 1);
    return n;
}

TEST(timer, a_stop_and_an_expiry_never_both_have_it, .timeout = 60)
{
    size_t rounds = MANY(300, 50), expired = 0;
    uint64_t random = test_seed();
    pthread_t thread;

    stop_race.count = 1000;
    stop_race.timers = new_timers(stop_race.count);
    stop_race.had = calloc(stop_race.count, sizeof *stop_race.had);
    whorl__timers_init(&stop_race.heaps[0]);
    whorl__timers_init(&stop_race.heaps[1]);
    CHECK_EQ(pthread_create(&thread, NULL, stopper, (void *)rounds), 0);
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < stop_race.count; i++)
            CHECK_EQ(whorl__timer_start(&stop_race.heaps[test_random(&random) % 2], &stop_race.timers[i], (whorl_ns)i), 0);
        whorl__store_release(&stop_race.round, 2 * round + 1);
        for (whorl_ns now = 0; now <= (whorl_ns)stop_race.count; now += 10)
            expired += expire_all(&stop_race.heaps[0], now) + expire_all(&stop_race.heaps[1], now);
        while (whorl__load_acquire(&stop_race.round) != 2 * round + 2)
            sched_yield();
        for (size_t i = 0; i < stop_race.count; i++)
            CHECK_EQ(stop_race.had[i], round + 1);
        CHECK_EQ(stop_race.heaps[0].count + stop_race.heaps[1].count, 0);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(expired + stop_race.stopped, rounds * stop_race.count);
    whorl__timers_fini(&stop_race.heaps[0]);
    whorl__timers_fini(&stop_race.heaps[1]);
    free(stop_race.timers);
    free(stop_race.had);
}

/* A timer that moves from heap to heap, as that of a task that is stolen, and a thread that stops it whenever it can. */

static struct wanderer {
    struct whorl__timers heaps[2];
    struct whorl__timer timer, neighbours[2][40]; /* so that a place in one heap is one in the other */
    bool over;                                    /* atomic */
} wanderer;

static void *stop_wanderer(void *arg)
{
    size_t *stopped = arg;

    while (!whorl__load_acquire(&wanderer.over))
        *stopped += whorl__timer_stop(&wanderer.timer);
    return NULL;
}

static void check_neighbours(int heap)
{
    struct whorl__timers *h = &wanderer.heaps[heap];

    CHECK_EQ(h->count, 40);
    for (int i = 0; i < 40; i++) {
        struct whorl__timer *t = due(h, WHORL_NEVER);

        CHECK(t >= wanderer.neighbours[heap] && t < wanderer.neighbours[heap] + 40);
    }
    CHECK_EQ(h->count, 0);
    whorl__timers_fini(h);
}

TEST(timer, a_stop_never_takes_a_timer_out_of_the_heap_that_it_has_left, .timeout = 60)
{
    size_t started = 0, stopped_here = 0, stopped_there = 0;
    uint64_t random = test_seed();
    pthread_t thread;

    for (int heap = 0; heap < 2; heap++) {
        whorl__timers_init(&wanderer.heaps[heap]);
        for (int i = 0; i < 40; i++)
            CHECK_EQ(whorl__timer_start(&wanderer.heaps[heap], &wanderer.neighbours[heap][i], i), 0);
    }
    CHECK_EQ(pthread_create(&thread, NULL, stop_wanderer, &stopped_there), 0);
    /* Valgrind lets one thread run at a time, which makes each of these meetings long. */
    for (started = 0; started < (RUNNING_ON_VALGRIND ? 10000 : MANY(300000, 50000)); started++) {
        /* Only its own task starts a timer, and only one that does not run. */
        CHECK_EQ(whorl__timer_start(&wanderer.heaps[started % 2], &wanderer.timer, (whorl_ns)(test_random(&random) % 40)), 0);
        for (uint64_t pause = test_random(&random) % 64; pause > 0; pause--)
            whorl__cpu_relax();
        stopped_here += whorl__timer_stop(&wanderer.timer);
    }
    whorl__store_release(&wanderer.over, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(stopped_here + stopped_there, started);
    CHECK(stopped_there > 0);
    check_neighbours(0);
    check_neighbours(1);
}

TEST(timer, a_heap_that_cannot_grow_keeps_what_it_has)
{
    enum { MAX = 2048 };
    static struct whorl__timer timers[MAX];
    struct whorl__timers h;
    size_t started = 0;

    whorl__timers_init(&h);
    no_memory = true;
    CHECK_EQ(whorl__timer_start(&h, &timers[0], 1), -ENOMEM);
    no_memory = false;
    while (started == 0 || h.count < h.capacity) {
        CHECK_EQ(whorl__timer_start(&h, &timers[started], (whorl_ns)(MAX - started)), 0);
        if (!CHECK(++started < MAX))
            return;
    }
    no_memory = true;
    CHECK_EQ(whorl__timer_start(&h, &timers[started], 0), -ENOMEM);
    CHECK(!whorl__timer_stop(&timers[started]));
    CHECK_EQ(h.count, started);
    CHECK_EQ(h.next, (whorl_ns)(MAX + 1 - started));
    no_memory = false;
    CHECK_EQ(whorl__timer_start(&h, &timers[started], 0), 0);
    CHECK(due(&h, 0) == &timers[started]);
    while (started > 0)
        CHECK(due(&h, MAX) == &timers[--started]);
    CHECK_EQ(h.count, 0);
    whorl__timers_fini(&h);
}

/* The same from a task's point of view. The heap of worker 0 has no slots yet. */

static intptr_t sleep_without_memory(void *arg)
{
    (void)arg;
    no_memory = true;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), -ENOMEM);
    CHECK_EQ(whorl_now(), 0);
    no_memory = false;
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    CHECK_EQ(whorl_now(), WHORL_SEC(1));
    return 0;
}

TEST(timer, a_sleep_that_finds_no_memory_says_so_and_the_next_one_works)
{
    CHECK_EQ(null_run(sleep_without_memory, NULL, NULL), 0);
}

static intptr_t deadline_without_memory(void *arg)
{
    (void)arg;
    no_memory = true;
    CHECK_EQ(whorl_deadline(WHORL_SEC(1)), WHORL_NEVER);
    no_memory = false;
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), -ENOMEM);
    CHECK_EQ(whorl_now(), 0);
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    CHECK_EQ(whorl_deadline(WHORL_SEC(2)), WHORL_SEC(1));
    CHECK_EQ(whorl_sleep(WHORL_SEC(10)), -ETIMEDOUT);
    CHECK_EQ(whorl_now(), WHORL_SEC(2));
    return 0;
}

TEST(timer, a_deadline_that_finds_no_memory_ends_the_next_wait_instead_of_being_forgotten)
{
    CHECK_EQ(null_run(deadline_without_memory, NULL, NULL), 0);
}
