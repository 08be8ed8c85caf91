/* SPDX-License-Identifier: MIT */
/* What is known of each descriptor: how many calls are in flight on it, and whether it is being closed. So that closing can wait
 * for them, and a number is not used again under an operation. One table for the process, as descriptors are. */
#ifndef WHORL_IO_FD_H
#define WHORL_IO_FD_H

#include <stdbool.h>
#include <stdint.h>

struct whorl_task;

struct whorl__fd {
    uint64_t word;             /* calls in flight, and how far a close is; any thread, atomic */
    struct whorl_task *closer; /* who waits for the word; the closer's, see fd.c */
    const char *closed_by;     /* in debug mode: the spawn site of the task that closed it last, atomic */
    uint8_t more;              /* the last receive left something behind: a hint, atomic */
};

/* Holds descriptor `fd` for a call: its entry in *entry. -EBADF: it is being closed, or is none; -ENOMEM. */
int whorl__fd_hold(int fd, struct whorl__fd **entry);
void whorl__fd_release(struct whorl__fd *entry);

/* In the child of a fork(2): there are no calls. */
void whorl__fd_forked(void);

/* Is a whorl_close of it under way? False for what is no descriptor. */
bool whorl__fd_closing(int fd);

#endif
