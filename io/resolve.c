/* SPDX-License-Identifier: MIT */
/* Names are looked up by getaddrinfo(3), which blocks, so on threads of their own: a few for the whole process, made when they
 * are needed, gone when they have had nothing to do for a while. They share nothing with other blocking work, which must not
 * delay a look-up, nor be delayed by one.
 *
 * A request is of two parties, the task and a thread, and freed by the last. `phase` decides between them, by one exchange each:
 * the thread makes it DONE, and then wakes the task; a task that is to stop waiting makes it ABANDONED, and then the thread wakes
 * nobody. */
#define _GNU_SOURCE /* EAI_ADDRFAMILY */
#include "io/resolve.h"
#include "runtime/scheduler.h"
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADS_MAX  4
#define IDLE_SECONDS 2

enum { WAITING, DONE, ABANDONED };

struct request {
    struct request *next; /* guarded by `lock` */
    struct whorl_task *task;
    uint32_t phase;   /* atomic */
    uint32_t parties; /* atomic: who has yet to let go of it */
    int result;
    uint16_t port;
    struct whorl__addresses found;
    char host[];
};

/* Never held while a task suspends. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static struct request *first, **last = &first; /* guarded by `lock`, like the three that follow */
static int threads, idle, queued;

static int error_of(int gai)
{
    switch (gai) {
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno ? -errno : -EIO;
    case EAI_FAIL:
        return -EIO;
    default:
        return -ENOENT;
    }
}

/* Blocks unless AI_NUMERICHOST is in `flags`. Touches errno: not for a function that suspends. */
static __attribute__((noinline)) int look_up(const char *host, uint16_t port, int flags, struct whorl__addresses *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV}, *list;
    char service[8];
    int err;

    snprintf(service, sizeof service, "%u", port);
    err = getaddrinfo(host, service, &hints, &list);
    if (err)
        return error_of(err);
    out->count = 0;
    for (struct addrinfo *a = list; a && out->count < WHORL__ADDRESSES_MAX; a = a->ai_next) {
        struct whorl__address *to = &out->list[out->count];

        if (a->ai_addrlen > sizeof to->v6)
            continue;
        memcpy(&to->any, a->ai_addr, a->ai_addrlen);
        to->size = a->ai_addrlen;
        out->count++;
    }
    freeaddrinfo(list);
    return out->count ? 0 : -ENOENT;
}

static void let_go(struct request *r)
{
    if (whorl__sub_acq_rel(&r->parties, 1u) == 1)
        free(r);
}

static void answer(struct request *r)
{
    uint32_t expected = WAITING;
    struct whorl__runtime *rt;
    struct whorl_task *waiter;

    if (whorl__load_acquire(&r->phase) == WAITING)
        r->result = look_up(r->host, r->port, 0, &r->found);
    /* Release: pairs with the exchange or the gate in whorl__resolve; the result is visible there. */
    if (whorl__cas_seq_cst(&r->phase, &expected, (uint32_t)DONE)) {
        rt = whorl__runtime_of(r->task);
        waiter = whorl__latch_open(&r->task->gate);
        if (waiter)
            whorl__ready(waiter);
        whorl__add_seq_cst(&rt->outside, (uint32_t)-1); /* the last touch of the runtime */
    }
    let_go(r);
}

/* The next request, or NULL when there was none for a while. With the lock held. */
static struct request *next_request(void)
{
    struct timespec until;
    struct request *r;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_SECONDS;
    idle++;
    while (!first && pthread_cond_timedwait(&wanted, &lock, &until) != ETIMEDOUT)
        continue;
    idle--;
    r = first;
    if (r) {
        queued--;
        first = r->next;
        if (!first)
            last = &first;
    }
    return r;
}

static void *serve(void *unused)
{
    struct request *r;

    (void)unused;
    pthread_mutex_lock(&lock);
    while ((r = next_request()) != NULL) {
        pthread_mutex_unlock(&lock);
        answer(r);
        pthread_mutex_lock(&lock);
    }
    threads--;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static int start_thread(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int err;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all); /* signals are the program's, not this thread's, to handle */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&thread, &attributes, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -err;
}

/* Hands the request to a thread. 0, or -EAGAIN: there is none and none can be made. */
static int enqueue(struct request *r)
{
    int err = 0;

    pthread_mutex_lock(&lock);
    if (idle <= queued && threads < THREADS_MAX) {
        err = start_thread();
        threads += err == 0;
    }
    if (threads > 0) {
        err = 0;
        queued++;
        *last = r;
        last = &r->next;
        pthread_cond_signal(&wanted);
    }
    pthread_mutex_unlock(&lock);
    return err;
}

void whorl__resolve_forked(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&wanted, NULL);
    first = NULL; /* requests that were queued are lost with those who made them */
    last = &first;
    threads = idle = queued = 0;
}

static int wait_for(struct request *r, struct whorl_task *t)
{
    uint32_t expected = WAITING;
    int err = whorl__latch_wait(whorl__worker(), t, &t->gate, "name look-up", 0, WHORL__WAIT_LATCH);

    if (!err)
        return 0;
    if (whorl__cas_seq_cst(&r->phase, &expected, (uint32_t)ABANDONED)) {
        whorl__add_seq_cst(&whorl__runtime_of(t)->outside, (uint32_t)-1);
        return err;
    }
    /* The thread was faster and is about to open the gate: the answer is there and it wins; the request to stop is for the next
     * wait. */
    if (err == -ECANCELED)
        whorl__or_seq_cst(&t->cancel, (uint8_t)WHORL__CANCEL);
    return whorl__latch_wait(whorl__worker(), t, &t->gate, "name look-up", 0, WHORL__WAIT_MUST);
}

static struct request *new_request(struct whorl_task *t, const char *host, uint16_t port)
{
    size_t length = strlen(host);
    struct request *r = calloc(1, sizeof *r + length + 1);

    if (r) {
        memcpy(r->host, host, length);
        r->task = t;
        r->port = port;
        r->parties = 2;
    }
    return r;
}

int whorl__resolve(struct whorl_task *t, const char *host, uint16_t port, struct whorl__addresses *out)
{
    int err = look_up(host, port, AI_NUMERICHOST, out);
    struct request *r;

    if (err != -ENOENT)
        return err;
    r = new_request(t, host, port);
    if (!r)
        return -ENOMEM;
    whorl__store_relaxed(&t->gate, (uintptr_t)0);
    whorl__add_seq_cst(&whorl__runtime_of(t)->outside, 1);
    err = enqueue(r);
    if (err) {
        whorl__add_seq_cst(&whorl__runtime_of(t)->outside, (uint32_t)-1);
        free(r);
        return err;
    }
    err = wait_for(r, t);
    if (!err) {
        err = r->result;
        *out = r->found;
    }
    let_go(r);
    return err;
}
