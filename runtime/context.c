/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pthread_getattr_np */
#include "runtime/context.h"

#include <pthread.h>
#include <string.h>

#if defined(WHORL__ASAN)

/* The first code of a context in C: ASan learns that the switch to it is over. */
__attribute__((no_sanitize("address"))) static void enter(void *arg, whorl__context_entry entry)
{
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
    entry(arg);
}

static void thread_bounds(struct whorl__context *c)
{
    pthread_attr_t attributes;
    void *bottom = NULL;

    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &bottom, &c->size);
        pthread_attr_destroy(&attributes);
    }
    c->bottom = bottom;
}

#endif

#if defined(WHORL__ASAN) || defined(WHORL__TSAN)

static void init(struct whorl__context *c, void *stack_base, size_t stack_size, whorl__context_entry entry)
{
    memset(c, 0, sizeof *c);
#if defined(WHORL__ASAN)
    /* The frames of the context that was here before were left, not returned from: their red zones are still there. */
    __asan_unpoison_memory_region(stack_base, stack_size);
    c->bottom = stack_base;
    c->size = stack_size;
    c->sp = whorl__context_frame(stack_base, stack_size, (void *)(uintptr_t)enter, (void *)(uintptr_t)entry);
#else
    c->sp = whorl__context_frame(stack_base, stack_size, (void *)(uintptr_t)entry, NULL);
#endif
}

void whorl__context_init(struct whorl__context *c, void *stack_base, size_t stack_size, whorl__context_entry entry)
{
    init(c, stack_base, stack_size, entry);
#if defined(WHORL__TSAN)
    c->fiber = __tsan_create_fiber(0);
    c->owns_fiber = 1;
#endif
}

void whorl__context_fini(struct whorl__context *c)
{
#if defined(WHORL__TSAN)
    if (c->owns_fiber)
        __tsan_destroy_fiber(c->fiber);
    c->fiber = NULL;
    c->owns_fiber = 0;
#endif
    c->sp = NULL;
}

#endif

#if defined(WHORL__TSAN)

void whorl__context_init_fiber(struct whorl__context *c, void *stack_base, size_t stack_size, whorl__context_entry entry,
                               void **fiber)
{
    init(c, stack_base, stack_size, entry);
    if (!*fiber)
        *fiber = __tsan_create_fiber(0);
    c->fiber = *fiber;
}

void whorl__context_free_fiber(void **fiber)
{
    if (*fiber)
        __tsan_destroy_fiber(*fiber);
    *fiber = NULL;
}

#endif

void whorl__context_init_thread(struct whorl__context *c)
{
    memset(c, 0, sizeof *c);
#if defined(WHORL__ASAN)
    thread_bounds(c);
#endif
#if defined(WHORL__TSAN)
    c->fiber = __tsan_get_current_fiber();
#endif
}
