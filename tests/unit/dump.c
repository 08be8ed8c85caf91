/* SPDX-License-Identifier: MIT */
/* Dumps and counters. */
#include <whorl/whorl.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "null_run.h"
#include "test.h"

enum { TEXT_SIZE = 1 << 20 };

/* A file that takes any number of lines without anybody reading. */
static int new_file(void)
{
    int fd = memfd_create("dump", MFD_CLOEXEC);

    CHECK(fd >= 0);
    return fd;
}

/* What was written to the file, which is closed; to be freed. */
static char *text_of(int fd)
{
    char *text = calloc(1, TEXT_SIZE);
    ssize_t n;

    if (!CHECK(text != NULL))
        abort();
    n = pread(fd, text, TEXT_SIZE - 1, 0);
    CHECK(n >= 0);
    close(fd);
    return text;
}

static char *dump(void)
{
    int fd = new_file();

    whorl_dump(fd);
    return text_of(fd);
}

/* The line of `text` with `part` in it, as a string of its own in `line`. False: there is none, or more than one. */
static bool find_line(const char *text, const char *part, char *line, size_t size)
{
    const char *at = strstr(text, part), *start = at, *end;

    line[0] = '\0';
    if (!at || strstr(at + 1, part))
        return false;
    while (start > text && start[-1] != '\n')
        start--;
    end = strchrnul(at, '\n');
    snprintf(line, size, "%.*s", (int)(end - start), start);
    return true;
}

static size_t count_of(const char *text, const char *part)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, part)); at++)
        n++;
    return n;
}

static struct whorl_task *spawn_named(whorl_fn fn, void *arg, const char *name, const char *where)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = name};

    return whorl_spawn_at(fn, arg, &options, where);
}

static intptr_t sleep_for(void *arg)
{
    return whorl_sleep((whorl_ns)(intptr_t)arg);
}

static intptr_t join_it(void *arg)
{
    return whorl_join(arg, NULL);
}

static intptr_t operate(void *arg)
{
    return null_nop((whorl_ns)(intptr_t)arg);
}

static intptr_t do_nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* One line for the task, word for word. */
static void check_task(const char *text, const struct whorl_task *t, const char *rest)
{
    char expected[256], part[64], line[256];

    snprintf(part, sizeof part, "task 0x%" PRIxPTR " ", (uintptr_t)t);
    snprintf(expected, sizeof expected, "  %s\"%s\" %s", part, whorl_name(t), rest);
    CHECK(find_line(text, part, line, sizeof line));
    CHECK_STR(line, expected);
}

static intptr_t dump_all_states(void *arg)
{
    struct whorl_task *sleeper, *joiner, *operator, * ended, *ready;
    char joining[128], *text;

    (void)arg;
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    sleeper = spawn_named(sleep_for, (void *)(intptr_t)WHORL_SEC(3), "sleeper", "here.c:1");
    joiner = spawn_named(join_it, sleeper, "joiner", "here.c:2");
    operator= spawn_named(operate, (void *)(intptr_t)WHORL_SEC(9), "operator", "there.c:3");
    ended = spawn_named(do_nothing, NULL, "", "there.c:4");
    CHECK_EQ(whorl_sleep(WHORL_US(250)), 0);
    ready = spawn_named(do_nothing, NULL, "of twenty-three letters", "there.c:5");
    text = dump();
    check_task(text, sleeper, "waits for sleep until 3001000000 ns, since 250 us, spawned at here.c:1");
    snprintf(joining, sizeof joining, "waits for join 0x%" PRIxPTR " \"sleeper\", since 250 us, spawned at here.c:2",
             (uintptr_t)sleeper);
    check_task(text, joiner, joining);
    check_task(text, operator, "waits for nop fd -1, since 250 us, spawned at there.c:3");
    check_task(text, ended, "ended, since 250 us, spawned at there.c:4");
    check_task(text, ready, "ready, since 0 us, spawned at there.c:5");
    check_task(text, whorl_self(), "running, since 0 us, spawned at whorl_run");
    CHECK_EQ(count_of(text, "\n  task "), 6);
    CHECK_EQ(count_of(text, "\n  worker "), 1);
    CHECK_EQ(count_of(text, "\n"), 1 + 6 + 1);
    CHECK_HAS(text, "whorl: runtime 0x");
    CHECK_HAS(text, ", reactor null, 1 workers\n");
    CHECK_HAS(text, "\n  worker 0: 1 ready, switches ");
    CHECK_HAS(text, ", spawned 6, finished 1, steals 0, ");
    CHECK_HAS(text, ", operations 1 submitted, 0 completed\n");
    free(text);
    whorl_detach(ready);
    whorl_detach(ended);
    whorl_detach(joiner);
    CHECK_EQ(whorl_join(operator, NULL), 0);
    return 0;
}

TEST(dump, each_task_has_a_line_with_name_state_reason_object_since_and_place)
{
    null_run(dump_all_states, NULL, NULL);
}

/* Opens a scope and waits in it for a child, who is in one of its own. */
static intptr_t open_in_scope(void *arg)
{
    struct whorl_scope s;

    (void)arg;
    whorl_scope_open_at(&s, "inner.c:2");
    CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
    return whorl_scope_close(&s);
}

