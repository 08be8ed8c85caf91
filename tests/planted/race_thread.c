/* SPDX-License-Identifier: MIT */
/* Races on purpose, a task against a plain thread, which needs no io_uring: this program must fail where races are looked for. */
#include "tests/planted/turns.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <whorl/whorl.h>

static void *write_it(void *arg)
{
    write_by_turns(1);
    return arg;
}

static intptr_t write_beside_a_thread(void *arg)
{
    pthread_t thread;

    if (!CHECK_EQ(pthread_create(&thread, NULL, write_it, NULL), 0))
        return -1;
    CHECK(write_by_turns(0));
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return (intptr_t)arg;
}

TEST(planted, a_task_and_a_thread_write_one_variable)
{
    struct whorl_options options = {.size = sizeof options, .reactor = "null"};

    CHECK_EQ(whorl_run(write_beside_a_thread, NULL, &options), 0);
}
