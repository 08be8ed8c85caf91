/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* qsort_r */
#include "runtime/scheduler.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <whorl/parallel.h>

/* After each piece of work that takes some 10 us or more, whorl__checkpoint_slow looks up at once. A countdown of forks is no measure of
 * time where they do not all do much the same: on the way down to the first leaf there are many in no time, and it grows. */

/* A range is handled in pieces that take about this long. */
#define PIECE_MIN WHORL_US(10)
#define PIECE_MAX WHORL_US(40)

/* Elements that are sorted, or merged, by one worker: some 30 us, so that others on it have their turn. */
#define SORT_LEAF  512
#define MERGE_LEAF 1024

/* Could an idle worker find nothing of this task's to take? */
static bool nothing_to_take(void)
{
    const struct whorl__forks *forks = whorl__forks_here();

    return whorl__load_relaxed(&forks->head) >= forks->tail;
}

static whorl_ns clock_now(void)
{
    struct whorl__worker *w = whorl__worker();

    return w->runtime->ops->now(w->runtime->reactor);
}

/* Whoever runs a fork that was taken may not copy the struct it is in: somebody may just begin to wait for the fork, by its latch. */

/* Ranges. */

struct range {
    struct whorl_fork fork;
    size_t begin, end, piece;
    const struct job *job;
    void *into; /* of a sum */
};

/* What is done with each range: the same for all of a call. */
struct job {
    whorl_range_fn body; /* NULL: it is a sum */
    whorl_sum_fn add;
    whorl_combine_fn combine;
    void *arg;
    const void *neutral;
    size_t size;
};

static void run_range(struct whorl_fork *self);

/* The upper half for whoever takes it, the lower half here. */
static void split(struct range *r)
{
    _Alignas(max_align_t) char sum[WHORL_SUM_MAX];
    const struct job *job = r->job;
    size_t middle = r->begin + (r->end - r->begin) / 2;
    struct range upper = {.begin = middle, .end = r->end, .piece = r->piece, .job = job, .into = sum};

    r->end = middle;
    memcpy(sum, job->neutral, job->size);
    whorl_fork(&upper.fork, run_range);
    run_range(&r->fork);
    whorl_sync(&upper.fork);
    if (job->combine)
        job->combine(r->into, sum, job->arg);
}

static void run_piece(const struct range *r, size_t end)
{
    const struct job *job = r->job;

    if (job->body)
        job->body(r->begin, end, job->arg);
    else
        job->add(r->begin, end, r->into, job->arg);
}

static void run_range(struct whorl_fork *self)
{
    struct range *r = whorl_fork_of(self, struct range, fork);
    whorl_ns start = clock_now(), end;

    while (r->end - r->begin > r->piece) {
        if (nothing_to_take()) {
            split(r);
            return;
        }
        run_piece(r, r->begin + r->piece);
        r->begin += r->piece;
        whorl__checkpoint_slow();
        end = clock_now();
        if (end - start < PIECE_MIN)
            r->piece *= 2;
        else if (end - start > PIECE_MAX && r->piece > 1)
            r->piece /= 2;
        start = end;
    }
    run_piece(r, r->end);
    whorl__checkpoint_slow();
}

static void run_job(size_t begin, size_t end, const struct job *job, void *into)
{
    struct range whole = {.begin = begin, .end = end, .piece = 1, .job = job, .into = into};

    if (begin < end)
        run_range(&whole.fork);
}

void whorl_parallel_for(size_t begin, size_t end, whorl_range_fn body, void *arg)
{
    struct job job = {.body = body, .arg = arg, .neutral = ""};
    struct whorl__worker *w;

    whorl__self_may_suspend("whorl_parallel_for", &w);
    if (!body)
        whorl__misuse("whorl_parallel_for was given no function");
    run_job(begin, end, &job, NULL);
}

int whorl_reduce(size_t begin, size_t end, whorl_sum_fn add, whorl_combine_fn combine, void *arg, void *result, size_t size)
{
    char neutral[WHORL_SUM_MAX];
    struct job job = {.add = add, .combine = combine, .arg = arg, .neutral = neutral, .size = size};
    struct whorl__worker *w;

    whorl__self_may_suspend("whorl_reduce", &w);
    if (!add || !combine || !result)
        whorl__misuse("whorl_reduce was given no function, or nowhere to put the result");
    if (size > WHORL_SUM_MAX)
        return whorl__failed(-EINVAL, "reduce", "its sum is larger than WHORL_SUM_MAX");
    memcpy(neutral, result, size);
    run_job(begin, end, &job, result);
    return 0;
}

/* Sorting. `from` and `to` are the elements and the spare memory, or the other way round. */

struct order {
    size_t size;
    whorl_compare_fn compare;
    void *arg;
};

static inline void copy(const struct order *o, char *to, const char *from, size_t count)
{
    /* The usual sizes, one at a time, by a load and a store. */
    if (count == 1 && o->size == 8)
        memcpy(to, from, 8);
    else if (count == 1 && o->size == 4)
        memcpy(to, from, 4);
    else
        memcpy(to, from, count * o->size);
}

