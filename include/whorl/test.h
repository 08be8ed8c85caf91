/* SPDX-License-Identifier: MIT */
/* Tests of programs that use whorl: a body that runs as the first task of a runtime, and is checked for what it leaves behind.
 *
 *     #include <whorl/test.h>
 *     #include <whorl/whorl.h>
 *
 *     WHORL_TEST(queue, four_workers_empty_it, .seeds = 1000)
 *     {
 *         struct whorl_task *t = whorl_spawn(worker, &queue);
 *         intptr_t taken;
 *
 *         if (!WHORL_CHECK(t != NULL))
 *             return;
 *         WHORL_CHECK_EQ(whorl_join(t, &taken), 0);
 *         WHORL_CHECK_EQ(taken, 4);
 *     }
 *
 * The library is of its own: pkg-config whorl-test, or -lwhorl-test -lwhorl. It has a main, which is linked where the program has none,
 * runs each test in a process of its own and reports in the Test Anything Protocol: Meson takes it by protocol: 'tap'. Its
 * --help tells the rest. Where another test library has the main, see whorl_test_run.
 *
 * A test fails by a check; by a task that was never joined nor detached, a descriptor left open, a stack not given back; by a signal,
 * its timeout, an exit. Tasks that are left when the body returns are cancelled, every wait of theirs.
 *
 * A body runs once on io_uring or, with .seeds = N, N times without a kernel: on a virtual clock, where a sleep takes no time and ends
 * exactly when it should, every choice of the scheduler drawn from a seed. When it fails the seed is shown, and WHORL_SEED replays
 * that run, to the last switch. I/O is refused there (-EOPNOTSUPP), and a deadlock aborts with a list of the tasks. */
#ifndef WHORL_TEST_H
#define WHORL_TEST_H

#include <whorl/base.h>

/* A test. The fields after `run` are the options; zero in any means its default. */
struct whorl_test {
    const char *suite, *name;
    void (*body)(void);
    const char *where;                      /* it is defined */
    void (*run)(const struct whorl_test *); /* how its body is called; NULL: as it is, outside a runtime */
    int seeds;               /* how many to try on the null reactor. Default: none, one run on io_uring. WHORL_TEST_SEEDS
                                               when it is set, for all tests that have seeds */
    int workers;             /* of the runtime. Default: as whorl_run; with seeds 1 to 4, as the seed has it */
    whorl_ns timeout;        /* of real time, for all runs together. Default: 20 s. WHORL_TEST_SLOW=N multiplies it */
    size_t stack_size;       /* of its tasks. Default: as whorl_run */
    struct whorl_test *next; /* the library's */
};

/* WHORL_TEST(suite, name) or WHORL_TEST(suite, name, .seeds = 1000, .timeout = WHORL_SEC(60)), and the body. In C++ options need C++20,
 * in the order of the structure. */
#define WHORL_TEST(...)                                                                                                            \
    WHORL__TEST_PICK(__VA_ARGS__, WHORL__TEST_WITH, WHORL__TEST_WITH, WHORL__TEST_WITH, WHORL__TEST_WITH, WHORL__TEST_PLAIN, )     \
    (__VA_ARGS__)

/* Whether `condition` holds. If not, the test fails but goes on: nothing jumps, so checks may stand in any task, thread and forked
 * child. Each check is an int, so that a body can give up: if (!WHORL_CHECK(p)) return; */
#define WHORL_CHECK(condition) whorl_test_check_at(!!(condition), WHORL_HERE, #condition)

/* Whether two integers are equal; both are shown. */
#define WHORL_CHECK_EQ(a, b) whorl_test_equal_at((intmax_t)(a), (intmax_t)(b), WHORL_HERE, #a " == " #b)

/* Whether two strings are equal; both are shown. NULL equals only NULL. */
#define WHORL_CHECK_STR(a, b) whorl_test_same_at((a), (b), WHORL_HERE, #a " is " #b)

/* Whether the string `text` has `part` in it. */
#define WHORL_CHECK_HAS(text, part) whorl_test_has_at((text), (part), WHORL_HERE, #text " has " #part)

/* Ends the test's process, by abort, unless `condition` holds: where going on makes no sense, in any task or thread. */
#define WHORL_REQUIRE(condition) ((condition) ? (void)0 : whorl_test_give_up_at(WHORL_HERE, #condition))

/* Leaves the test, which counts as skipped unless a check has failed. Only in the body itself: it returns from where it stands. */
#define WHORL_SKIP(why)                                                                                                            \
    do {                                                                                                                           \
        whorl_test_skip(why);                                                                                                      \
        return;                                                                                                                    \
    } while (0)

WHORL_BEGIN_DECLS

