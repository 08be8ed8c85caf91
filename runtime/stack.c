/* SPDX-License-Identifier: MIT */
#include "runtime/stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime/fatal.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#if !defined(RUNNING_ON_VALGRIND)
#define RUNNING_ON_VALGRIND 0
#endif

#if !defined(MADV_GUARD_INSTALL)
#define MADV_GUARD_INSTALL 102 /* Linux 6.13; later than the C library's headers */
#endif

/* A slab is large, since each costs two system calls and a descriptor block, but making one must not hold a worker up: a guard
 * costs about 0.5 us, by mprotect 3 us. */
#define SLAB_BYTES_MAX  ((size_t)16 << 20)
#define SLAB_STACKS_MAX ((size_t)256)
#define SLAB_STACKS_MIN ((size_t)4)

/* A guard is as large as the steps in which code probes a large frame (-fstack-clash-protection): a page, but on aarch64 GCC
 * takes it for granted that guards have 64 KiB. */
#if defined(__aarch64__)
#define GUARD_MIN ((size_t)64 << 10)
#else
#define GUARD_MIN ((size_t)4 << 10)
#endif
/* Mappings left to the rest of the process when each guard is one: its libraries, threads and large allocations. */
#define MAPS_RESERVED ((size_t)2048)
/* vm.max_map_count where it cannot be read: the kernel's own default. */
#define MAPS_MAX_DEFAULT ((size_t)65530)
/* The largest batch. */
#define BATCH_MAX 32

#if !defined(SYS_process_madvise)
#define SYS_process_madvise 440
#endif
#define PIDFD_SELF -10000 /* Linux 6.14; later than the C library's headers */

/* Per class: its size; a batch, what moves between cache and pool at once, large enough to make the lock rare; how many stacks
 * the pool keeps warm for nobody in particular. At worst, all of their pages once touched, a cache keeps 4 MiB (16 MiB of the
 * largest class) from the kernel and the pool 32 MiB. */
static const struct {
    uint32_t size, batch, warm_min;
} classes[WHORL__STACK_CLASSES] = {
    {16 << 10, 32, 512}, {64 << 10, 32, 512}, {256 << 10, 8, 128}, {1 << 20, 2, 32}, {4 << 20, 2, 8},
};

struct whorl__stack_slab {
    struct whorl__stack_slab *next;
    char *memory;
    size_t bytes;
    /* From one stack to the next: a guard, then the whole size of the class. That sum is no power of two, which spreads the
     * stacks' pages over the sets of the TLB (2,048 tasks in turn: 15 ns a switch, 24 with the guard inside the size). */
    size_t stride;
    size_t count;
    struct whorl__stack stacks[];
};

int whorl__stack_class(size_t size)
{
    for (int i = 0; i < WHORL__STACK_CLASSES; i++)
        if (size <= classes[i].size)
            return i;
    return -EINVAL;
}

/* The operating system's part: mappings, guards, giving memory back. */

/* Emulators say yes to any advice and do nothing, so look whether the guard is there: the kernel must fail to write to it. */
static bool guard_install_works(size_t page)
{
    void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool works;

    if (p == MAP_FAILED)
        return false;
    works = madvise(p, page, MADV_GUARD_INSTALL) == 0 && syscall(SYS_getcpu, p, NULL, NULL) < 0 && errno == EFAULT;
    munmap(p, page);
    return works;
}

static size_t maps_max(void)
{
    FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
    size_t n = MAPS_MAX_DEFAULT;

    if (f) {
        if (fscanf(f, "%zu", &n) != 1)
            n = MAPS_MAX_DEFAULT;
        fclose(f);
    }
    return n;
}

/* Returns 0 or -errno. */
static int make_guard(struct whorl__stack_pool *pool, char *memory)
{
    /* Memory that is locked (mlockall) takes no installed guards: -EINVAL, one reason for the other way to be there. */
    if (pool->guard_install && madvise(memory, pool->guard, MADV_GUARD_INSTALL) == 0)
        return 0;
    return mprotect(memory, pool->guard, PROT_NONE) == 0 ? 0 : -errno;
}

static long advise_many(const struct iovec *ranges, unsigned n)
{
    return syscall(SYS_process_madvise, PIDFD_SELF, ranges, n, MADV_DONTNEED, 0);
}

/* Valgrind complains of calls that it does not know. */
static bool process_madvise_works(size_t page)
{
    void *p = RUNNING_ON_VALGRIND ? MAP_FAILED : mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec range = {p, page};
    bool works;

    if (p == MAP_FAILED)
        return false;
    works = advise_many(&range, 1) == (long)page;
    munmap(p, page);
    return works;
}

