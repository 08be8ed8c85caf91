/* SPDX-License-Identifier: MIT */
/* How tests are written.
 *
 *     TEST(queue, thief_takes_the_oldest_item)
 *     {
 *         CHECK_EQ(steal(&queue), 1);
 *     }
 *
 * A body is a plain function, in no runtime. It has two front ends: Criterion, and the library's own for its users (testing/), which works where Criterion does
 * not: under ThreadSanitizer, leak checks, Valgrind and qemu.
 *
 * A check that fails is counted and reported, and the body goes on: nothing jumps, so checks may stand in any thread, task and
 * forked child. Once the body has returned, the front end fails the test if any check did. */
#ifndef WHORL_TESTS_TEST_H
#define WHORL_TESTS_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <whorl/test.h>

/* Each returns whether it held, so that a body can give up: if (!CHECK(p)) return; */
#define CHECK     WHORL_CHECK
#define CHECK_EQ  WHORL_CHECK_EQ  /* integers, which are both printed */
#define CHECK_STR WHORL_CHECK_STR /* strings; NULL equals only NULL */
#define CHECK_HAS WHORL_CHECK_HAS /* whether the string `text` has `part` in it */
#define SKIP      WHORL_SKIP      /* leaves the test; only in the body itself */

/* How many have failed in this test. */
static inline unsigned test_failures(void)
{
    return whorl_test_failures();
}

/* TEST(suite, name) or TEST(suite, name, .timeout = seconds). */
#define TEST(...)                                  TEST_PICK(__VA_ARGS__, TEST_WITH, TEST_PLAIN, )(__VA_ARGS__)
#define TEST_PICK(suite, name, option, macro, ...) macro
#define TEST_PLAIN(suite, name)                    TEST_WITH(suite, name, .timeout = 20)

#ifdef WHORL_TEST_CRITERION

#include <criterion/criterion.h>

void test_criterion_begin(void);
void test_criterion_end(void);

#define TEST_WITH(suite, name, option)                                                                                             \
    static void suite##__##name(void);                                                                                             \
    Test(suite, name, option)                                                                                                      \
    {                                                                                                                              \
        test_criterion_begin();                                                                                                    \
        suite##__##name();                                                                                                         \
        test_criterion_end();                                                                                                      \
    }                                                                                                                              \
    static void suite##__##name(void)

#else

#define TEST_WITH(suite_, name_, option)                                                                                           \
    static void suite_##__##name_(void);                                                                                           \
    __attribute__((constructor)) static void suite_##__##name_##__register(void)                                                   \
    {                                                                                                                              \
        static const struct test_options with = {option};                                                                          \
        static struct whorl_test test = {.suite = #suite_, .name = #name_, .body = suite_##__##name_};                             \
        test.timeout = WHORL_SEC(with.timeout);                                                                                    \
        whorl_test_register(&test);                                                                                                \
    }                                                                                                                              \
    static void suite_##__##name_(void)

/* Criterion's own names. */
struct test_options {
    int timeout; /* seconds */
};

#endif

#endif
