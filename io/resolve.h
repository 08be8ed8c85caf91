/* SPDX-License-Identifier: MIT */
/* Host names to addresses. */
#ifndef WHORL_IO_RESOLVE_H
#define WHORL_IO_RESOLVE_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#define WHORL__ADDRESSES_MAX 16

struct whorl__address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t size;
};

struct whorl__addresses {
    int count; /* at least 1 */
    struct whorl__address list[WHORL__ADDRESSES_MAX];
};

/* Fills *out. In a task. 0; -ENOENT: no such host; -EAGAIN: the name service did not answer; -ENOMEM; -ECANCELED,
 * -ETIMEDOUT. Suspends when `host` is not an address. */
int whorl__resolve(const char *host, uint16_t port, struct whorl__addresses *out);

/* What its errors mean in particular; NULL: no more than usual. */
const char *whorl__resolve_detail(int err);

#endif
