/* SPDX-License-Identifier: MIT */
/* Generators: functions that produce values one by one, each when it is asked for.
 *
 *     static int count(struct whorl_generator *g, void *arg)
 *     {
 *         int err = 0;
 *
 *         for (int i = 0; !err; i++)
 *             err = whorl_generate(g, &i);
 *         return err;
 *     }
 *
 *     if (whorl_generator_open(&g, count, NULL, sizeof number) == 0) {
 *         while (whorl_generator_next(&g, &number) > 0 && number < 10)
 *             use(number);
 *         whorl_generator_close(&g);
 *     }
 *
 * The function runs as a task of its own, beside that of its consumer, and only while that waits for an item: it begins with the first one
 * that is asked for, and stands still from one whorl_generate to the next item that is asked for. It may wait for anything, and use
 * generators itself. A consumer that stops early closes the generator: then the whorl_generate that the function stands in returns
 * -ECANCELED, as all its waits do, so that it cleans up and returns.
 *
 * A generator belongs to the task, or the fork, that opened it. A task that ends with an open one aborts. */
#ifndef WHORL_GENERATOR_H
#define WHORL_GENERATOR_H

#include <whorl/base.h>
#include <whorl/waiters.h>

struct whorl_generator;

/* What a generator runs. It returns 0 at its end, or -errno. */
typedef int (*whorl_generator_fn)(struct whorl_generator *generator, void *arg);

/* The library's, from open to close. */
struct whorl_generator {
    struct whorl__watch watch; /* on `task` */
    struct whorl_task *task, *consumer;
    whorl_generator_fn fn;
    void *arg;
    const void *item; /* the function's own */
    size_t size;
    struct whorl_generator *outer; /* that the consumer has opened before and has yet to close */
    const char *where;
    uint32_t state, standing; /* atomic */
    int begun;
    int result;
};

WHORL_BEGIN_DECLS

/* Opens `generator`, whose items are of `size` bytes. `where` is kept and must live as long as the program (WHORL_HERE). `arg` is the function's.
 * Returns 0 or -ENOMEM. Never suspends. Aborts outside a task. */
#define whorl_generator_open(generator, fn, arg, size) whorl_generator_open_at((generator), (fn), (arg), (size), WHORL_HERE)
WHORL_API WHORL_MUST_USE int whorl_generator_open_at(struct whorl_generator *generator, whorl_generator_fn fn, void *arg,
                                                     size_t size, const char *where);

/* Lets the function go on to its next item, and stores that in *item (unless NULL).
 * Returns 1; 0: there are no more; what the function returned, if that was less than 0 (-ENOMEM: there was no stack for it); -ECANCELED or -ETIMEDOUT: the caller is to stop waiting,
 * the function goes on meanwhile, and its item is for the next call. Suspends. Aborts when the caller has not opened the generator. */
WHORL_API WHORL_MUST_USE int whorl_generator_next(struct whorl_generator *generator, void *item);

/* In the function: hands the item over, and stands still until the next one is asked for. *item stays the function's.
 * Returns 0; -ECANCELED: the generator is being closed. Not cancelled otherwise. Suspends. Aborts when the caller is not the generator's task. */
WHORL_API WHORL_MUST_USE int whorl_generate(struct whorl_generator *generator, const void *item);

/* Ends `generator`, at whatever point: a function that has not returned yet is cancelled, and waited for.
 * Returns 0, or what the function returned, if that was less than 0; -ECANCELED does not count when it is this call's own. Suspends while the function
 * runs. Not cancelled. Aborts when the caller has not opened the generator. */
WHORL_API int whorl_generator_close(struct whorl_generator *generator);

WHORL_END_DECLS

#endif
