/* SPDX-License-Identifier: MIT */
/* What another thread of the process does just now: runs, or is blocked in which system call; and by which calls it got there. */
#ifndef WHORL_RUNTIME_TRACE_H
#define WHORL_RUNTIME_TRACE_H

#include <stdbool.h>
#include <stdint.h>

struct whorl__thread {
    bool blocked;
    char call[64];       /* then: "the system call read", and the like */
    const char *instead; /* then: what a task should do instead */
    uintptr_t sp, pc;    /* then: of the thread, 0: not known */
};

/* Looks at thread `tid`. What cannot be read is taken for a thread that runs. */
void whorl__thread_look(int tid, struct whorl__thread *out);

#define WHORL__TRACE_MAX 32

struct whorl__trace {
    int count;
    void *calls[WHORL__TRACE_MAX]; /* the innermost first */
};

/* For threads that run: from here on they can be asked, by a signal. As many calls of uninstall. */
void whorl__trace_install(void);
void whorl__trace_uninstall(void);

/* The calls that thread `tid` is in. None, if it does not answer soon. Not for one's own thread. */
void whorl__trace_thread(int tid, const struct whorl__thread *thread, struct whorl__trace *out);
/* Writes them to standard error, or that they are not known. */
void whorl__trace_say(const struct whorl__trace *trace);

#endif