/* In one call where the kernel can (6.16 tells the other CPUs once then, not once a stack: 1.5 us each against 16). */
static void make_cold(const struct whorl__stack_pool *pool, struct whorl__stack *batch)
{
    struct iovec ranges[BATCH_MAX];
    unsigned n = 0;
    size_t bytes = 0;

    for (struct whorl__stack *stack = batch; stack; stack = stack->next) {
        ranges[n++] = (struct iovec){stack->base, whorl__stack_size(stack)};
        bytes += whorl__stack_size(stack);
#if defined(WHORL__TSAN)
        whorl__context_free_fiber(&stack->fiber);
#endif
    }
    if (pool->process_madvise && advise_many(ranges, n) == (long)bytes)
        return;
    for (unsigned i = 0; i < n; i++)
        madvise(ranges[i].iov_base, ranges[i].iov_len, MADV_DONTNEED);
}

/* Valgrind takes a jump of the stack pointer for a change of stacks only when it knows the stack. */
static void valgrind_register(struct whorl__stack *stack)
{
#if defined(VALGRIND_STACK_REGISTER)
    if (RUNNING_ON_VALGRIND) {
        stack->valgrind_id = VALGRIND_STACK_REGISTER(stack->base, stack->base + whorl__stack_size(stack) - 1) + 1;
    }
#endif
    (void)stack;
}

static void valgrind_deregister(struct whorl__stack *stack)
{
#if defined(VALGRIND_STACK_REGISTER)
    if (stack->valgrind_id)
        VALGRIND_STACK_DEREGISTER(stack->valgrind_id - 1);
#endif
    (void)stack;
}

/* Slabs. */

static void slab_free(struct whorl__stack_slab *slab)
{
    for (size_t i = 0; i < slab->count; i++) {
        valgrind_deregister(&slab->stacks[i]);
#if defined(WHORL__TSAN)
        whorl__context_free_fiber(&slab->stacks[i].fiber);
#endif
    }
    munmap(slab->memory, slab->bytes);
    free(slab);
}

/* Cuts the slab into stacks, fewer when no more guards can be had. Returns 0, or -errno when not one was made. */
static int slab_cut(struct whorl__stack_pool *pool, struct whorl__stack_slab *slab, int class, size_t wanted)
{
    for (slab->count = 0; slab->count < wanted; slab->count++) {
        struct whorl__stack *stack = &slab->stacks[slab->count];
        char *guard = slab->memory + slab->count * slab->stride;
        int err = make_guard(pool, guard);

        if (err < 0)
            return slab->count ? 0 : err;
        stack->base = guard + pool->guard;
        stack->size_kib = (uint16_t)((slab->stride - pool->guard) >> 10);
        stack->class = (uint8_t) class;
        valgrind_register(stack);
    }
    return 0;
}

static size_t stride(const struct whorl__stack_pool *pool, int class)
{
    return pool->guard + (classes[class].size + pool->page - 1) / pool->page * pool->page;
}

/* Returns a slab of at most `wanted` stacks, or NULL and the cause in *err. */
static struct whorl__stack_slab *slab_new(struct whorl__stack_pool *pool, int class, size_t wanted, int *err)
{
    struct whorl__stack_slab *slab = calloc(1, sizeof *slab + wanted * sizeof slab->stacks[0]);

    *err = -ENOMEM;
    if (!slab)
        return NULL;
    slab->stride = stride(pool, class);
    slab->bytes = wanted * slab->stride;
    slab->memory = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (slab->memory == MAP_FAILED) {
        *err = -errno;
        free(slab);
        return NULL;
    }
    /* A huge page would put 2 MiB behind the one page that most stacks touch. Kernels without huge pages refuse: fine. */
    madvise(slab->memory, slab->bytes, MADV_NOHUGEPAGE);
    *err = slab_cut(pool, slab, class, wanted);
    if (*err < 0) {
        slab_free(slab);
        return NULL;
    }
    return slab;
}

/* The depots: lists of batches. Callers hold the lock. */

static void batch_push(struct whorl__stack **list, size_t *count, struct whorl__stack *batch)
{
    batch->chain = *list;
    *list = batch;
    *count += batch->batch;
}

static struct whorl__stack *batch_pop(struct whorl__stack **list, size_t *count)
{
    struct whorl__stack *batch = *list;

    if (batch) {
        *list = batch->chain;
        *count -= batch->batch;
        batch->owner = NULL; /* where `chain` was */
    }
    return batch;
}

static struct whorl__stack *depot_take(struct whorl__stack_depot *depot)
{
    struct whorl__stack *batch;

    whorl__spin_lock(&depot->lock);
    batch = batch_pop(&depot->warm, &depot->warm_count);
    if (!batch)
        batch = batch_pop(&depot->cold, &depot->cold_count);
    whorl__spin_unlock(&depot->lock);
    return batch;
}

