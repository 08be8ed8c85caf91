/* SPDX-License-Identifier: MIT */
/* Loops, sums and sorting on real workers, several at a time and with ranges that wait: the outcome is that of a plain loop. */
#include "tests/io/loopback.h"

enum { WORKERS = 4, CALLERS = 4, INDICES = 20000, NUMBERS = 20000 };

/* How many times each caller does it. */
static unsigned times(unsigned count)
{
    return rounds(count) * test_seconds(1);
}

/* Now and then a range waits, so that its task goes on elsewhere. */
static void dawdle(uint64_t *seed)
{
    switch (test_random(seed) % 64) {
    case 0:
        CHECK_EQ(whorl_sleep((whorl_ns)(test_random(seed) % 20000)), 0);
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
    unsigned char *seen = arg;
    uint64_t seed = test_seed() + begin;

    dawdle(&seed);
    for (size_t i = begin; i < end; i++)
        seen[i]++;
}

static intptr_t loop(void *arg)
{
    unsigned char *seen = malloc(INDICES);

    if (!CHECK(seen))
        return -ENOMEM;
    for (unsigned i = times(20); i > 0 && test_failures() == 0; i--) {
        memset(seen, 0, INDICES);
        whorl_parallel_for(0, INDICES, see, seen);
        for (size_t k = 0; k < INDICES; k++)
            if (seen[k] != 1)
                CHECK_EQ(seen[k], 1);
    }
    free(seen);
    return (intptr_t)arg;
}

/* Functions x -> a * x + b, one after the other: the order counts. */
struct affine {
    uint64_t a, b;
};

static void then(struct affine *into, struct affine next)
{
    into->b = next.a * into->b + next.b;
    into->a *= next.a;
}

static void add(size_t begin, size_t end, void *into, void *arg)
{
    uint64_t seed = test_seed() + begin;

    (void)arg;
    dawdle(&seed);
    for (size_t i = begin; i < end; i++)
        then(into, (struct affine){.a = 2 * i + 3, .b = i * i + 1});
}

static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    then(into, *(const struct affine *)from);
}

static intptr_t sum_up(void *arg)
{
    struct affine expected = {.a = 1};

    for (size_t i = 0; i < INDICES; i++)
        then(&expected, (struct affine){.a = 2 * i + 3, .b = i * i + 1});
    for (unsigned i = times(20); i > 0 && test_failures() == 0; i--) {
        struct affine sum = {.a = 1};

        CHECK_EQ(whorl_reduce(0, INDICES, add, combine, NULL, &sum, sizeof sum), 0);
        CHECK(sum.a == expected.a && sum.b == expected.b);
    }
    return (intptr_t)arg;
}

static int compare(const void *a, const void *b, void *arg)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    (void)arg;
    return x < y ? -1 : x > y;
}

/* Numbers of which each is there once, in some order: sorted they are known. */
static void shuffle(uint64_t *numbers, uint64_t *seed)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        size_t j = (size_t)(test_random(seed) % (i + 1));

        numbers[i] = numbers[j];
        numbers[j] = i;
    }
}

static intptr_t sort(void *arg)
{
    uint64_t *numbers = malloc(NUMBERS * sizeof *numbers), seed = test_seed() + (uintptr_t)arg;

    if (!CHECK(numbers))
        return -ENOMEM;
    for (unsigned i = times(10); i > 0 && test_failures() == 0; i--) {
        shuffle(numbers, &seed);
        CHECK_EQ(whorl_sort(numbers, NUMBERS, sizeof *numbers, compare, NULL), 0);
        for (size_t k = 0; k < NUMBERS; k++)
            if (numbers[k] != k)
                CHECK_EQ(numbers[k], k);
    }
    free(numbers);
    return (intptr_t)arg;
}

static void call_at_once(whorl_fn fn)
{
    struct whorl_task *callers[CALLERS];

    for (intptr_t i = 0; i < CALLERS; i++)
        callers[i] = start("caller", fn, (void *)i);
    for (intptr_t i = 0; i < CALLERS; i++)
        CHECK_EQ(result_of(callers[i]), i);
}

static void loop_everywhere(void)
{
    call_at_once(loop);
}

TEST(parallel, loops_see_each_index_once, .timeout = 120)
{
    in_runtime(WORKERS, loop_everywhere);
}

static void sum_up_everywhere(void)
{
    call_at_once(sum_up);
}

TEST(parallel, sums_are_put_together_in_order, .timeout = 120)
{
    in_runtime(WORKERS, sum_up_everywhere);
}

static void sort_everywhere(void)
{
    call_at_once(sort);
}

TEST(parallel, numbers_are_sorted, .timeout = 120)
{
    in_runtime(WORKERS, sort_everywhere);
}