static intptr_t open_and_wait(void *arg)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "child"};
    struct whorl_scope s, inner;

    whorl_scope_open_at(&s, "outer.c:1");
    CHECK_EQ(whorl_scope_spawn_at(&s, open_in_scope, arg, &options, "here.c:2"), 0);
    whorl_scope_open_at(&inner, "empty.c:3"); /* closed before the wait: it is not what the task waits in */
    CHECK_EQ(whorl_scope_close(&inner), 0);
    return whorl_scope_close(&s);
}

static intptr_t dump_scopes(void *arg)
{
    struct whorl_task *parent = spawn_named(open_and_wait, arg, "parent", "here.c:1");
    char line[256], *text;

    CHECK_EQ(whorl_sleep(1000), 0);
    text = dump();
    CHECK(find_line(text, "\"parent\"", line, sizeof line));
    CHECK_HAS(line, "\"parent\" waits for scope 0x");
    CHECK_HAS(line, " opened at outer.c:1, since 1 us, spawned at here.c:1");
    CHECK(find_line(text, "\"child\"", line, sizeof line));
    CHECK_HAS(line,
              "\"child\" waits for sleep until 1000000000 ns, in the scope opened at outer.c:1, since 1 us, spawned at here.c:2");
    free(text);
    CHECK_EQ(whorl_join(parent, NULL), 0);
    text = dump();
    CHECK_EQ(count_of(text, ".c:"), 0); /* nothing is left of it for those who have the records next */
    free(text);
    return 0;
}

TEST(dump, scopes_are_shown_to_those_who_wait_in_them_and_to_their_children)
{
    null_run(dump_scopes, NULL, NULL);
}

static intptr_t dump_here(void *arg)
{
    char line[256], *text;
    struct whorl_task *t = whorl_spawn(sleep_for, (void *)10);
    const int place = __LINE__ - 1;
    char expected[256];

    (void)arg;
    text = dump();
    snprintf(expected, sizeof expected, ", spawned at %s:%d", __FILE__, place);
    CHECK(find_line(text, expected, line, sizeof line));
    free(text);
    return whorl_join(t, NULL);
}

TEST(dump, the_place_is_file_and_line_of_the_spawn)
{
    null_run(dump_here, NULL, NULL);
}

static intptr_t dump_very_many(void *arg)
{
    struct whorl_task *tasks[1000];
    char *text;

    (void)arg;
    for (int i = 0; i < 1000; i++)
        tasks[i] = spawn_named(sleep_for, (void *)(intptr_t)(1000 + i), "one of many", "many.c:1");
    CHECK_EQ(whorl_sleep(500), 0);
    text = dump();
    CHECK_EQ(count_of(text, "\"one of many\" waits for sleep until "), 1000);
    CHECK_EQ(count_of(text, ", spawned at many.c:1\n"), 1000);
    CHECK_EQ(count_of(text, "\n  worker "), 3);
    free(text);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    text = dump();
    CHECK_EQ(count_of(text, "one of many"), 0); /* what is gone is gone */
    CHECK_EQ(count_of(text, "\n  task "), 1);
    free(text);
    return 0;
}

TEST(dump, a_thousand_tasks_have_a_thousand_lines)
{
    null_run(dump_very_many, NULL, &(struct whorl_options){.workers = 3});
}

/* From a signal handler. */

static int handler_fd;

static void on_signal(int number)
{
    (void)number;
    whorl_dump(handler_fd);
}

static intptr_t raise_in_task(void *arg)
{
    struct whorl_task *t = spawn_named(sleep_for, (void *)10, "neighbour", "n.c:1");

    CHECK_EQ(whorl_sleep(1), 0);
    CHECK_EQ(raise((int)(intptr_t)arg), 0);
    return whorl_join(t, NULL);
}

TEST(dump, a_signal_handler_may_ask_for_it)
{
    struct sigaction action = {.sa_handler = on_signal};
    char *text;

    handler_fd = new_file();
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    null_run(raise_in_task, (void *)SIGUSR1, NULL);
    CHECK_EQ(raise(SIGUSR1), 0); /* no runtime: nothing to show */
    text = text_of(handler_fd);
    CHECK_HAS(text, " \"main\" running, since ");
    CHECK_HAS(text, " \"neighbour\" waits for sleep until 10 ns, ");
    CHECK_EQ(count_of(text, "whorl: runtime "), 1);
    free(text);
}

static void raise_sigquit(void *arg)
{
    signal(SIGQUIT, SIG_IGN);
    null_run(raise_in_task, (void *)SIGQUIT, &(struct whorl_options){.dump_on_sigquit = (int)(intptr_t)arg});
    CHECK(signal(SIGQUIT, SIG_DFL) == SIG_IGN); /* as it was before */
}

