/* SPDX-License-Identifier: MIT */
/* Loops, sums and sorting by all workers, on top of fork and sync: nothing here is split until somebody is there to take a part. */
#ifndef WHORL_PARALLEL_H
#define WHORL_PARALLEL_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* Does what is to be done for each index from `begin` to `end` - 1. Called for ranges that together are the whole, each index
 * once, from several tasks at a time and in any order. */
typedef void (*whorl_range_fn)(size_t begin, size_t end, void *arg);

/* Calls body(b, e, arg) for ranges that make up `begin` to `end` - 1, as many at a time as there are workers with nothing else to
 * do. Returns when all have returned. The ranges grow or shrink until one takes some tens of microseconds; after each the
 * caller looks whether others want part of the rest ("Lazy binary splitting", Tzannes and others, PPoPP 2010). The body may suspend.
 * Nothing is done when `end` <= `begin`. Suspends. Aborts outside a task. */
WHORL_API void whorl_parallel_for(size_t begin, size_t end, whorl_range_fn body, void *arg);

/* Adds what belongs to the indices from `begin` to `end` - 1 to the sum *into. */
typedef void (*whorl_sum_fn)(size_t begin, size_t end, void *into, void *arg);
/* Adds the sum *from to the sum *into; those of *from are the higher indices. */
typedef void (*whorl_combine_fn)(void *into, const void *from, void *arg);

/* The largest sum, in bytes. */
#define WHORL_SUM_MAX 256

/* Sums over `begin` to `end` - 1 in the same way: parts of the range are summed up by add(b, e, into, arg), each sum starting as
 * a copy of what *result holds at the call (of `size` bytes, the neutral element), and neighbouring sums are put together by
 * `combine`, in order: it need be associative only. The whole is in *result at the end.
 * Returns 0, or -EINVAL: size > WHORL_SUM_MAX. Suspends. Aborts outside a task. */
WHORL_API int whorl_reduce(size_t begin, size_t end, whorl_sum_fn add, whorl_combine_fn combine, void *arg, void *result,
                           size_t size);

/* Below, at or above 0: *a belongs before, beside or after *b. */
typedef int (*whorl_compare_fn)(const void *a, const void *b, void *arg);

/* Sorts `count` elements of `size` bytes at `base` with compare(a, b, arg), which is called from several tasks at a time: halves
 * are sorted, then merged, each by as many workers as are free; small parts by qsort_r(3). Equal elements may change places.
 * Returns 0, or -ENOMEM: it needs as much memory again as the elements take; they are as they were. Suspends. Aborts outside a task.
 */
WHORL_API int whorl_sort(void *base, size_t count, size_t size, whorl_compare_fn compare, void *arg);

WHORL_END_DECLS

#endif
