/* SPDX-License-Identifier: MIT */
/* Stacks for contexts: lent from a pool, a guard below each that nothing can be written to.
 *
 * A stack is warm while memory pages stand behind it, cold before its first use and after its pages were given back. Three
 * levels, so that the common case needs no lock: a worker's cache holds up to two batches a class; the pool holds batches,
 * under a lock; the pool grows by slabs, large mappings that are cut into stacks and stay until the pool ends.
 *
 * The pool should keep warm a few batches and half as many stacks as are lent: a steady coming and going faults in no pages. What is
 * more, after a burst, goes back to the kernel a batch at a time, by workers that are idle or, now and then, by busy ones
 * (whorl__stack_trim): that costs as much as all else in the end of a task, or many times that where other CPUs run threads of the
 * process and must be told. */
#ifndef WHORL_RUNTIME_STACK_H
#define WHORL_RUNTIME_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/atomic.h"
#include "runtime/context.h"

/* 16, 64 and 256 KiB, 1 and 4 MiB. */
enum { WHORL__STACK_CLASSES = 5 };
#define WHORL__STACK_SIZE_MAX ((size_t)4 << 20)

/* Describes a stack from outside of it, so that a cold one stays untouched. */
struct whorl__stack {
    char *base;                /* the lowest usable byte, right above the guard; constant */
    struct whorl__stack *next; /* in the same batch */
    union {
        void *owner;                /* whom it is lent to: the borrower's to set, for debuggers */
        struct whorl__stack *chain; /* first of a batch in the pool: the first of the next batch */
    };
    uint32_t valgrind_id; /* Valgrind's number for it, plus one; 0: it knows nothing of it */
    uint16_t size_kib;    /* usable; constant */
    uint8_t class;        /* constant */
    uint8_t batch;        /* first of a batch in the pool: how many stacks the batch has */
#if defined(WHORL__TSAN)
    void *fiber;
#endif
};

static inline size_t whorl__stack_size(const struct whorl__stack *stack)
{
    return (size_t)stack->size_kib << 10;
}

/* Bytes that fault, right below the base of each. */
size_t whorl__stack_guard(void);

struct whorl__stack_slab;

struct whorl__stack_depot {                   /* the pool's stacks of one class */
    _Alignas(64) struct whorl__spinlock lock; /* guards all that follows */
    struct whorl__stack *warm, *cold;         /* lists of batches */
    size_t warm_count, cold_count, created;   /* in stacks */
    bool surplus;                             /* warm stacks are more than they should be; anyone reads it, relaxed, as a hint */
};

struct whorl__stack_pool {
    struct whorl__stack_depot depots[WHORL__STACK_CLASSES];
    struct whorl__spinlock growing; /* held while a slab is made; guards `slabs` */
    struct whorl__stack_slab *slabs;
    /* Any thread, atomic. */
    size_t created; /* stacks of all classes */
    size_t mapped;  /* bytes of address space */
    size_t refused; /* stacks asked for in vain */
    uint32_t complained;
    /* Constant after init. */
    size_t page, guard; /* bytes */
    size_t stacks_max;  /* what the kernel's limit on mappings allows: SIZE_MAX when guards are no mappings */
    size_t bytes_max;   /* what the user's limit allows to be mapped */
    bool guard_install, process_madvise;
};

/* A worker's own stacks. Owner only. */
struct whorl__stack_cache {
    struct whorl__stack_pool *pool;
    struct whorl__stack_shelf {
        struct whorl__stack *top;   /* the stack put last is lent first: its memory is in the CPU's caches */
        struct whorl__stack *spare; /* NULL or a full batch */
        uint32_t count;             /* of `top` */
        uint32_t batch;             /* constant: when `top` is full */
    } shelves[WHORL__STACK_CLASSES];
};

struct whorl__stack_counts {
    size_t created;
    size_t in_use; /* lent, or in the cache of a worker */
    size_t warm;   /* in the pool, with memory */
    size_t cold;   /* in the pool, without */
    size_t mapped; /* bytes of address space, not of memory */
    size_t refused;
};

/* Guards by mprotect(2) even where MADV_GUARD_INSTALL works. */
#define WHORL__STACK_NO_GUARD_INSTALL 1u
/* Memory is given back by one call for each stack even where process_madvise(2) can take several. */
#define WHORL__STACK_NO_PROCESS_MADVISE 2u

/* Probes what the kernel can do; maps nothing yet, and never more than `bytes_max`. Returns 0, or -EINVAL: an unknown flag. */
int whorl__stack_pool_init(struct whorl__stack_pool *pool, unsigned flags, size_t bytes_max);
/* Unmaps everything, stacks that are still lent too; no cache may be used any more. */
void whorl__stack_pool_fini(struct whorl__stack_pool *pool);
/* Gives the memory of one batch of surplus warm stacks back to the kernel, which takes some 50 us. False: none are. Any thread. */
bool whorl__stack_trim(struct whorl__stack_pool *pool);
/* Any thread. The parts may be a moment apart. */
void whorl__stack_pool_counts(struct whorl__stack_pool *pool, struct whorl__stack_counts *out);

void whorl__stack_cache_init(struct whorl__stack_cache *cache, struct whorl__stack_pool *pool);
/* Gives all stacks of the cache back to the pool; it may be used further. Owner only. */
void whorl__stack_cache_flush(struct whorl__stack_cache *cache);

/* The class for stacks of `size` bytes; -EINVAL: above WHORL__STACK_SIZE_MAX. */
int whorl__stack_class(size_t size);

/* The slow halves of the two that follow. */
bool whorl__stack_refill(struct whorl__stack_cache *cache, int class);
void whorl__stack_spill(struct whorl__stack_cache *cache, int class);

/* Lends a stack of a class from whorl__stack_class. NULL: none is to be had, which is counted and said once on standard error.
 * Owner only. */
static inline struct whorl__stack *whorl__stack_get(struct whorl__stack_cache *cache, int class)
{
    struct whorl__stack_shelf *shelf = &cache->shelves[class];
    struct whorl__stack *stack;

    if (__builtin_expect(!shelf->top, 0) && !whorl__stack_refill(cache, class))
        return NULL;
    stack = shelf->top;
    shelf->top = stack->next;
    shelf->count--;
    return stack;
}

/* Takes a stack back that nothing runs on any more. Owner only. */
static inline void whorl__stack_put(struct whorl__stack_cache *cache, struct whorl__stack *stack)
{
    struct whorl__stack_shelf *shelf = &cache->shelves[stack->class];

    if (__builtin_expect(shelf->count == shelf->batch, 0))
        whorl__stack_spill(cache, stack->class);
    stack->owner = NULL;
    stack->next = shelf->top;
    shelf->top = stack;
    shelf->count++;
}

/* whorl__context_init on this stack. */
static inline void whorl__stack_context(struct whorl__stack *stack, struct whorl__context *c, whorl__context_entry entry)
{
#if defined(WHORL__TSAN)
    whorl__context_init_fiber(c, stack->base, whorl__stack_size(stack), entry, &stack->fiber);
#else
    whorl__context_init(c, stack->base, whorl__stack_size(stack), entry);
#endif
}

#endif
