/* SPDX-License-Identifier: MIT */
/* A context that moves from thread to thread and asks after each switch which thread it is on, in several ways. */
#ifndef WHORL_TESTS_TLS_MIGRATE_H
#define WHORL_TESTS_TLS_MIGRATE_H

enum way {
    WAY_WORKER,       /* whorl__worker(), as the runtime does */
    WAY_ERRNO_OPAQUE, /* errno, read by a function that no caller sees into */
    WAY_ERRNO,        /* errno: compilers keep its address */
    WAY_THREAD_LOCAL, /* a _Thread_local variable: likewise, in most builds */
    WAYS
};

/* Resumes a context `rounds` times, by turns on the calling thread and on another, and returns how many times it was given the
 * wrong thread's value; -1: no thread or no memory. */
int migrate(enum way way, int rounds);

#endif