/* Puts the stacks of a new slab into its depot, as cold batches, but for one, which is returned: others may be waiting for some. */
static struct whorl__stack *depot_stock(struct whorl__stack_depot *depot, struct whorl__stack_slab *slab, uint32_t batch_size)
{
    struct whorl__stack *kept;

    whorl__spin_lock(&depot->lock);
    for (size_t i = slab->count; i > 0;) {
        struct whorl__stack *first = NULL;
        uint32_t n = 0;

        for (; i > 0 && n < batch_size; n++) {
            struct whorl__stack *stack = &slab->stacks[--i];

            stack->next = first;
            first = stack;
        }
        first->batch = (uint8_t)n;
        batch_push(&depot->cold, &depot->cold_count, first);
    }
    depot->created += slab->count;
    kept = batch_pop(&depot->cold, &depot->cold_count);
    whorl__spin_unlock(&depot->lock);
    return kept;
}

/* How many warm stacks are more than there should be. */
static size_t depot_surplus(const struct whorl__stack_depot *depot, int class)
{
    size_t lent = depot->created - depot->warm_count - depot->cold_count, keep = classes[class].warm_min + lent / 2;

    return depot->warm_count > keep ? depot->warm_count - keep : 0;
}

/* Takes a warm batch back. */
static void depot_put(struct whorl__stack_pool *pool, int class, struct whorl__stack *batch)
{
    struct whorl__stack_depot *depot = &pool->depots[class];

    whorl__spin_lock(&depot->lock);
    batch_push(&depot->warm, &depot->warm_count, batch);
    if (depot_surplus(depot, class))
        whorl__store_relaxed(&depot->surplus, true);
    whorl__spin_unlock(&depot->lock);
}

static bool depot_trim(struct whorl__stack_pool *pool, int class)
{
    struct whorl__stack_depot *depot = &pool->depots[class];
    struct whorl__stack *batch = NULL;

    whorl__spin_lock(&depot->lock);
    if (depot_surplus(depot, class))
        batch = batch_pop(&depot->warm, &depot->warm_count);
    else
        whorl__store_relaxed(&depot->surplus, false);
    whorl__spin_unlock(&depot->lock);
    if (!batch)
        return false;
    make_cold(pool, batch);
    whorl__spin_lock(&depot->lock);
    batch_push(&depot->cold, &depot->cold_count, batch);
    whorl__spin_unlock(&depot->lock);
    return true;
}

bool whorl__stack_trim(struct whorl__stack_pool *pool)
{
    for (int i = 0; i < WHORL__STACK_CLASSES; i++)
        if (whorl__load_relaxed(&pool->depots[i].surplus) && depot_trim(pool, i))
            return true;
    return false;
}

/* The pool. */

/* Says once why there are no more stacks. */
static void complain(struct whorl__stack_pool *pool, int err)
{
    size_t created = whorl__load_relaxed(&pool->created);

    if (whorl__xchg_acq_rel(&pool->complained, 1))
        return;
    if (created >= pool->stacks_max)
        whorl__say("no more task stacks: %zu are all that vm.max_map_count allows where guard pages are made by mprotect; "
                   "raise it (sysctl -w vm.max_map_count=N, two for each stack) or use Linux 6.13 or later",
                   created);
    else if (err == 0)
        whorl__say("no more task stacks: %zu are all that whorl_options.memory (WHORL_MEMORY) allows", created);
    else
        whorl__say("no more task stacks after %zu: %s", created, strerror(-err));
}

/* How many stacks the next slab of `class` has. */
static size_t slab_size(const struct whorl__stack_pool *pool, int class)
{
    size_t n = SLAB_BYTES_MAX / (classes[class].size + pool->guard);
    size_t left = pool->stacks_max - whorl__load_relaxed(&pool->created);
    size_t room = (pool->bytes_max - whorl__load_relaxed(&pool->mapped)) / stride(pool, class);

    n = n > SLAB_STACKS_MAX ? SLAB_STACKS_MAX : n < SLAB_STACKS_MIN ? SLAB_STACKS_MIN : n;
    left = left < room ? left : room;
    return n < left ? n : left;
}

/* Maps one more slab for `class` and returns a batch of it; NULL: no more can be had. */
static struct whorl__stack *pool_grow(struct whorl__stack_pool *pool, int class)
{
    struct whorl__stack_depot *depot = &pool->depots[class];
    struct whorl__stack_slab *slab = NULL;
    struct whorl__stack *batch;
    size_t wanted;
    int err = 0;

