/* SPDX-License-Identifier: MIT */
/* Criterion as the front end: its assertions jump, so they stand only here, on the test's own stack, after the body. */
#include "seeds.h"
#include "test.h"
#include "testing/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Each test is a process of its own, which may die without a word: the seed is drawn and shown by the one above them. */
__attribute__((constructor)) static void draw_seed(void)
{
    char text[32];

    if (getenv("WHORL_SEED") || getenv("WHORL_DRAWN_SEED"))
        return;
    snprintf(text, sizeof text, "%" PRIu64, test_seed());
    setenv("WHORL_DRAWN_SEED", text, 1);
    fprintf(stderr, "WHORL_SEED=%s\n", text);
}

void test_criterion_begin(void)
{
    /* Standard output carries the report. */
    dup2(STDERR_FILENO, STDOUT_FILENO);
    whorl__test_reset();
}

void test_criterion_end(void)
{
    if (whorl_test_failures() > 0)
        cr_assert_fail("failed checks: %u, named on standard error", whorl_test_failures());
    if (whorl__test_skipped())
        cr_skip_test("%s", whorl__test_skipped());
}
