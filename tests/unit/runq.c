/* SPDX-License-Identifier: MIT */
/* The queue of ready tasks. Built twice: with the size it has, and with one so small that everything happens at its edges. */
#include "runtime/runq.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

#define SIZE WHORL__RUNQ_SIZE

/* Tasks that know their number, in `arg`, and never run. */
static struct whorl_task *new_tasks(size_t count)
{
    struct whorl_task *tasks = aligned_alloc(_Alignof(struct whorl_task), count * sizeof *tasks);

    if (!CHECK(tasks != NULL))
        abort();
    memset(tasks, 0, count * sizeof *tasks);
    for (size_t i = 0; i < count; i++)
        tasks[i].arg = (void *)(uintptr_t)i;
    return tasks;
}

static struct whorl__runq *new_queue(void)
{
    struct whorl__runq *q = aligned_alloc(_Alignof(struct whorl__runq), sizeof *q);

    if (!CHECK(q != NULL))
        abort();
    memset(q, 0, sizeof *q);
    return q;
}

static void push(struct whorl__runq *q, struct whorl_task *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        whorl__runq_push(q, &tasks[i]);
}

/* The next task of the owner is number `n`. */
static bool pops(struct whorl__runq *q, size_t n)
{
    struct whorl_task *t = whorl__runq_pop(q);

    return CHECK(t != NULL) && CHECK_EQ((uintptr_t)t->arg, n);
}

TEST(runq, an_empty_queue_gives_nothing)
{
    struct whorl__runq *q = new_queue(), *thief = new_queue();
    uint32_t n = 77;

    CHECK(whorl__runq_pop(q) == NULL);
    CHECK(whorl__runq_steal(thief, q, &n) == NULL);
    CHECK_EQ(n, 0);
    CHECK_EQ(whorl__runq_length(q), 0);
    free(q);
    free(thief);
}

static void check_order(bool alone)
{
    struct whorl__runq *q = new_queue();
    size_t count = 5 * SIZE;
    struct whorl_task *tasks = new_tasks(count);

    q->alone = alone;
    for (size_t i = 0; i < count; i++) {
        whorl__runq_push(q, &tasks[i]);
        CHECK_EQ(whorl__runq_length(q), i + 1);
    }
    CHECK_EQ(q->overflow.count, count - SIZE);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(whorl__runq_length(q), count - i);
        if (!pops(q, i))
            break;
    }
    CHECK(whorl__runq_pop(q) == NULL);
    free(tasks);
    free(q);
}

TEST(runq, tasks_leave_in_the_order_of_their_pushes_over_the_overflow)
{
    check_order(false);
}

TEST(runq, the_order_is_the_same_where_there_are_no_thieves)
{
    check_order(true);
}

TEST(runq, pushes_stay_behind_what_overflowed_when_there_is_room_again)
{
    struct whorl__runq *q = new_queue();
    size_t count = 40 * SIZE, pushed = 0, popped = 0;
    struct whorl_task *tasks = new_tasks(count);
    uint64_t random = test_seed();

    /* Bursts in and out, of a length that comes over all edges. */
    while (popped < count) {
        size_t in = test_random(&random) % (2 * SIZE + 1), out = test_random(&random) % (2 * SIZE + 1);

        for (; in > 0 && pushed < count; in--)
            whorl__runq_push(q, &tasks[pushed++]);
        CHECK_EQ(whorl__runq_length(q), pushed - popped);
        for (; out > 0 && popped < pushed; out--)
            if (!pops(q, popped++))
                return;
    }
    free(tasks);
    free(q);
}

/* Bound tasks: every `each`-th is. */
static void push_some_bound(struct whorl__runq *q, struct whorl_task *tasks, size_t count, size_t each)
{
    for (size_t i = 0; i < count; i++)
        if (i % each == 0)
            whorl__runq_push_bound(q, &tasks[i]);
        else
            whorl__runq_push(q, &tasks[i]);
}

static void check_bound_order(bool alone, size_t each)
{
    struct whorl__runq *q = new_queue();
    size_t count = SIZE; /* nothing overflows */
    struct whorl_task *tasks = new_tasks(count);

    q->alone = alone;
    for (int round = 0; round < 5; round++) {
        push_some_bound(q, tasks, count, each);
        CHECK_EQ(whorl__runq_length(q) + q->bound_count, count);
        for (size_t i = 0; i < count; i++)
            if (!pops(q, i))
                return;
        CHECK(whorl__runq_pop(q) == NULL);
        CHECK_EQ(q->bound_count, 0);
    }
    free(tasks);
    free(q);
}

