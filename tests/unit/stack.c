/* SPDX-License-Identifier: MIT */
/* Stack memory: classes, guards, lending, giving memory back. */
#include "runtime/stack.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "seeds.h"
#include "test.h"

#if defined(WHORL__ASAN) || defined(WHORL__TSAN)
#define SANITIZED true
#else
#define SANITIZED false
#endif

static struct whorl__stack_pool pool;
static struct whorl__stack_cache cache;

static void open_pool(unsigned flags)
{
    CHECK_EQ(whorl__stack_pool_init(&pool, flags, SIZE_MAX), 0);
    whorl__stack_cache_init(&cache, &pool);
}

/* Closes the pool and checks that every stack has come back. */
static void close_pool(void)
{
    struct whorl__stack_counts counts;

    whorl__stack_cache_flush(&cache);
    whorl__stack_pool_counts(&pool, &counts);
    CHECK_EQ(counts.in_use, 0);
    CHECK_EQ(counts.created, counts.warm + counts.cold);
    whorl__stack_pool_fini(&pool);
}

/* Takes up to `count` stacks of a class, chained by `owner`; returns how many there were. */
static size_t take(int class, size_t count, struct whorl__stack **list)
{
    for (size_t i = 0; i < count; i++) {
        struct whorl__stack *stack = whorl__stack_get(&cache, class);

        if (!stack)
            return i;
        stack->owner = *list;
        *list = stack;
    }
    return count;
}

static size_t put_back(struct whorl__stack **list, size_t count)
{
    size_t n = 0;

    for (struct whorl__stack *next; *list && n < count; *list = next, n++) {
        next = (*list)->owner;
        whorl__stack_put(&cache, *list);
    }
    return n;
}

static void touch_all(struct whorl__stack *list)
{
    for (; list; list = list->owner)
        list->base[whorl__stack_size(list) - 1] = 1;
}

/* Can the kernel read this byte? Asks without faulting. */
static bool readable(const char *p)
{
    static int ends[2];
    char c;

    if (!ends[1] && pipe(ends) < 0)
        return false;
    if (write(ends[1], p, 1) != 1)
        return false;
    return read(ends[0], &c, 1) == 1;
}

static size_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    size_t total, resident = 0;

    if (f) {
        if (fscanf(f, "%zu %zu", &total, &resident) != 2)
            resident = 0;
        fclose(f);
    }
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    size_t lines = 0;
    int c;

    while (f && (c = getc(f)) != EOF)
        lines += c == '\n';
    if (f)
        fclose(f);
    return lines;
}

/* Lending */

TEST(stack, class_is_the_smallest_that_fits)
{
    CHECK_EQ(whorl__stack_class(1), 0);
    CHECK_EQ(whorl__stack_class(16 << 10), 0);
    CHECK_EQ(whorl__stack_class((16 << 10) + 1), 1);
    CHECK_EQ(whorl__stack_class(64 << 10), 1);
    CHECK_EQ(whorl__stack_class(256 << 10), 2);
    CHECK_EQ(whorl__stack_class((256 << 10) + 1), 3);
    CHECK_EQ(whorl__stack_class(WHORL__STACK_SIZE_MAX), 4);
    CHECK_EQ(whorl__stack_class(WHORL__STACK_SIZE_MAX + 1), -EINVAL);
    CHECK_EQ(whorl__stack_class(SIZE_MAX), -EINVAL);
}

TEST(stack, unknown_flags_are_refused)
{
    CHECK_EQ(whorl__stack_pool_init(&pool, 4, SIZE_MAX), -EINVAL);
}

static void check_bounds(unsigned flags)
{
    open_pool(flags);
    for (int class = 0; class < WHORL__STACK_CLASSES; class ++) {
        size_t size = (size_t)(16 << 10) << 2 * class;
        struct whorl__stack *list = NULL;

        CHECK_EQ(take(class, 20, &list), 20);
        for (struct whorl__stack *s = list; s; s = s->owner) {
            CHECK_EQ(s->class, class);
            CHECK_EQ(whorl__stack_size(s), size);
            memset(s->base, 1, 4096);
            memset(s->base + whorl__stack_size(s) - 4096, 1, 4096);
            CHECK(readable(s->base));
            CHECK(!readable(s->base - 1));
            CHECK(!readable(s->base - whorl__stack_guard()));
        }
        CHECK_EQ(put_back(&list, SIZE_MAX), 20);
    }
    close_pool();
}

TEST(stack, stacks_are_usable_from_end_to_end_with_a_guard_below)
{
    check_bounds(0);
}

TEST(stack, guards_by_mprotect_are_as_good)
{
    check_bounds(WHORL__STACK_NO_GUARD_INSTALL);
}

