/* SPDX-License-Identifier: MIT */
#include "output.h"

void output_init(struct output *out, int fd, whorl_ns patience)
{
    out->fd = fd;
    out->error = 0;
    out->patience = patience;
    out->date.second = 0;
    out->used = 0;
}

int output_flush(struct output *out)
{
    if (out->used > 0 && out->error == 0) {
        ssize_t sent;

        /* A client that does not read holds the task until then, and no longer. */
        whorl_deadline(whorl_after(out->patience));
        sent = whorl_send_all(out->fd, out->data, out->used, 0);
        if (sent < 0)
            out->error = (int)sent;
    }
    out->used = 0;
    return out->error;
}

void output_put(struct output *out, const char *data, size_t size)
{
    while (size > 0) {
        char *room = output_room(out, 1);
        size_t n = OUTPUT_SIZE - out->used < size ? OUTPUT_SIZE - out->used : size;

        memcpy(room, data, n);
        out->used += n;
        data += n;
        size -= n;
    }
}