TEST(runq, bound_tasks_and_others_leave_in_the_order_of_their_pushes)
{
    for (size_t each = 1; each <= 5; each++) {
        check_bound_order(false, each);
        check_bound_order(true, each);
    }
}

TEST(runq, a_thief_takes_no_bound_task)
{
    struct whorl__runq *q = new_queue(), *thief = new_queue();
    struct whorl_task *tasks = new_tasks(SIZE), *t;
    uint32_t n;

    push_some_bound(q, tasks, SIZE, 2);
    while ((t = whorl__runq_steal(thief, q, &n)) != NULL)
        for (; t; t = whorl__runq_pop(thief))
            CHECK_EQ((uintptr_t)t->arg % 2, 1);
    for (size_t i = 0; i < SIZE; i += 2)
        pops(q, i);
    CHECK(whorl__runq_pop(q) == NULL);
    free(tasks);
    free(thief);
    free(q);
}

/* Each that is popped is pushed again, as tasks that yield are: nobody is left out, over the overflow either, which bound tasks may
 * overtake. */
static void check_turns(size_t free_count, size_t bound_count)
{
    struct whorl__runq *q = new_queue();
    size_t count = free_count + bound_count;
    struct whorl_task *tasks = new_tasks(count);
    unsigned *turns = calloc(count, sizeof *turns);

    if (!CHECK(turns != NULL))
        abort();
    push(q, tasks, free_count);
    for (size_t i = free_count; i < count; i++)
        whorl__runq_push_bound(q, &tasks[i]);
    for (size_t i = 0; i < 10 * count; i++) {
        struct whorl_task *t = whorl__runq_pop(q);
        size_t me = (uintptr_t)t->arg;

        turns[me]++;
        if (me < free_count)
            whorl__runq_push(q, t);
        else
            whorl__runq_push_bound(q, t);
    }
    for (size_t i = 0; i < count; i++)
        CHECK(turns[i] >= 2 && turns[i] <= (free_count < SIZE ? 11 : 100));
    free(turns);
    free(tasks);
    free(q);
}

TEST(runq, neither_bound_tasks_nor_others_wait_for_ever)
{
    check_turns(1, 1);
    check_turns(1, 20);
    check_turns(20, 1);
    check_turns(3 * SIZE, 1);
    check_turns(3 * SIZE, 10);
    check_turns(SIZE + 1, 3 * SIZE);
}

TEST(runq, a_thief_takes_the_older_half_rounded_up)
{
    struct whorl_task *tasks = new_tasks(SIZE);

    for (size_t count = 1; count <= SIZE; count++) {
        struct whorl__runq *q = new_queue(), *thief = new_queue();
        struct whorl_task *first;
        size_t half = (count + 1) / 2;
        uint32_t n = 0;

        /* Not always from slot 0: the half may lie over the end of the ring, in both rings. */
        q->head = q->tail = count * 3;
        thief->head = thief->tail = count * 7;
        push(q, tasks, count);
        first = whorl__runq_steal(thief, q, &n);
        CHECK(first == &tasks[0]);
        CHECK_EQ(n, half);
        CHECK_EQ(whorl__runq_length(thief), half - 1);
        CHECK_EQ(whorl__runq_length(q), count - half);
        for (size_t i = 1; i < half; i++)
            pops(thief, i);
        for (size_t i = half; i < count; i++)
            pops(q, i);
        CHECK(whorl__runq_pop(thief) == NULL);
        CHECK(whorl__runq_pop(q) == NULL);
        free(q);
        free(thief);
    }
    free(tasks);
}

TEST(runq, a_thief_finds_what_overflowed_when_the_ring_is_empty)
{
    struct whorl__runq *q = new_queue(), *thief = new_queue();
    size_t count = 2 * SIZE;
    struct whorl_task *tasks = new_tasks(count);
    struct whorl_task *first;
    uint32_t n = 0;

    push(q, tasks, count);
    for (size_t i = 0; i < SIZE; i++)
        pops(q, i);
    CHECK_EQ(whorl__runq_length(q), SIZE); /* all of it in the overflow */
    first = whorl__runq_steal(thief, q, &n);
    CHECK(first == &tasks[SIZE]);
    CHECK_EQ(n, SIZE / 2);
    CHECK_EQ(whorl__runq_length(thief), SIZE / 2 - 1);
    CHECK_EQ(whorl__runq_length(q), SIZE / 2);
    for (size_t i = 1; i < SIZE / 2; i++)
        pops(thief, SIZE + i);
    for (size_t i = SIZE / 2; i < SIZE; i++)
        pops(q, SIZE + i);
    CHECK(whorl__runq_pop(q) == NULL);
    free(tasks);
    free(q);
    free(thief);
}

/* Races: an owner and some thieves on real threads. */

