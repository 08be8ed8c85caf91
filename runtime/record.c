/* SPDX-License-Identifier: MIT */
#include "runtime/record.h"
#include <sys/mman.h>

/* Memory for a slab, aligned to its size; NULL: there is none. */
static struct whorl__record_slab *map_slab(void)
{
    size_t size = WHORL__RECORD_SLAB_BYTES;
    char *memory = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before;

    if (memory == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)memory & (size - 1);
    if (before)
        munmap(memory, before);
    munmap(memory + before + size, size - before);
    memory += before;
    madvise(memory, size, MADV_NOHUGEPAGE); /* one would make memory of what nobody touches */
    madvise(memory, size, MADV_WIPEONFORK); /* in the child of a fork(2) there are no tasks, see fork_child.c */
    return (struct whorl__record_slab *)memory;
}

/* Maps a slab and makes it the one that batches are cut from. Under record_lock. NULL: there is no memory. */
static struct whorl__record_slab *add_slab(struct whorl__runtime *rt)
{
    struct whorl__record_slab *slab = map_slab();

    if (!slab)
        return NULL;
    slab->runtime = rt;
    slab->next = rt->slabs;
    slab->number = rt->slabs ? rt->slabs->number + 1 : 0;
    whorl__store_release(&rt->slabs, slab); /* pairs with the acquire in dumps and in whorl__runtime_end */
    return slab;
}

/* A list of `batch` records that were never used; NULL: no memory, or no more are allowed. Under record_lock. */
static struct whorl_task *cut_batch(struct whorl__runtime *rt)
{
    struct whorl__record_slab *slab = rt->slabs;
    struct whorl_task *first;

    if (rt->records_made >= rt->config.records_max)
        return NULL;
    if (!slab || slab->used == WHORL__RECORDS_PER_SLAB)
        slab = add_slab(rt);
    if (!slab)
        return NULL;
    first = &slab->tasks[slab->used];
    for (int i = 0; i < WHORL__RECORD_BATCH - 1; i++)
        first[i].next = &first[i + 1];
    rt->records_made += WHORL__RECORD_BATCH;
    whorl__store_relaxed(&slab->used, slab->used + WHORL__RECORD_BATCH);
    return first;
}

/* A list of free records, at most `max`, and their number in *n; NULL: none are to be had. */
static struct whorl_task *take(struct whorl__runtime *rt, uint32_t max, uint32_t *n)
{
    struct whorl_task *first, *last;

    whorl__spin_lock(&rt->record_lock);
    if (!rt->records)
        rt->records = cut_batch(rt);
    first = last = rt->records;
    *n = first ? 1 : 0;
    for (; *n > 0 && *n < max && last->next; ++*n)
        last = last->next;
    if (first) {
        rt->records = last->next;
        last->next = NULL;
    }
    whorl__spin_unlock(&rt->record_lock);
    return first;
}

static void give(struct whorl__runtime *rt, struct whorl_task *first, struct whorl_task *last)
{
    whorl__spin_lock(&rt->record_lock);
    last->next = rt->records;
    rt->records = first;
    whorl__spin_unlock(&rt->record_lock);
}

struct whorl_task *whorl__record_get_outside(struct whorl__runtime *rt)
{
    uint32_t n;

    return take(rt, 1, &n);
}

void whorl__record_put_outside(struct whorl_task *t)
{
    whorl__store_relaxed(&t->state, WHORL__FREE);
    give(whorl__runtime_of(t), t, t);
}

bool whorl__records_refill(struct whorl__worker *w)
{
    w->records = take(w->runtime, WHORL__RECORD_BATCH, &w->record_count);
    return w->records != NULL;
}

void whorl__records_spill(struct whorl__worker *w)
{
    struct whorl_task *first = w->records, *last = first;

    for (int i = 1; i < WHORL__RECORD_BATCH; i++)
        last = last->next;
    w->records = last->next;
    w->record_count -= WHORL__RECORD_BATCH;
    give(w->runtime, first, last);
}

void whorl__records_free(struct whorl__runtime *rt)
{
    struct whorl__record_slab *next;

    for (struct whorl__record_slab *s = rt->slabs; s; s = next) {
        next = s->next;
        munmap(s, WHORL__RECORD_SLAB_BYTES);
    }
}
