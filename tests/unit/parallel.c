/* SPDX-License-Identifier: MIT */
/* Loops, sums and sorting on the null reactor: whoever takes which part, the outcome is that of a plain loop. */
#include <whorl/whorl.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "null_run.h"
#include "seeds.h"
#include "test.h"

enum { INDICES = 300 };

struct loop {
    uint64_t random;
    size_t begin, end;
    unsigned char seen[INDICES];
};

/* Ranges that now and then wait, so that others take over and the loop comes back on another worker. */
static void dawdle(uint64_t *random)
{
    switch (test_random(random) % 16) {
    case 0:
        CHECK_EQ(whorl_sleep((whorl_ns)(test_random(random) % 1000)), 0);
        break;
    case 1:
    case 2:
        whorl_yield();
        break;
    default:
        break;
    }
}

static void see(size_t begin, size_t end, void *arg)
{
    struct loop *loop = arg;

    CHECK(loop->begin <= begin && begin < end && end <= loop->end);
    dawdle(&loop->random);
    for (size_t i = begin; i < end; i++)
        loop->seen[i]++;
}

static intptr_t see_all(void *arg)
{
    struct loop *loop = arg;

    whorl_parallel_for(loop->begin, loop->end, see, loop);
    for (size_t i = 0; i < INDICES; i++)
        CHECK_EQ(loop->seen[i], i >= loop->begin && i < loop->end);
    return 0;
}

TEST(parallel, a_loop_sees_each_index_once, .timeout = 100)
{
    unsigned seeds = test_seeds(MANY(500, 50));

    for (unsigned i = 0; i < seeds && test_failures() == 0; i++) {
        struct loop loop = {.random = test_seed() + i};

        loop.begin = test_random(&loop.random) % INDICES;
        loop.end = test_random(&loop.random) % (INDICES + 1);
        null_run(see_all, &loop, &(struct whorl_options){.seed = test_seed() + i, .workers = 1 + (int)(i % 5)});
    }
}

/* Functions x -> a * x + b, one after the other: to put them together is associative and not commutative. */
struct affine {
    uint64_t a, b;
};

static struct affine affine_of(size_t i)
{
    return (struct affine){.a = 2 * i + 3, .b = i * i + 1};
}

static void then(struct affine *into, const struct affine *next)
{
    into->b = next->a * into->b + next->b;
    into->a *= next->a;
}

static void add_affine(size_t begin, size_t end, void *into, void *arg)
{
    dawdle(arg);
    for (size_t i = begin; i < end; i++) {
        struct affine next = affine_of(i);

        then(into, &next);
    }
}

static void combine_affine(void *into, const void *from, void *arg)
{
    (void)arg;
    then(into, from);
}

static intptr_t sum_up(void *arg)
{
    struct affine sum = {.a = 1, .b = 0}, expected = sum;

    for (size_t i = 0; i < INDICES; i++) {
        struct affine next = affine_of(i);

        then(&expected, &next);
    }
    CHECK_EQ(whorl_reduce(0, INDICES, add_affine, combine_affine, arg, &sum, sizeof sum), 0);
    CHECK(sum.a == expected.a && sum.b == expected.b);
    CHECK_EQ(whorl_reduce(7, 7, add_affine, combine_affine, arg, &sum, sizeof sum), 0); /* of nothing */
    CHECK(sum.a == expected.a && sum.b == expected.b);
    CHECK_EQ(whorl_reduce(0, 1, add_affine, combine_affine, arg, &sum, WHORL_SUM_MAX + 1), -EINVAL);
    return 0;
}

TEST(parallel, a_sum_is_put_together_in_order, .timeout = 100)
{
    unsigned seeds = test_seeds(MANY(500, 50));

    for (unsigned i = 0; i < seeds && test_failures() == 0; i++) {
        uint64_t random = test_seed() + i;

        null_run(sum_up, &random, &(struct whorl_options){.seed = test_seed() + i, .workers = 1 + (int)(i % 5)});
    }
}

