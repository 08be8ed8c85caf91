/* SPDX-License-Identifier: MIT */
/* The main of test programs: runs each test in a forked child and reports in the Test Anything Protocol. What makes a test fail: a
 * failed check, a death by signal, an exit in the middle, an exit status that a leak checker has set, its timeout. */
#include "testing/record.h"
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <whorl/inspect.h>
#include <whorl/test.h>

/* A test program need not link the task dump. */
#pragma weak whorl_dump

enum { EXIT_CHECKS_FAILED = 1, EXIT_BODY_ENDED = 64, DUMP_SECONDS = 2, TIMEOUT_SECONDS = 20 };

static struct whorl_test *first, **last = &first;
static sigset_t outer_mask;

void whorl_test_register(struct whorl_test *test)
{
    *last = test;
    last = &test->next;
}

static bool selected(const struct whorl_test *test, const char *pattern)
{
    char name[256];

    snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
    return !pattern || strstr(name, pattern) || fnmatch(pattern, name, 0) == 0;
}

/* A test that hangs is asked who waits for what before it is killed. */
static void on_quit(int signal_number)
{
    (void)signal_number;
    if (whorl_dump)
        whorl_dump(STDERR_FILENO);
}

static void call(const struct whorl_test *test)
{
    if (test->run)
        test->run(test);
    else
        test->body();
}

static void run_as_child(const struct whorl_test *test)
{
    signal(SIGQUIT, on_quit);
    sigprocmask(SIG_SETMASK, &outer_mask, NULL);
    dup2(STDERR_FILENO, STDOUT_FILENO); /* the report's */
    call(test);
    exit(whorl_test_failures() ? EXIT_CHECKS_FAILED : EXIT_BODY_ENDED);
}

static double now_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void block_child_signal(void)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &outer_mask);
}

/* Returns whether the child has ended within `seconds`, and its status. SIGCHLD is blocked, so none is missed. */
static bool wait_child(pid_t pid, double seconds, int *status)
{
    double end = now_seconds() + seconds, left;
    struct timespec pause;
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    while (waitpid(pid, status, WNOHANG) == 0) {
        left = end - now_seconds();
        if (left <= 0)
            return false;
        pause.tv_sec = (time_t)left;
        pause.tv_nsec = (long)((left - (double)pause.tv_sec) * 1e9);
        sigtimedwait(&child, NULL, &pause);
    }
    return true;
}

/* Slow machines and sanitizers multiply the timeouts. */
static double slowness(void)
{
    const char *text = getenv("WHORL_TEST_SLOW");
    double factor = text ? atof(text) : 1;

    return factor >= 1 ? factor : 1;
}

/* Returns why the test failed, or NULL. */
static const char *run_forked(const struct whorl_test *test)
{
    static char why[200];
    double seconds = (test->timeout ? (double)test->timeout / 1e9 : TIMEOUT_SECONDS) * slowness();
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        snprintf(why, sizeof why, "fork: %s", strerror(errno));
        return why;
    }
    if (pid == 0)
        run_as_child(test);
    if (!wait_child(pid, seconds, &status)) {
        kill(pid, SIGQUIT);
        if (!wait_child(pid, DUMP_SECONDS, &status)) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
        }
        snprintf(why, sizeof why, "not done after %g s", seconds);
    } else if (WIFSIGNALED(status)) {
        snprintf(why, sizeof why, "died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else if (whorl_test_failures() > 0) {
        snprintf(why, sizeof why, "failed checks: %u", whorl_test_failures());
    } else if (WEXITSTATUS(status) != EXIT_BODY_ENDED) {
        snprintf(why, sizeof why, "exited with status %d", WEXITSTATUS(status));
    } else {
        return NULL;
    }
    return why;
}

static const char *run_here(const struct whorl_test *test)
{
    call(test);
    return whorl_test_failures() ? "failed checks" : NULL;
}

static void report(const struct whorl_test *test, int number, const char *why, const char *program)
{
    const char *skipped = why ? NULL : whorl__test_skipped();

    printf("%sok %d - %s/%s%s%s\n", why ? "not " : "", number, test->suite, test->name, skipped ? " # SKIP " : "",
           skipped ? skipped : "");
    if (why)
        printf("# %s; again: WHORL_SEED=%" PRIu64 " %s --filter %s/%s\n", why, whorl_test_seed(), program, test->suite, test->name);
    fflush(stdout);
}

static int run_all(const char *pattern, bool forking, const char *program)
{
    int count = 0, number = 0, passed = 0, failed = 0, skipped = 0;
    const struct whorl_test *test;

    if (forking)
        block_child_signal();
    for (test = first; test; test = test->next)
        count += selected(test, pattern);
    printf("1..%d\n", count);
    for (test = first; test; test = test->next) {
        const char *why;

        if (!selected(test, pattern))
            continue;
        whorl__test_reset();
        why = forking ? run_forked(test) : run_here(test);
        report(test, ++number, why, program);
        failed += why != NULL;
        skipped += !why && whorl__test_skipped();
        passed += !why && !whorl__test_skipped();
    }
    printf("# %d passed, %d failed, %d skipped\n", passed, failed, skipped);
    if (count == 0)
        fprintf(stderr, "%s: no test matches\n", program);
    return failed > 0 || count == 0;
}

static void list(const char *pattern)
{
    for (const struct whorl_test *test = first; test; test = test->next)
        if (selected(test, pattern))
            printf("%s/%s\n", test->suite, test->name);
}

static const char usage[] =
    "usage: %s [--list] [--filter PATTERN] [--no-fork]\n"
    "  --list             name the tests and stop\n"
    "  --filter PATTERN   only those whose suite/name has PATTERN in it or matches it (* ? [])\n"
    "  --no-fork          in this process, without timeouts: for gdb, Valgrind and qemu\n"
    "WHORL_SEED replays a seed; WHORL_TEST_SEEDS=N tries so many; WHORL_TEST_SLOW=N multiplies the timeouts.\n";

int whorl_test_main(int argc, char **argv)
{
    static const struct option options[] = {{"list", no_argument, NULL, 'l'},
                                            {"filter", required_argument, NULL, 'f'},
                                            {"no-fork", no_argument, NULL, 'n'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *pattern = NULL;
    bool forking = true, listing = false, misused = false;
    int option;

    while ((option = getopt_long(argc, argv, "lf:nh", options, NULL)) != -1) {
        if (option == 'l')
            listing = true;
        else if (option == 'f')
            pattern = optarg;
        else if (option == 'n')
            forking = false;
        else if (option == 'h')
            return printf(usage, argv[0]) < 0;
        else
            misused = true;
    }
    if (misused || optind < argc) {
        fprintf(stderr, usage, argv[0]);
        return 2;
    }
    if (listing) {
        list(pattern);
        return 0;
    }
    whorl__test_first_seed(); /* drawn here, so that it is the same in each child and can be shown when one dies */
    return run_all(pattern, forking, argv[0]);
}
