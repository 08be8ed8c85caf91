/* SPDX-License-Identifier: MIT */
/* What answers look like. */
#ifndef HTTPD_RESPONSE_H
#define HTTPD_RESPONSE_H

#include <stdint.h>
#include <time.h>

#include "output.h"
#include "request.h"

struct response {
    int status;
    const char *type; /* content type; NULL: there is no content, and no length of it either */
    uint64_t length;  /* of the content */
    time_t modified;  /* 0: unknown */
};

/* Puts the head of `response` to `request`. The content is up to the caller; HEAD asks for none. All of these may suspend. */
void response_head(struct output *out, const struct request *request, const struct response *response);

/* A whole response of plain text. */
void response_text(struct output *out, const struct request *request, int status, const char *text, size_t length);

/* A whole response that says no more than `status`. */
void response_error(struct output *out, const struct request *request, int status);

/* The greeting: what load generators ask for, so the one answer that is put together by copying alone. */
void response_hello(struct output *out, const struct request *request);

/* "100 Continue": the client may send its body. */
void response_continue(struct output *out);

#endif
