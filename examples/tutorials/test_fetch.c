/* SPDX-License-Identifier: MIT */
/* How a program's own functions are tested: bodies that run as tasks, checked for what they leave behind. The tutorial's test of a fetch, and
 * one of a time limit under a hundred seeds, which takes no time.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/test_fetch
 * Installed:           cc -O2 -o test_fetch test_fetch.c web.c $(pkg-config --cflags --libs whorl-test) && ./test_fetch */
#include <errno.h>
#include <stdio.h>

#include <whorl/test.h>

#include "web.h"

WHORL_TEST(fetch, finds_the_example_domain)
{
    struct web_page site[] = {{"/", "Example Domain", 0}, {NULL, NULL, 0}};
    char url[64], body[WEB_BODY_MAX];
    struct web web;
    int port = web_open(&web, 0, web_serve_pages, site);

    WHORL_REQUIRE(port > 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    if (WHORL_CHECK_EQ(web_get(url, body, sizeof body), 14))
        WHORL_CHECK_HAS(body, "Example Domain");
    web_close(&web);
}

static intptr_t answer_after(void *arg)
{
    const whorl_ns *latency = arg;
    int err = whorl_sleep(*latency);

    return err < 0 ? err : 200;
}

WHORL_TEST(fetch, is_given_up_when_its_time_is_over, .seeds = 100)
{
    whorl_ns fast = WHORL_MS(2999), slow = WHORL_MS(3001), begun = whorl_now();
    intptr_t status = 0;

    WHORL_CHECK_EQ(whorl_wait_for(answer_after, &fast, WHORL_SEC(3), &status), 0);
    WHORL_CHECK_EQ(status, 200);
    WHORL_CHECK_EQ(whorl_now() - begun, fast);
    WHORL_CHECK_EQ(whorl_wait_for(answer_after, &slow, WHORL_SEC(3), &status), -ETIMEDOUT);
    WHORL_CHECK_EQ(whorl_now() - begun, fast + WHORL_SEC(3));
}