TEST(stack, guards_survive_giving_memory_back)
{
    enum { COUNT = 3000 };
    struct whorl__stack *list = NULL, *again = NULL;
    struct whorl__stack_counts counts;

    open_pool(0);
    CHECK_EQ(take(0, COUNT, &list), COUNT);
    touch_all(list);
    put_back(&list, SIZE_MAX);
    whorl__stack_cache_flush(&cache);
    while (whorl__stack_trim(&pool))
        ;
    whorl__stack_pool_counts(&pool, &counts);
    CHECK(counts.cold > COUNT / 2);
    CHECK_EQ(take(0, COUNT, &again), COUNT);
    for (struct whorl__stack *s = again; s; s = s->owner)
        CHECK(readable(s->base) && !readable(s->base - 1));
    put_back(&again, SIZE_MAX);
    close_pool();
}

TEST(stack, stack_put_last_is_lent_first)
{
    struct whorl__stack *list = NULL, *last;

    open_pool(0);
    CHECK_EQ(take(1, 100, &list), 100);
    while ((last = list)) {
        put_back(&list, 1);
        CHECK(whorl__stack_get(&cache, 1) == last);
        whorl__stack_put(&cache, last);
    }
    close_pool();
}

/* Giving back */

static void give_back_after_a_burst(unsigned flags)
{
    enum { COUNT = 20000, CACHED = 2 * 32, WARM = 512 + CACHED / 2 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t before, full, after;
    struct whorl__stack *list = NULL;
    struct whorl__stack_counts counts;

    open_pool(flags);
    before = resident_bytes();
    CHECK_EQ(take(1, COUNT, &list), COUNT);
    touch_all(list);
    full = resident_bytes();
    put_back(&list, SIZE_MAX);
    CHECK(resident_bytes() >= full || SANITIZED); /* not in the way of those who put them back */
    while (whorl__stack_trim(&pool))
        ;
    after = resident_bytes();
    whorl__stack_pool_counts(&pool, &counts);
    CHECK(counts.warm <= WARM);
    CHECK(counts.in_use <= CACHED);
    if (!SANITIZED) {
        CHECK(full >= before + COUNT * page);
        /* What stays: warm stacks, descriptors, page tables, and under an emulator what it remembers of each mapping. */
        if (!CHECK(after <= before + (full - before) / 4))
            fprintf(stderr, "resident: before %zu, full %zu, after %zu\n", before, full, after);
    }
    close_pool();
}

TEST(stack, memory_is_given_back_after_a_burst, .timeout = 60)
{
    give_back_after_a_burst(0);
}

TEST(stack, memory_is_given_back_one_by_one_as_well, .timeout = 60)
{
    give_back_after_a_burst(WHORL__STACK_NO_PROCESS_MADVISE);
}

TEST(stack, steady_coming_and_going_faults_in_no_memory)
{
    enum { STEADY = 2000, WAVE = 400, WAVES = 50 };
    struct whorl__stack *steady = NULL, *wave = NULL;
    struct rusage before, after;

    open_pool(0);
    CHECK_EQ(take(1, STEADY, &steady), STEADY);
    touch_all(steady);
    for (int i = 0; i < WAVES; i++) {
        if (i == 1)
            getrusage(RUSAGE_SELF, &before);
        CHECK_EQ(take(1, WAVE, &wave), WAVE);
        touch_all(wave);
        put_back(&wave, SIZE_MAX);
    }
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_minflt - before.ru_minflt < WAVE || SANITIZED);
    put_back(&steady, SIZE_MAX);
    close_pool();
}

/* Limits */

TEST(stack, forty_thousand_stacks_with_guards_are_few_mappings, .timeout = 60)
{
    enum { COUNT = 40000 };
    struct whorl__stack *list = NULL;
    struct whorl__stack_counts counts;
    size_t before = mappings();

    open_pool(0);
    if (!pool.guard_install)
        SKIP("the kernel has no MADV_GUARD_INSTALL (Linux 6.13)");
    CHECK_EQ(take(1, COUNT, &list), COUNT);
    whorl__stack_pool_counts(&pool, &counts);
    CHECK(counts.created >= COUNT);
    CHECK_EQ(counts.refused, 0);
    CHECK(mappings() < before + 50 || SANITIZED);
    for (struct whorl__stack *s = list; s; s = s->owner)
        CHECK(!readable(s->base - 1));
    put_back(&list, SIZE_MAX);
    close_pool();
}

static void *do_nothing(void *arg)
{
    return arg;
}

/* The process must still be able to map memory and start threads when there are no more stacks. */
static void use_up_mappings(void *arg)
{
    struct whorl__stack *list = NULL, *one;
    struct whorl__stack_counts counts;
    pthread_t thread;
    void *memory;
    size_t n;

    (void)arg;
    open_pool(WHORL__STACK_NO_GUARD_INSTALL);
    n = take(0, 10000000, &list);
    CHECK(n > 100);
    CHECK(!whorl__stack_get(&cache, 0));
    CHECK(!whorl__stack_get(&cache, 1));
    whorl__stack_pool_counts(&pool, &counts);
    CHECK_EQ(counts.refused, 3);
    CHECK_EQ(counts.created, n);
    memory = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    if (CHECK_EQ(pthread_create(&thread, NULL, do_nothing, NULL), 0))
        pthread_join(thread, NULL);
    put_back(&list, 1);
    one = whorl__stack_get(&cache, 0);
    if (CHECK(one))
        whorl__stack_put(&cache, one);
    put_back(&list, SIZE_MAX);
    close_pool();
}

