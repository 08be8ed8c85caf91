/* SPDX-License-Identifier: MIT */
/* How calls say that they failed (whorl/error.h): whatever public call returns an error passes it through one of the whorl__failed…,
 * which keep what its text is made of in the rare half of the running task.
 *
 * Three parts: the operation and its object are what the call knows. The cause is the error itself; or `detail`, if the call knows more
 * than its number says; or what ended its wait, which whorl__note_cause has kept in `ended_by` on the way. */
#ifndef WHORL_RUNTIME_ERROR_H
#define WHORL_RUNTIME_ERROR_H

#include <stdbool.h>
#include <stdint.h>

struct whorl_task;

/* Beside the bits of whorl_task.cancel: whorl_close has ended the wait. */
#define WHORL__CLOSED 64

enum whorl__object {
    WHORL__NO_OBJECT,
    WHORL__NUMBER,
    WHORL__PLACE, /* a string that lives as long as the program */
    WHORL__COPY,  /* of a string, in `texts` */
};

/* The running task's own. */
struct whorl__failure {
    const char *operation; /* with what belongs before its object: "recv on descriptor" */
    union {
        intptr_t number;
        const char *place;
    };
    const char *detail; /* instead of the error's own text; with WHORL__SCOPE as cause: the scope's reason, or NULL */
    const char *scope;  /* with that cause: where it was opened; NULL: not known, or it is the object itself */
    const char *task;   /* where the task was spawned whose failure it was, if it has come from another one */
    struct whorl__texts *texts;
    int err;          /* 0: no call has failed, and the rest does not count */
    uint8_t object;   /* enum whorl__object */
    uint8_t cause;    /* which bit has ended the wait, 0: none */
    uint8_t ended_by; /* the same of a wait that has just ended, until the call that waited fails */
};

/* Notes that the running task's call failed with `err`, and returns that. On an OS thread it just does that. The strings but `copy` must live as
 * long as the program; `detail` may be NULL. */
__attribute__((cold)) int whorl__failed(int err, const char *operation, const char *detail);
__attribute__((cold)) int whorl__failed_on(int err, const char *operation, intptr_t number);
__attribute__((cold)) int whorl__failed_at(int err, const char *operation, const char *place, const char *detail);
__attribute__((cold, format(printf, 4, 5))) int whorl__failed_with(int err, const char *operation, const char *detail,
                                                                   const char *format, ...);

/* The running task fails with `err`, as its child, which has ended with that, did. False: nothing is known of that. */
__attribute__((cold)) bool whorl__failed_like(int err, const struct whorl_task *child);

/* What has just ended the wait of the running task `t`: a bit of whorl_task.cancel, or WHORL__CLOSED. */
void whorl__note_cause(struct whorl_task *t, uint32_t cause);

/* Frees its texts. */
void whorl__failure_free(struct whorl__failure *f);

#endif
