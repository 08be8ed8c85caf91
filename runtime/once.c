/* SPDX-License-Identifier: MIT */
#include "runtime/mutex.h"
#include <whorl/once.h>

/* A mutex whose holder makes it, so that who waits is served in order. */

/* Nobody who makes it touches it after the mutex's word is 0, so who finds both, and knows of no third, may
 * free it. */
static bool made(struct whorl_once *o)
{
    /* Acquire: pairs with the release in make; the result and what `fn` wrote are visible, and of the word no less than that the
     * maker had the mutex. The second pairs with the release of its unlock. */
    return whorl__load_acquire(&o->made) && whorl__load_acquire(&o->mutex.word) == 0;
}

static intptr_t make(struct whorl_once *o, whorl_fn fn, void *arg)
{
    intptr_t result;

    if (o->made)
        return o->result;
    result = fn(arg);
    if (result >= 0) {
        o->result = result;
        whorl__store_release(&o->made, 1u);
    }
    return result;
}

intptr_t whorl_once_at(struct whorl_once *o, whorl_fn fn, void *arg, const char *where)
{
    intptr_t result;
    int err;

    if (__builtin_expect(made(o), 1))
        return o->result;
    if ((whorl__load_relaxed(&o->mutex.word) & ~(uintptr_t)WHORL__LOCK_WAITED) == whorl__lock_holder(whorl__task_here()))
        whorl__misuse("whorl_once was called by the function that was called at %s for it: that would wait for itself",
                      whorl__load_relaxed(&o->mutex.where));
    err = whorl_mutex_lock_at(&o->mutex, where);
    if (err)
        return err;
    result = make(o, fn, arg);
    whorl_mutex_unlock(&o->mutex);
    return result;
}