TEST(dump, sigquit_shows_it_on_standard_error_when_that_is_wanted)
{
    char err[4096];

    CHECK_EQ(run_in_child(raise_sigquit, (void *)1, err, sizeof err), 0);
    CHECK_HAS(err, "whorl: runtime 0x");
    CHECK_HAS(err, " \"neighbour\" waits for sleep until 10 ns, ");
    CHECK_EQ(run_in_child(raise_sigquit, (void *)0, err, sizeof err), 0);
    CHECK_STR(err, "");
}

/* From a thread that is no worker: it sees every runtime of the process. */

static pthread_barrier_t started, shown;

static intptr_t stand_still(void *arg)
{
    struct whorl_task *t = spawn_named(sleep_for, (void *)10, arg, "t.c:1");

    CHECK_EQ(whorl_sleep(1), 0);
    pthread_barrier_wait(&started);
    pthread_barrier_wait(&shown);
    return whorl_join(t, NULL);
}

static void *run_one(void *arg)
{
    null_run(stand_still, arg, NULL);
    return NULL;
}

TEST(dump, other_threads_see_every_runtime_of_the_process)
{
    pthread_t threads[2];
    char *text;

    CHECK_EQ(pthread_barrier_init(&started, NULL, 3), 0);
    CHECK_EQ(pthread_barrier_init(&shown, NULL, 3), 0);
    CHECK_EQ(pthread_create(&threads[0], NULL, run_one, (void *)(uintptr_t) "of the first"), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, run_one, (void *)(uintptr_t) "of the second"), 0);
    pthread_barrier_wait(&started);
    text = dump();
    CHECK_EQ(count_of(text, "whorl: runtime "), 2);
    CHECK_EQ(count_of(text, "\"main\" running"), 2);
    CHECK_EQ(count_of(text, "\"of the first\" waits for sleep"), 1);
    CHECK_EQ(count_of(text, "\"of the second\" waits for sleep"), 1);
    free(text);
    pthread_barrier_wait(&shown);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    text = dump();
    CHECK_STR(text, "");
    free(text);
}

/* Dumps from another thread while tasks come and go. What a line says may be a moment old; that it is a line is certain. */

static bool churning; /* atomic */

static intptr_t churn(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        struct whorl_task *a = spawn_named(sleep_for, (void *)1, "short-lived", "churn.c:1");
        struct whorl_task *b = spawn_named(operate, (void *)1, "short-lived", "churn.c:2");

        CHECK_EQ(whorl_join(a, NULL), 0);
        CHECK_EQ(whorl_join(b, NULL), 0);
    }
    return 0;
}

static void *run_churn(void *arg)
{
    null_run(churn, arg, &(struct whorl_options){.workers = 2});
    __atomic_store_n(&churning, false, __ATOMIC_RELEASE);
    return NULL;
}

static void check_lines(char *text)
{
    char *rest = text;

    for (char *line; (line = strsep(&rest, "\n")) && rest;) {
        bool known = strncmp(line, "whorl: runtime 0x", 17) == 0 || strncmp(line, "  worker ", 9) == 0;
        bool task = strncmp(line, "  task 0x", 9) == 0 && strstr(line, ", spawned at ");

        if (!known && !task)
            CHECK_STR(line, "a line of a dump");
    }
}

TEST(dump, tasks_come_and_go_meanwhile)
{
    pthread_t thread;

    churning = true;
    CHECK_EQ(pthread_create(&thread, NULL, run_churn, NULL), 0);
    while (__atomic_load_n(&churning, __ATOMIC_ACQUIRE)) {
        char *text = dump();

        check_lines(text);
        free(text);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* Counters. */

static intptr_t check_counters(void *arg)
{
    struct whorl_task *tasks[100];
    struct whorl_stats all, one = {.size = sizeof one};
    uint64_t switches = 0;

    (void)arg;
    for (intptr_t i = 0; i < 100; i++)
        tasks[i] = whorl_spawn(i % 2 ? operate : sleep_for, (void *)(100 + i));
    all = null_stats();
    CHECK_EQ(all.spawned, 101);
    CHECK_EQ(all.finished, 0);
    for (intptr_t i = 0; i < 100; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    all = null_stats();
    CHECK_EQ(all.spawned, 101);
    CHECK_EQ(all.finished, 100);
    CHECK_EQ(all.submitted, 50);
    CHECK_EQ(all.completed, 50);
    CHECK_EQ(all.cancels, 0);
    CHECK_EQ(all.timers_fired, 50);
    CHECK(all.parks > 100 && all.parks <= 200); /* each waited once, and we for those that were not through */
    CHECK(all.polls > 0);
    for (int i = 0; i < whorl_workers(); i++) {
        CHECK_EQ(whorl_stats(i, &one), 0);
        switches += one.switches;
    }
    CHECK_EQ(switches, all.switches);
    CHECK_EQ(whorl_stats(whorl_workers(), &one), -EINVAL);
    CHECK_EQ(whorl_stats(-2, &one), -EINVAL);
    one.size = sizeof one - 8;
    CHECK_EQ(whorl_stats(0, &one), -EINVAL);
    return 0;
}

TEST(dump, counters_add_up)
{
    for (int workers = 1; workers <= 4; workers++)
        null_run(check_counters, NULL, &(struct whorl_options){.workers = workers});
}