enum { THIEVES = 3 };

static struct race {
    struct whorl__runq *owner, *thieves[THIEVES];
    struct whorl_task *tasks;
    uint32_t *taken; /* how often each task was; atomic, relaxed: it must not order what the queue is to order */
    size_t count;
    size_t gone;  /* tasks taken, atomic */
    bool ordered; /* each taker sees its tasks in the order of the pushes */
} race;

static void open_race(size_t count, bool ordered)
{
    race = (struct race){.owner = new_queue(), .tasks = new_tasks(count), .count = count, .ordered = ordered};
    race.taken = calloc(count, sizeof *race.taken);
    for (int i = 0; i < THIEVES; i++)
        race.thieves[i] = new_queue();
    for (size_t i = 0; i < count; i++)
        race.tasks[i].since = 0;
}

static void close_race(void)
{
    for (size_t i = 0; i < race.count; i++) {
        CHECK_EQ(race.taken[i], 1);
        CHECK_EQ(race.tasks[i].since, (whorl_ns)i + 1);
    }
    CHECK_EQ(whorl__runq_length(race.owner), 0);
    for (int i = 0; i < THIEVES; i++) {
        CHECK_EQ(whorl__runq_length(race.thieves[i]), 0);
        free(race.thieves[i]);
    }
    free(race.owner);
    free(race.tasks);
    free(race.taken);
}

/* What the pusher wrote must be there: `since` is a plain field, so that TSan sees a queue that does not order the two. */
static void take(struct whorl_task *t, intptr_t *last)
{
    intptr_t n = (intptr_t)t->arg;

    CHECK_EQ(t->since, n + 1);
    if (race.ordered)
        CHECK(n > *last);
    *last = n;
    whorl__add_relaxed(&race.taken[n], 1);
    whorl__add_relaxed(&race.gone, 1);
}

static bool all_gone(void)
{
    return whorl__load_relaxed(&race.gone) == race.count;
}

/* Steals from the owner and, unless an order is to be seen, from the other thieves. */
static struct whorl_task *steal_somewhere(int me, uint64_t *random)
{
    struct whorl__runq *victim = race.owner;
    size_t choice = test_random(random) % (THIEVES + 1);
    uint32_t n;

    if (!race.ordered && choice < THIEVES && (int)choice != me)
        victim = race.thieves[choice];
    return whorl__runq_steal(race.thieves[me], victim, &n);
}

static void *thief(void *arg)
{
    int me = (int)(intptr_t)arg;
    uint64_t random = test_seed() + (uint64_t)me;
    intptr_t last = -1;

    while (!all_gone()) {
        struct whorl_task *t = steal_somewhere(me, &random);

        for (; t; t = whorl__runq_pop(race.thieves[me]))
            take(t, &last);
        if (test_random(&random) % 16 == 0)
            sched_yield();
    }
    return NULL;
}

static void push_next(size_t *pushed)
{
    struct whorl_task *t = &race.tasks[*pushed];

    t->since = (intptr_t)++ * pushed;
    whorl__runq_push(race.owner, t);
}

/* Pushes in bursts of at most `burst`, pops about as many; the queue is empty again and again. What overflows does so for good
 * reasons out of order for thieves, so where the order is looked at nothing does. */
static void own(size_t burst)
{
    uint64_t random = test_seed();
    size_t pushed = 0;
    intptr_t last = -1;

    while (!all_gone()) {
        size_t in = test_random(&random) % burst + 1, out = test_random(&random) % (burst + 1);

        while (in-- > 0 && pushed < race.count && !(race.ordered && whorl__runq_length(race.owner) >= SIZE))
            push_next(&pushed);
        while (out-- > 0) {
            struct whorl_task *t = whorl__runq_pop(race.owner);

            if (!t)
                break;
            take(t, &last);
        }
        if (test_random(&random) % 16 == 0)
            sched_yield();
    }
}

static void run_race(size_t burst)
{
    pthread_t threads[THIEVES];

    for (intptr_t i = 0; i < THIEVES; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, thief, (void *)i), 0);
    own(burst);
    for (int i = 0; i < THIEVES; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

TEST(runq, owner_and_thieves_race_for_the_last_item, .timeout = 60)
{
    open_race(MANY(100000, 20000), true);
    run_race(1);
    close_race();
}

TEST(runq, each_taker_sees_the_order_of_the_pushes, .timeout = 60)
{
    open_race(MANY(100000, 20000), true);
    run_race(SIZE);
    close_race();
}

TEST(runq, every_task_is_taken_once_over_overflow_and_thieves_of_thieves, .timeout = 60)
{
    open_race(MANY(100000, 20000), false);
    run_race(3 * SIZE);
    close_race();
}