    whorl__spin_lock(&pool->growing);
    batch = depot_take(depot); /* another worker may have grown the pool meanwhile */
    wanted = slab_size(pool, class);
    if (!batch && wanted > 0)
        slab = slab_new(pool, class, wanted, &err);
    if (slab) {
        whorl__add_relaxed(&pool->created, slab->count);
        whorl__add_relaxed(&pool->mapped, slab->bytes);
        slab->next = pool->slabs;
        pool->slabs = slab;
        batch = depot_stock(depot, slab, classes[class].batch);
    }
    whorl__spin_unlock(&pool->growing);
    if (!batch) {
        whorl__add_relaxed(&pool->refused, 1);
        complain(pool, err);
    }
    return batch;
}

size_t whorl__stack_guard(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return page > GUARD_MIN ? page : GUARD_MIN;
}

int whorl__stack_pool_init(struct whorl__stack_pool *pool, unsigned flags, size_t bytes_max)
{
    size_t maps;

    memset(pool, 0, sizeof *pool);
    if (flags & ~(WHORL__STACK_NO_GUARD_INSTALL | WHORL__STACK_NO_PROCESS_MADVISE))
        return -EINVAL;
    pool->page = (size_t)sysconf(_SC_PAGESIZE);
    pool->guard = whorl__stack_guard();
    pool->process_madvise = !(flags & WHORL__STACK_NO_PROCESS_MADVISE) && process_madvise_works(pool->page);
    pool->guard_install = !(flags & WHORL__STACK_NO_GUARD_INSTALL) && guard_install_works(pool->page);
    pool->stacks_max = SIZE_MAX;
    pool->bytes_max = bytes_max;
    if (!pool->guard_install) {
        maps = maps_max();
        /* A stack and its guard are a mapping each. */
        pool->stacks_max = maps > 2 * MAPS_RESERVED ? (maps - MAPS_RESERVED) / 2 : maps / 4;
    }
    return 0;
}

void whorl__stack_pool_fini(struct whorl__stack_pool *pool)
{
    struct whorl__stack_slab *slab = pool->slabs;

    while (slab) {
        struct whorl__stack_slab *next = slab->next;

        slab_free(slab);
        slab = next;
    }
    memset(pool, 0, sizeof *pool);
}

void whorl__stack_pool_counts(struct whorl__stack_pool *pool, struct whorl__stack_counts *out)
{
    memset(out, 0, sizeof *out);
    for (int i = 0; i < WHORL__STACK_CLASSES; i++) {
        struct whorl__stack_depot *depot = &pool->depots[i];

        whorl__spin_lock(&depot->lock);
        out->created += depot->created;
        out->warm += depot->warm_count;
        out->cold += depot->cold_count;
        whorl__spin_unlock(&depot->lock);
    }
    out->in_use = out->created - out->warm - out->cold;
    out->mapped = whorl__load_relaxed(&pool->mapped);
    out->refused = whorl__load_relaxed(&pool->refused);
}

/* The caches. */

void whorl__stack_cache_init(struct whorl__stack_cache *cache, struct whorl__stack_pool *pool)
{
    memset(cache, 0, sizeof *cache);
    cache->pool = pool;
    for (int i = 0; i < WHORL__STACK_CLASSES; i++)
        cache->shelves[i].batch = classes[i].batch;
}

/* `top` is empty: fills it from the spare batch or from the pool. */
bool whorl__stack_refill(struct whorl__stack_cache *cache, int class)
{
    struct whorl__stack_shelf *shelf = &cache->shelves[class];
    struct whorl__stack *batch = shelf->spare;

    shelf->spare = NULL;
    if (!batch)
        batch = depot_take(&cache->pool->depots[class]);
    if (!batch)
        batch = pool_grow(cache->pool, class);
    if (!batch)
        return false;
    shelf->top = batch;
    shelf->count = batch->batch;
    return true;
}

/* `top` is full: makes it the spare batch, the one that was spare goes to the pool. So a cache moves a batch only after a whole
 * batch of gets or puts, however they alternate. */
void whorl__stack_spill(struct whorl__stack_cache *cache, int class)
{
    struct whorl__stack_shelf *shelf = &cache->shelves[class];

    if (shelf->spare)
        depot_put(cache->pool, class, shelf->spare);
    shelf->top->batch = (uint8_t)shelf->count;
    shelf->spare = shelf->top;
    shelf->top = NULL;
    shelf->count = 0;
}

void whorl__stack_cache_flush(struct whorl__stack_cache *cache)
{
    for (int i = 0; i < WHORL__STACK_CLASSES; i++) {
        struct whorl__stack_shelf *shelf = &cache->shelves[i];

        for (int part = 0; part < 2; part++)
            if (shelf->top)
                whorl__stack_spill(cache, i);
            else if (shelf->spare) {
                depot_put(cache->pool, i, shelf->spare);
                shelf->spare = NULL;
            }
    }
}
