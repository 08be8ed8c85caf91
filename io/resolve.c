/* SPDX-License-Identifier: MIT */
/* Names are looked up by getaddrinfo(3), which blocks, so in a pool of their own: a few threads, which share nothing with other
 * blocking work that must not delay a look-up, nor be delayed by one. A task that is to stop waiting leaves the look-up behind. */
#define _GNU_SOURCE /* EAI_ADDRFAMILY */
#include "io/resolve.h"
#include "runtime/pool.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 4

static struct whorl_pool pool = WHORL__POOL("name look-up", THREADS_MAX, "name look-up");

struct request {
    uint16_t port;
    struct whorl__addresses found;
    char host[];
};

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

const char *whorl__resolve_detail(int err)
{
    switch (err) {
    case -ENOENT:
        return "no such host";
    case -EAGAIN:
        return "the name service does not answer";
    case -EIO:
        return "the name service failed";
    default:
        return NULL;
    }
}

static intptr_t answer(void *arg)
{
    struct request *r = arg;

    return look_up(r->host, r->port, 0, &r->found);
}

int whorl__resolve(const char *host, uint16_t port, struct whorl__addresses *out)
{
    int err = look_up(host, port, AI_NUMERICHOST, out);
    size_t length = strlen(host);
    struct request *r;
    intptr_t result;

    if (err != -ENOENT)
        return err;
    r = calloc(1, sizeof *r + length + 1);
    if (!r)
        return -ENOMEM;
    memcpy(r->host, host, length);
    r->port = port;
    err = whorl_pool_run_owned(&pool, answer, r, free, &result);
    if (err)
        return err;
    if (result == 0)
        *out = r->found;
    free(r);
    return (int)result;
}