TEST(stack, limit_of_mprotect_is_a_clean_failure, .timeout = 60)
{
    char err[2048];
    int status = run_in_child(use_up_mappings, NULL, err, sizeof err);

    if (strstr(err, "VG_N_SEGMENTS"))
        SKIP("Valgrind knows fewer mappings than the kernel");
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_HAS(err, "no more task stacks");
    CHECK_HAS(err, "vm.max_map_count");
    CHECK(strchr(err, '\n') == err + strlen(err) - 1); /* said once */
}

static bool address_space_is_limited(void)
{
    void *p = mmap(NULL, (size_t)2 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return true;
    munmap(p, (size_t)2 << 30);
    return false;
}

static void run_out_of_address_space(void *arg)
{
    struct whorl__stack *list = NULL;
    struct rlimit limit = {(rlim_t)1 << 30, (rlim_t)1 << 30};
    size_t n;

    (void)arg;
    open_pool(0);
    if (setrlimit(RLIMIT_AS, &limit) < 0 || !address_space_is_limited()) {
        fprintf(stderr, "no limit");
        return;
    }
    n = take(3, 5000, &list);
    CHECK(n > 100 && n < 1024);
    CHECK_EQ(put_back(&list, SIZE_MAX), n);
    close_pool();
}

TEST(stack, failing_mmap_is_a_clean_failure)
{
    char err[2048];
    int status;

    if (SANITIZED)
        SKIP("a sanitizer's own memory is larger than the limit on address space");
    status = run_in_child(run_out_of_address_space, NULL, err, sizeof err);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (strstr(err, "no limit"))
        SKIP("RLIMIT_AS does nothing here (an emulator)");
    CHECK_HAS(err, "no more task stacks");
    CHECK_HAS(err, strerror(ENOMEM));
}

/* Threads: each lends, marks, and passes stacks on to others through a shared table, as tasks that migrate do. */

enum { THREADS = 4, SLOTS = 64, ROUNDS = 20000 };
static struct whorl__stack *slots[SLOTS];
static size_t mistakes;

static void *pass_stacks_around(void *arg)
{
    struct whorl__stack_cache own;
    uint64_t random = (uintptr_t)arg;

    whorl__stack_cache_init(&own, &pool);
    for (int i = 0; i < ROUNDS; i++) {
        struct whorl__stack *stack;

        random = random * 6364136223846793005u + 1442695040888963407u;
        stack = whorl__stack_get(&own, (int)(random >> 40) % 3);
        if (!stack || stack->owner)
            whorl__add_relaxed(&mistakes, 1);
        if (!stack)
            break;
        stack->owner = stack;
        stack->base[whorl__stack_size(stack) - 1] = 1;
        stack = whorl__xchg_acq_rel(&slots[random >> 58], stack);
        if (stack)
            whorl__stack_put(&own, stack);
    }
    whorl__stack_cache_flush(&own);
    return NULL;
}

TEST(stack, stacks_wander_between_threads_and_none_is_lost_or_lent_twice, .timeout = 60)
{
    pthread_t threads[THREADS];

    open_pool(0);
    for (uintptr_t i = 0; i < THREADS; i++)
        if (!CHECK_EQ(pthread_create(&threads[i], NULL, pass_stacks_around, (void *)(test_seed() + i)), 0))
            return;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SLOTS; i++)
        if (slots[i])
            whorl__stack_put(&cache, slots[i]);
    CHECK_EQ(mistakes, 0);
    close_pool();
}

/* Contexts on stacks: what is reused under TSan is the fibre, too. */

static struct whorl__context task, worker;

WHORL__CONTEXT_ENTRY static void count_one(void *arg)
{
    size_t *count = arg;

    ++*count;
    whorl__context_exit(&worker, NULL);
}

TEST(stack, contexts_come_and_go_on_one_stack, .timeout = 60)
{
    enum { CONTEXTS = 200000 };
    size_t count = 0;

    open_pool(0);
    whorl__context_init_thread(&worker);
    for (int i = 0; i < CONTEXTS; i++) {
        struct whorl__stack *stack = whorl__stack_get(&cache, 1);

        whorl__stack_context(stack, &task, count_one);
        whorl__context_switch(&worker, &task, &count);
        whorl__context_fini(&task);
        whorl__stack_put(&cache, stack);
    }
    CHECK_EQ(count, CONTEXTS);
    close_pool();
}
