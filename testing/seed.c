/* SPDX-License-Identifier: MIT */
/* Seeds and numbers from the environment. */
#include "testing/record.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

uint64_t whorl__test_number(const char *name, uint64_t usual)
{
    const char *text = getenv(name);
    char *end;
    uint64_t number;

    if (!text || !*text)
        return usual;
    errno = 0;
    number = strtoull(text, &end, 0);
    if (errno || *end || *text == '-' || number == 0) {
        fprintf(stderr, "%s=%s: a positive number is needed\n", name, text);
        exit(2);
    }
    return number;
}

static uint64_t draw(void)
{
    uint64_t seed = 0;

    /* Short, so that it can be typed. */
    if (getrandom(&seed, 4, 0) != 4 || seed == 0)
        seed = (uint64_t)(uintptr_t)&seed >> 4;
    return seed;
}

uint64_t whorl__test_first_seed(void)
{
    static _Atomic uint64_t seed;
    uint64_t none = 0, mine;

    if (atomic_load(&seed))
        return atomic_load(&seed);
    mine = whorl__test_number("WHORL_SEED", whorl__test_number("WHORL_DRAWN_SEED", 0));
    if (mine == 0)
        mine = draw();
    atomic_compare_exchange_strong(&seed, &none, mine); /* the first of several threads wins */
    return atomic_load(&seed);
}

bool whorl__test_replays(void)
{
    return whorl__test_number("WHORL_SEED", 0) != 0;
}
