/* SPDX-License-Identifier: MIT */
/* Whether this machine lets us have an io_uring. */
#ifndef WHORL_TESTS_URING_H
#define WHORL_TESTS_URING_H

#include "test.h"

#include <stdbool.h>
#include <stddef.h>

/* Sets a small ring up and takes it down, by plain system calls. */
bool uring_available(void);

/* Writes why it is refused and what helps, as one line of text; "" when it is not. */
void uring_refusal(char *text, size_t size);

/* In the body of a test that needs a ring. */
#define NEED_URING()                                                                                                               \
    do {                                                                                                                           \
        if (!uring_available())                                                                                                    \
            SKIP("io_uring is refused here");                                                                                      \
    } while (0)

#endif
