/* SPDX-License-Identifier: MIT */
/* Leaks on purpose: this program must fail where leaks are looked for. */
#include "tests/support/test.h"

#include <stdlib.h>
#include <whorl/whorl.h>

static void *volatile lost;

static intptr_t forget(void *arg)
{
    for (int i = 0; i < 100; i++)
        lost = malloc(1000);
    lost = NULL;
    return (intptr_t)arg;
}

TEST(planted, a_task_forgets_its_memory)
{
    struct whorl_options options = {.size = sizeof options, .reactor = "null"};

    CHECK_EQ(whorl_run(forget, NULL, &options), 0);
}