/* Two sorted runs, a before b, into `to`. */
struct merge {
    struct whorl_fork fork;
    const struct order *order;
    const char *a, *b;
    size_t a_count, b_count;
    char *to;
};

static void merge_here(const struct merge *m)
{
    const struct order *o = m->order;
    const char *a = m->a, *b = m->b, *a_end = a + m->a_count * o->size, *b_end = b + m->b_count * o->size;
    char *to = m->to;

    for (; a < a_end && b < b_end; to += o->size) {
        const char **least = o->compare(b, a, o->arg) < 0 ? &b : &a;

        copy(o, to, *least, 1);
        *least += o->size;
    }
    copy(o, to, a, (size_t)(a_end - a) / o->size);
    copy(o, to + (a_end - a), b, (size_t)(b_end - b) / o->size);
}

/* How many of the `count` elements at `run` belong before `pivot`. */
static size_t count_before(const struct order *o, const char *run, size_t count, const char *pivot)
{
    size_t first = 0;

    while (count > 0) {
        size_t half = count / 2;

        if (o->compare(run + (first + half) * o->size, pivot, o->arg) < 0) {
            first += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return first;
}

static void merge(struct whorl_fork *self)
{
    struct merge *m = whorl_fork_of(self, struct merge, fork);
    struct merge lower = {.order = m->order, .a = m->a, .b = m->b, .to = m->to}, upper = lower;
    size_t size = m->order->size;

    if (m->a_count + m->b_count <= MERGE_LEAF) {
        merge_here(m);
        whorl__checkpoint_slow();
        return;
    }
    /* What is before the middle of the longer run, and the rest. */
    if (m->a_count >= m->b_count) {
        lower.a_count = m->a_count / 2;
        lower.b_count = count_before(m->order, m->b, m->b_count, m->a + lower.a_count * size);
    } else {
        lower.b_count = m->b_count / 2;
        lower.a_count = count_before(m->order, m->a, m->a_count, m->b + lower.b_count * size);
    }
    upper.a += lower.a_count * size;
    upper.b += lower.b_count * size;
    upper.a_count = m->a_count - lower.a_count;
    upper.b_count = m->b_count - lower.b_count;
    upper.to += (lower.a_count + lower.b_count) * size;
    whorl_fork(&upper.fork, merge);
    merge(&lower.fork);
    whorl_sync(&upper.fork);
}

/* Sorts what is at `from`: into `to`, or where it is. */
struct sort {
    struct whorl_fork fork;
    const struct order *order;
    char *from, *to;
    size_t count;
    bool into;
};

static void sort(struct whorl_fork *self)
{
    struct sort *s = whorl_fork_of(self, struct sort, fork);
    size_t size = s->order->size, half = s->count / 2;
    struct sort lower = {.order = s->order, .from = s->from, .to = s->to, .count = half, .into = !s->into}, upper = lower;
    struct merge m = {.order = s->order, .a_count = half, .b_count = s->count - half};

    if (s->count <= SORT_LEAF) {
        qsort_r(s->from, s->count, size, s->order->compare, s->order->arg);
        if (s->into)
            memcpy(s->to, s->from, s->count * size);
        whorl__checkpoint_slow();
        return;
    }
    upper.count = s->count - half;
    upper.from += half * size;
    upper.to += half * size;
    whorl_fork(&upper.fork, sort);
    sort(&lower.fork);
    whorl_sync(&upper.fork);
    m.a = s->into ? s->from : s->to;
    m.b = m.a + half * size;
    m.to = s->into ? s->to : s->from;
    merge(&m.fork);
}

/* Spare memory is the kernel's, since that can be given back bit by bit, with others having their turns: free(3) of 8 MB took 600 us. */
#define GIVEN_BACK_AT_ONCE ((size_t)256 << 10)

static char *spare_get(size_t bytes)
{
    char *spare = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return spare == MAP_FAILED ? NULL : spare;
}

static void spare_put(char *spare, size_t bytes)
{
    while (bytes > 0) {
        size_t part = bytes < GIVEN_BACK_AT_ONCE ? bytes : GIVEN_BACK_AT_ONCE;

        munmap(spare, part);
        spare += part;
        bytes -= part;
        whorl__checkpoint_slow();
    }
}

int whorl_sort(void *base, size_t count, size_t size, whorl_compare_fn compare, void *arg)
{
    struct order order = {.size = size, .compare = compare, .arg = arg};
    struct sort whole = {.order = &order, .from = base, .count = count};
    struct whorl__worker *w;

    whorl__self_may_suspend("whorl_sort", &w);
    if (!compare)
        whorl__misuse("whorl_sort was given no function");
    if (size == 0 || count < 2)
        return 0;
    if (count > SORT_LEAF) {
        whole.to = count <= SIZE_MAX / size ? spare_get(count * size) : NULL;
        if (!whole.to)
            return whorl__failed(-ENOMEM, "sort", "no memory for as many elements again");
    }
    sort(&whole.fork);
    if (whole.to)
        spare_put(whole.to, count * size);
    return 0;
}
