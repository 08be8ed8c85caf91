/* SPDX-License-Identifier: MIT */
/* How tests are written.
 *
 *     TEST(queue, thief_takes_the_oldest_item)
 *     {
 *         CHECK_EQ(steal(&queue), 1);
 *     }
 *
 * A body is a plain function. It has two front ends: Criterion, and the runner of runner.c, which works where Criterion does
 * not: under ThreadSanitizer, leak checks, Valgrind and qemu.
 *
 * A check that fails is counted and reported, and the body goes on: nothing jumps, so checks may stand in any thread, task and
 * forked child. Once the body has returned, the front end fails the test if any check did. */
#ifndef WHORL_TESTS_TEST_H
#define WHORL_TESTS_TEST_H

#include <stdbool.h>
#include <stdint.h>

/* Each returns whether it held, so that a body can give up: if (!CHECK(p)) return; */
#define CHECK(condition) test_check((condition), __FILE__, __LINE__, #condition)
/* Integers, which are both printed. */
#define CHECK_EQ(a, b) test_check_eq((intmax_t)(a), (intmax_t)(b), __FILE__, __LINE__, #a " == " #b)
/* Strings; NULL equals only NULL. */
#define CHECK_STR(a, b) test_check_str((a), (b), __FILE__, __LINE__, #a " is " #b)
/* Whether the string `text` has `part` in it. */
#define CHECK_HAS(text, part) test_check_has((text), (part), __FILE__, __LINE__, #text " has " #part)

/* Leaves the test, which counts as skipped unless a check has failed. Only in the body itself: it returns from where it stands. */
#define SKIP(why)                                                                                                                  \
    do {                                                                                                                           \
        test_skip(why);                                                                                                            \
        return;                                                                                                                    \
    } while (0)

bool test_check(bool held, const char *file, int line, const char *text);
bool test_check_eq(intmax_t a, intmax_t b, const char *file, int line, const char *text);
bool test_check_str(const char *a, const char *b, const char *file, int line, const char *text);
bool test_check_has(const char *text, const char *part, const char *file, int line, const char *what);
void test_skip(const char *why);

/* For the front ends: what the checks of one test found. It lies in memory shared with forked children. */
void test_record_reset(void);
unsigned test_failures(void);
const char *test_skipped(void); /* why, or NULL */

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

struct test {
    const char *suite;
    const char *name;
    void (*body)(void);
    int timeout; /* seconds */
    struct test *next;
};

void test_register(struct test *test);

#define TEST_WITH(suite_, name_, option)                                                                                           \
    static void suite_##__##name_(void);                                                                                           \
    __attribute__((constructor)) static void suite_##__##name_##__register(void)                                                   \
    {                                                                                                                              \
        static struct test test = {.suite = #suite_, .name = #name_, .body = suite_##__##name_, option};                           \
        test_register(&test);                                                                                                      \
    }                                                                                                                              \
    static void suite_##__##name_(void)

#endif

#endif
