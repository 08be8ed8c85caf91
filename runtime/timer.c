/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* mremap */
#include "runtime/timer.h"
#include <errno.h>
#include <sys/mman.h>

#define ARITY        4
#define CAPACITY_MIN 1024 /* slots: a few pages, of which those not touched cost nothing */

static size_t bytes_of(uint32_t capacity)
{
    return capacity * sizeof(struct whorl__timer_slot);
}

void whorl__timers_init(struct whorl__timers *h)
{
    *h = (struct whorl__timers){.next = WHORL_NEVER};
}

void whorl__timers_fini(struct whorl__timers *h)
{
    if (h->capacity)
        munmap(h->slots, bytes_of(h->capacity));
    whorl__timers_init(h);
}

static void put(struct whorl__timers *h, uint32_t i, struct whorl__timer_slot slot)
{
    h->slots[i] = slot;
    whorl__store_release(&slot.timer->index, i + 1); /* pairs with the acquire in whorl__timer_lock */
}

static void sift_up(struct whorl__timers *h, uint32_t i, struct whorl__timer_slot slot)
{
    while (i > 0 && slot.when < h->slots[(i - 1) / ARITY].when) {
        put(h, i, h->slots[(i - 1) / ARITY]);
        i = (i - 1) / ARITY;
    }
    put(h, i, slot);
}

static void sift_down(struct whorl__timers *h, uint32_t i, struct whorl__timer_slot slot)
{
    for (;;) {
        uint32_t first = i * ARITY + 1, least = first;

        if (first >= h->count)
            break;
        for (uint32_t c = first + 1; c < first + ARITY && c < h->count; c++)
            if (h->slots[c].when < h->slots[least].when)
                least = c;
        if (slot.when <= h->slots[least].when)
            break;
        put(h, i, h->slots[least]);
        i = least;
    }
    put(h, i, slot);
}

static void note_next(struct whorl__timers *h)
{
    whorl__store_relaxed(&h->next, h->count ? h->slots[0].when : WHORL_NEVER);
}

/* By mapping: the kernel moves pages, where realloc would copy millions of slots under the lock and keep the old ones for later. */
static int grow(struct whorl__timers *h)
{
    uint32_t capacity = h->capacity ? h->capacity * 2 : CAPACITY_MIN;
    void *slots = h->capacity ? mremap(h->slots, bytes_of(h->capacity), bytes_of(capacity), MREMAP_MAYMOVE)
                              : mmap(NULL, bytes_of(capacity), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (slots == MAP_FAILED)
        return -ENOMEM;
    h->slots = slots;
    h->capacity = capacity;
    return 0;
}

void whorl__timers_again(struct whorl__timers *h, struct whorl__timer *t, whorl_ns when)
{
    h->count++;
    sift_up(h, h->count - 1, (struct whorl__timer_slot){when, t});
    note_next(h);
}

int whorl__timer_start(struct whorl__timers *h, struct whorl__timer *t, whorl_ns when)
{
    int err = 0;

    whorl__spin_lock(&h->lock);
    if (h->count == h->capacity)
        err = grow(h);
    if (!err) {
        whorl__store_release(&t->heap, h); /* pairs with the acquire in whorl__timer_lock */
        whorl__timers_again(h, t, when);
    }
    whorl__spin_unlock(&h->lock);
    return err;
}

static void take_out(struct whorl__timers *h, struct whorl__timer *t)
{
    uint32_t i = t->index - 1;
    struct whorl__timer_slot last = h->slots[--h->count];

    whorl__store_release(&t->index, 0);
    if (last.timer != t) {
        if (i > 0 && last.when < h->slots[(i - 1) / ARITY].when)
            sift_up(h, i, last);
        else
            sift_down(h, i, last);
    }
    note_next(h);
}

struct whorl__timers *whorl__timer_lock(struct whorl__timer *t)
{
    struct whorl__timers *h = whorl__load_acquire(&t->heap); /* pairs with the release in whorl__timer_start */

    if (!h)
        return NULL;
    whorl__spin_lock(&h->lock);
    /* The index first: seen in no heap, it is in none that `heap` may tell of; seen in one, `heap` is that one or a later one. */
    if (whorl__load_acquire(&t->index) && whorl__load_relaxed(&t->heap) == h)
        return h;
    /* It left this heap before we had the lock. It may be in another by now, but then it is a later timer than the one that the
     * caller meant. */
    whorl__spin_unlock(&h->lock);
    return NULL;
}

bool whorl__timer_stop(struct whorl__timer *t)
{
    struct whorl__timers *h = whorl__timer_lock(t);

    if (!h)
        return false;
    take_out(h, t);
    whorl__spin_unlock(&h->lock);
    return true;
}

struct whorl__timer *whorl__timers_due(struct whorl__timers *h, whorl_ns now)
{
    struct whorl__timer *t;

    if (!h->count || h->slots[0].when > now)
        return NULL;
    t = h->slots[0].timer;
    take_out(h, t);
    return t;
}
