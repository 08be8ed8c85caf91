/* SPDX-License-Identifier: MIT */
/* What a connection has to say, gathered so that the answers to many requests leave in one send. */
#ifndef HTTPD_OUTPUT_H
#define HTTPD_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <whorl/whorl.h>

#include "date.h"

#define OUTPUT_SIZE 16384

/* An error sticks: what is put afterwards is dropped, so that only the connection's loop has to look at it. */
struct output {
    int fd;
    int error;              /* 0, or the -errno that ended sending */
    whorl_ns patience;      /* how long a send may take, together with the client's silence after it */
    struct date_cache date; /* for the heads; the connection's loop keeps it up to date */
    size_t used;
    char data[OUTPUT_SIZE];
};

void output_init(struct output *out, int fd, whorl_ns patience);

/* Sends what has been gathered, and sets the task's deadline for that. Returns out->error. Suspends. */
int output_flush(struct output *out);

/* Makes room for `size` bytes (at most OUTPUT_SIZE) at out->data + out->used, sending what is there when it must. Returns that
 * place; after an error it is a place all the same, whose content never leaves. May suspend. */
static inline char *output_room(struct output *out, size_t size)
{
    if (OUTPUT_SIZE - out->used < size)
        output_flush(out);
    return out->data + out->used;
}

/* Any number of bytes. May suspend. */
void output_put(struct output *out, const char *data, size_t size);

/* Gives up: what was promised cannot be sent in full. */
static inline void output_fail(struct output *out, int err)
{
    if (out->error == 0)
        out->error = err;
}

#endif
