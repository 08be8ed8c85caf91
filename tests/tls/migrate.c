/* SPDX-License-Identifier: MIT */
/* Built as a part of the program and as a shared library: the compiler's way to a thread-local variable differs. */
#include "migrate.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>

#include "runtime/context.h"
#include "runtime/current.h"

#if defined(__clang__)
#define OPAQUE __attribute__((noinline))
#else
#define OPAQUE __attribute__((noinline, noipa))
#endif

enum { STACK_SIZE = 64 << 10 };

static struct whorl__context self, resumer;
static sem_t turn[2]; /* of the calling thread, of the other */
static int rounds_left;
static int wrong; /* the context's own count */

static _Thread_local int thread_number;

/* What the resuming thread does before it switches: everything it has of its own tells its number. */
OPAQUE static void mark_thread(int number)
{
    __asm__ volatile("" ::: "memory");
    thread_number = number;
    whorl__set_worker((struct whorl__worker *)(intptr_t)number);
    errno = number;
}

OPAQUE static int read_errno(void)
{
    __asm__ volatile("" ::: "memory");
    return errno;
}

/* Waits until some thread resumes the context; returns that thread's number. */
static int wait_for_thread(void)
{
    return (int)(intptr_t)whorl__context_switch(&self, &resumer, NULL);
}

/* The contexts, each with a way to ask. A switch in straight code and one round the loop: a compiler has every chance to keep an
 * address over either. */
#define ASK(name, number_of_thread)                                                                                                \
    static void name(void *arg)                                                                                                    \
    {                                                                                                                              \
        for (int number = (int)(intptr_t)arg;; number = wait_for_thread()) {                                                       \
            wrong += (number_of_thread) != number;                                                                                 \
            number = wait_for_thread();                                                                                            \
            wrong += (number_of_thread) != number;                                                                                 \
        }                                                                                                                          \
    }

ASK(ask_worker, (int)(intptr_t)whorl__worker())
ASK(ask_errno_opaque, read_errno())
ASK(ask_errno, errno)
ASK(ask_thread_local, thread_number)

/* The threads: each waits for its turn, resumes the context, and passes the turn on. */

static void take_turns(int number)
{
    for (;;) {
        while (sem_wait(&turn[number - 1]) < 0)
            continue;
        if (rounds_left == 0)
            break;
        rounds_left--;
        mark_thread(number);
        whorl__context_switch(&resumer, &self, (void *)(intptr_t)number);
        sem_post(&turn[2 - number]);
    }
    sem_post(&turn[2 - number]); /* so that the other one ends, too */
}

static void *other_thread(void *arg)
{
    take_turns(2);
    return arg;
}

int migrate(enum way way, int rounds)
{
    static const whorl__context_entry asks[WAYS] = {ask_worker, ask_errno_opaque, ask_errno, ask_thread_local};
    char *stack = malloc(STACK_SIZE);
    pthread_t thread;

    if (!stack)
        return -1;
    rounds_left = rounds;
    wrong = 0;
    sem_init(&turn[0], 0, 1);
    sem_init(&turn[1], 0, 0);
    whorl__context_init(&self, stack, STACK_SIZE, asks[way]);
    whorl__context_init_thread(&resumer);
    if (pthread_create(&thread, NULL, other_thread, NULL) != 0) {
        wrong = -1;
    } else {
        take_turns(1);
        pthread_join(thread, NULL);
    }
    whorl__context_fini(&self);
    sem_destroy(&turn[0]);
    sem_destroy(&turn[1]);
    free(stack);
    return wrong;
}
