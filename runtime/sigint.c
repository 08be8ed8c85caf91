/* SPDX-License-Identifier: MIT */
/* SIGINT. The handler may touch next to nothing, and cancelling takes locks; so it wakes a thread of ours that cancels, which the system runs
 * even when tasks keep all workers. The second SIGINT does not rely on anything that could be stuck: its handler writes the dump and ends
 * the process.
 *
 * Each main runs in a scope that this file opens around it. Cancelling that is all there is to do: main's waits end, and those of all
 * that it has opened, with everything that scopes say of shields and of results that were there.
 *
 * The handler is in place as long as there is a main, the thread too. Both come and go under the lock that forks wait for. */
#include "runtime/sigint.h"
#include "runtime/fork_child.h"
#include "runtime/scheduler.h"
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <whorl/inspect.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list and `runs`; held while they are cancelled */
static struct whorl__main *mains;
static uint32_t interrupts; /* since there are any; atomic */

/* Under the lock of forks. */
static sem_t wanted; /* posted for each SIGINT, and when the thread is to leave */
static pthread_t thread;
static bool leaving; /* atomic */
static struct sigaction before;

/* In the handler of the second one. */
static void end_process(int number)
{
    sigset_t set;

    whorl_dump(STDERR_FILENO);
    signal(number, SIG_DFL);
    raise(number);
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* here it ends */
}

static void on_sigint(int number)
{
    int saved = errno;

    if (whorl__add_seq_cst(&interrupts, 1) == 0)
        sem_post(&wanted);
    else
        end_process(number);
    errno = saved; /* a handler runs to its end on one thread */
}

static void cancel(struct whorl__main *m)
{
    whorl_scope_cancel(&m->scope, "SIGINT");
}

static void *serve(void *unused)
{
    (void)unused;
    do {
        while (sem_wait(&wanted) < 0)
            continue; /* interrupted, by a debugger perhaps */
        pthread_mutex_lock(&lock);
        for (struct whorl__main *m = mains; m && whorl__load_seq_cst(&interrupts); m = m->next)
            if (m->runs)
                cancel(m);
        pthread_mutex_unlock(&lock);
    } while (!whorl__load_seq_cst(&leaving));
    return NULL;
}

static int start_thread(void)
{
    sigset_t all, mask;
    int err;

    sem_init(&wanted, 0, 0);
    whorl__store_relaxed(&leaving, false);
    sigfillset(&all); /* signals are the program's, not this thread's, to handle */
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    err = pthread_create(&thread, NULL, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (err)
        whorl__say("cannot start the thread that heeds SIGINT: %s; raise ulimit -u, or do without cancel_on_sigint", strerror(err));
    return -err;
}

static void place_handler(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_sigint;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    whorl__store_relaxed(&interrupts, 0u);
    sigaction(SIGINT, &action, &before);
}

/* Unless somebody has put theirs in its place meanwhile. */
static void remove_handler(void)
{
    struct sigaction now;

    sigaction(SIGINT, NULL, &now);
    if (!(now.sa_flags & SA_SIGINFO) && now.sa_handler == on_sigint)
        sigaction(SIGINT, &before, NULL);
}

int whorl__sigint_begin(struct whorl__main *m, whorl_fn fn, void *arg)
{
    int err = 0;

    memset(m, 0, sizeof *m);
    m->fn = fn;
    m->arg = arg;
    whorl__forks_lock();
    if (!mains)
        err = start_thread();
    if (!err) {
        if (!mains)
            place_handler();
        pthread_mutex_lock(&lock);
        m->seen = whorl__load_seq_cst(&interrupts);
        m->next = mains;
        mains = m;
        pthread_mutex_unlock(&lock);
    }
    whorl__forks_unlock();
    return err;
}

void whorl__sigint_end(struct whorl__main *m)
{
    struct whorl__main **at = &mains;

    whorl__forks_lock();
    pthread_mutex_lock(&lock);
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    pthread_mutex_unlock(&lock);
    if (!mains) {
        remove_handler();
        whorl__store_relaxed(&leaving, true);
        sem_post(&wanted);
        pthread_join(thread, NULL);
    }
    whorl__forks_unlock();
}

static void set_runs(struct whorl__main *m, bool runs)
{
    pthread_mutex_lock(&lock);
    m->runs = runs;
    if (runs && whorl__load_seq_cst(&interrupts) != m->seen)
        cancel(m); /* one has come before it ran */
    pthread_mutex_unlock(&lock);
}

intptr_t whorl__sigint_main(void *arg)
{
    struct whorl__main *m = arg;
    struct whorl_task *t = whorl_self();
    intptr_t result;

    whorl_scope_open_at(&m->scope, "the beginning of main");
    set_runs(m, true);
    result = m->fn(m->arg);
    set_runs(m, false);
    /* A scope or region that main has left open is for the end of the task to complain of. */
    if (whorl__rare(t)->scopes == &m->scope && !(t->traits & WHORL__NO_SUSPEND))
        whorl_scope_close(&m->scope);
    return result;
}

void whorl__sigint_forked(void)
{
    if (mains)
        remove_handler();
    pthread_mutex_init(&lock, NULL);
    mains = NULL;
}