/* What the macros above call. `where` is "file:line", `text` what was checked. Each returns whether it held, 1 or 0.
 * Never suspends. Callable from any thread. */
WHORL_API int whorl_test_check_at(int held, const char *where, const char *text);

/* Never suspends. Callable from any thread. */
WHORL_API int whorl_test_equal_at(intmax_t a, intmax_t b, const char *where, const char *text);

/* Never suspends. Callable from any thread. */
WHORL_API int whorl_test_same_at(const char *a, const char *b, const char *where, const char *text);

/* Never suspends. Callable from any thread. */
WHORL_API int whorl_test_has_at(const char *all, const char *part, const char *where, const char *text);

/* Never suspends, nor returns. Callable from any thread. */
WHORL_API __attribute__((noreturn)) void whorl_test_give_up_at(const char *where, const char *text);

/* Makes the test fail, with a message of one's own; for checks that are built on these. Never suspends. Callable from any thread. */
WHORL_API __attribute__((format(printf, 1, 2))) void whorl_test_fail(const char *format, ...);

/* How many checks have failed in this test. Never suspends. Callable from any thread. */
WHORL_API unsigned whorl_test_failures(void);

/* Makes the test one that was skipped, for the reason `why`, of which 199 bytes are copied. Never suspends. Callable from any thread. */
WHORL_API void whorl_test_skip(const char *why);

/* The seed of the run that is under way or, in a test without seeds, one that is drawn once for the program, or that of WHORL_SEED. For
 * chance in tests, which is then replayed as well. Never 0. Never suspends. Callable from any thread. */
WHORL_API uint64_t whorl_test_seed(void);

/* Runs `test` here and now, with all checks but its timeout and without a process of its own: for another test library, which has the
 * main (and stands before this one on the linker's command line).
 *
 *     static void empty_it(void) { … }
 *
 *     Test(queue, four_workers_empty_it)
 *     {
 *         struct whorl_test test = {.name = "four_workers_empty_it", .body = empty_it, .seeds = 1000};
 *
 *         cr_assert_eq(whorl_test_run(&test, NULL, NULL), 0);
 *     }
 *
 * What fails is written to standard error when it does. When all is over `report` (unless NULL) is called for each such message, 20 at
 * most, on the caller's own stack: it may jump away, as assertions do. `run` in the test is ignored.
 * Returns how many checks failed. Blocks the calling thread; not for use in a task. */
WHORL_API int whorl_test_run(const struct whorl_test *test, void (*report)(const char *message, void *arg), void *arg);

/* What the library's main does, for programs with one of their own: reads the options, runs the tests. Returns the exit status: 0, 1 if a
 * test failed or none was chosen, 2 for a wrong option. Blocks the calling thread. */
WHORL_API int whorl_test_main(int argc, char **argv);

/* Adds a test to those of whorl_test_main; WHORL_TEST does, before main. It must live as long as the program. Never suspends. For one thread at a time.
 */
WHORL_API void whorl_test_register(struct whorl_test *test);

/* `run` of what WHORL_TEST defines. Blocks the calling thread. */
WHORL_API void whorl_test_in_runtime(const struct whorl_test *test);

WHORL_END_DECLS

#define WHORL__TEST_PICK(suite, name, o1, o2, o3, o4, macro, ...) macro
#define WHORL__TEST_PLAIN(suite, name)                                                                                             \
    WHORL__TEST_DEFINE(suite, name, #suite, #name, suite##__##name, WHORL_HERE, whorl_test_in_runtime, 0, 0, 0, 0, NULL)
#define WHORL__TEST_WITH(suite_, name_, ...)                                                                                       \
    WHORL__TEST_DEFINE(suite_, name_, .suite = #suite_, .name = #name_, .body = suite_##__##name_, .where = WHORL_HERE,            \
                       .run = whorl_test_in_runtime, __VA_ARGS__)
#define WHORL__TEST_DEFINE(suite_, name_, ...)                                                                                     \
    static void suite_##__##name_(void);                                                                                           \
    WHORL__TEST_QUIET __attribute__((constructor)) static void suite_##__##name_##__register(void)                                 \
    {                                                                                                                              \
        static struct whorl_test test = {__VA_ARGS__};                                                                             \
        whorl_test_register(&test);                                                                                                \
    }                                                                                                                              \
    WHORL__TEST_LOUD static void suite_##__##name_(void)

/* C++ compilers ask for the fields that an initialiser leaves out. */
#ifdef __cplusplus
#define WHORL__TEST_QUIET _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wmissing-field-initializers\"")
#define WHORL__TEST_LOUD  _Pragma("GCC diagnostic pop")
#else
#define WHORL__TEST_QUIET
#define WHORL__TEST_LOUD
#endif

#endif