/* Elements begin with their key; the rest tells which they are. */
struct array {
    uint64_t random;
    size_t count, size;
};

static int compare_keys(const void *a, const void *b, void *arg)
{
    unsigned char x = *(const unsigned char *)a, y = *(const unsigned char *)b;

    if (arg && test_random(arg) % 4096 == 0)
        whorl_yield();
    return x < y ? -1 : x > y;
}

static int compare_whole(const void *a, const void *b, void *size)
{
    return memcmp(a, b, *(size_t *)size);
}

static intptr_t sort_array(void *arg)
{
    struct array *array = arg;
    size_t bytes = array->count * array->size;
    unsigned char *sorted = malloc(bytes + 1), *before = malloc(bytes + 1);

    for (size_t i = 0; i < bytes; i++)
        sorted[i] = before[i] = (unsigned char)test_random(&array->random);
    CHECK_EQ(whorl_sort(sorted, array->count, array->size, compare_keys, &array->random), 0);
    for (size_t i = 1; i < array->count; i++)
        CHECK(sorted[(i - 1) * array->size] <= sorted[i * array->size]);
    /* It is what was there before. */
    qsort_r(before, array->count, array->size, compare_whole, &array->size);
    qsort_r(sorted, array->count, array->size, compare_whole, &array->size);
    CHECK(memcmp(before, sorted, bytes) == 0);
    free(sorted);
    free(before);
    return 0;
}

TEST(parallel, an_array_is_sorted_and_nothing_is_lost, .timeout = 100)
{
    static const size_t sizes[] = {1, 2, 4, 8, 12, 100};
    unsigned seeds = test_seeds(50 * MANY(60, 10)) / 50; /* each takes as long as fifty of those above */

    for (unsigned i = 0; i < seeds && test_failures() == 0; i++) {
        struct array array = {.random = test_seed() + i, .size = sizes[i % 6]};

        array.count = test_random(&array.random) % (i % 10 ? 6000 : 60000);
        null_run(sort_array, &array, &(struct whorl_options){.seed = test_seed() + i, .workers = 1 + (int)(i % 5)});
    }
}

static intptr_t sort_too_much(void *arg)
{
    int few[2] = {2, 1};

    (void)arg;
    CHECK_EQ(whorl_sort(few, SIZE_MAX / 2, sizeof *few, compare_keys, NULL), -ENOMEM);
    CHECK_EQ(whorl_sort(few, SIZE_MAX / 256, 1, compare_keys, NULL), -ENOMEM);
    CHECK(few[0] == 2 && few[1] == 1);
    CHECK_EQ(whorl_sort(few, 2, 0, compare_keys, NULL), 0);
    CHECK_EQ(whorl_sort(NULL, 0, sizeof *few, compare_keys, NULL), 0);
    CHECK_EQ(whorl_sort(few, 2, sizeof *few, compare_keys, NULL), 0);
    CHECK(few[0] == 1 && few[1] == 2);
    return 0;
}

TEST(parallel, without_memory_the_elements_are_as_they_were)
{
    null_run(sort_too_much, NULL, NULL);
}

/* Two loops that wait in each range: the ranges of both wait at the same time, on one worker too. */
static void wait_a_second(size_t begin, size_t end, void *arg)
{
    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_SEC((whorl_ns)(end - begin))), 0);
}

static intptr_t wait_in_a_loop(void *arg)
{
    whorl_ns start = whorl_now();

    (void)arg;
    whorl_parallel_for(0, 64, wait_a_second, NULL);
    CHECK(whorl_now() - start < WHORL_SEC(64));
    return 0;
}

TEST(parallel, ranges_that_wait_do_so_together)
{
    for (int workers = 1; workers <= 4; workers++)
        null_run(wait_in_a_loop, NULL, &(struct whorl_options){.workers = workers});
}
