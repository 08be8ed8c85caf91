/* SPDX-License-Identifier: MIT */
/* Something that is to be made once, by whoever needs it first.
 *
 *     static struct whorl_once once;
 *
 *     config = (struct config *)whorl_once(&once, read_config, path);
 *
 * Tasks of any worker and plain OS threads may use one together. All zeros is one that has not been made. */
#ifndef WHORL_ONCE_H
#define WHORL_ONCE_H

#include <whorl/mutex.h>

/* All zeros: ready to use. */
struct whorl_once {
    struct whorl_mutex mutex; /* held while it is being made */
    uint32_t made;            /* written with the mutex; anyone, atomic */
    intptr_t result;          /* once it is */
};

WHORL_BEGIN_DECLS

/* Calls fn(arg), in the calling task, unless that has been done, and returns what it returned, as do all later calls. The others
 * wait meanwhile. A result below 0 is an error: it is returned, and the next caller, who may be waiting, tries again. So is
 * -ECANCELED or -ETIMEDOUT when the caller is to stop waiting for another one. Suspends while another one calls it, and as `fn`
 * does. On an OS thread it blocks that. Aborts when `fn` calls for itself. */
#define whorl_once(once, fn, arg) whorl_once_at((once), (fn), (arg), WHORL_HERE)
WHORL_API intptr_t whorl_once_at(struct whorl_once *once, whorl_fn fn, void *arg, const char *where);

WHORL_END_DECLS

#endif
