/* SPDX-License-Identifier: MIT */
/* The checks. They may run on the small stack of a task and in a forked child, so they neither allocate nor use stdio's
 * buffers, and the count lies in shared memory. */
#include "test.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MESSAGES_MAX = 20, MESSAGE_SIZE = 1024 };

static struct record {
    atomic_uint failures;
    atomic_bool skipped;
    char why[200]; /* written before `skipped` is set */
} * record;

/* Before the constructors of the tests, and before any fork. */
__attribute__((constructor(101))) static void map_record(void)
{
    record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (record == MAP_FAILED) {
        perror("tests: mmap");
        abort();
    }
}

void test_record_reset(void)
{
    atomic_store(&record->failures, 0);
    atomic_store(&record->skipped, false);
}

unsigned test_failures(void)
{
    return atomic_load(&record->failures);
}

const char *test_skipped(void)
{
    return atomic_load(&record->skipped) ? record->why : NULL;
}

void test_skip(const char *why)
{
    snprintf(record->why, sizeof record->why, "%s", why);
    atomic_store(&record->skipped, true);
}

/* One write per message, so that those of several threads do not mix. */
__attribute__((format(printf, 3, 4))) static void fail(const char *file, int line, const char *format, ...)
{
    char text[MESSAGE_SIZE];
    unsigned before = atomic_fetch_add(&record->failures, 1);
    va_list arguments;
    int used;

    if (before > MESSAGES_MAX)
        return;
    used = snprintf(text, sizeof text, "%s:%d: ", file, line);
    if (before == MESSAGES_MAX) {
        used += snprintf(text + used, sizeof text - (size_t)used, "further failed checks are only counted");
    } else {
        va_start(arguments, format);
        used += vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
        va_end(arguments);
    }
    if ((size_t)used > sizeof text - 1)
        used = sizeof text - 1;
    text[used] = '\n';
    if (write(STDERR_FILENO, text, (size_t)used + 1) < 0)
        return; /* counted all the same */
}

bool test_check(bool held, const char *file, int line, const char *text)
{
    if (!held)
        fail(file, line, "check failed: %s", text);
    return held;
}

bool test_check_eq(intmax_t a, intmax_t b, const char *file, int line, const char *text)
{
    if (a != b)
        fail(file, line, "check failed: %s: %" PRIdMAX " and %" PRIdMAX, text, a, b);
    return a == b;
}

static const char *shown(const char *text)
{
    return text ? text : "(null)";
}

bool test_check_str(const char *a, const char *b, const char *file, int line, const char *text)
{
    bool held = a && b ? strcmp(a, b) == 0 : a == b;

    if (!held)
        fail(file, line, "check failed: %s: \"%.300s\" and \"%.300s\"", text, shown(a), shown(b));
    return held;
}

bool test_check_has(const char *text, const char *part, const char *file, int line, const char *what)
{
    bool held = text && part && strstr(text, part);

    if (!held)
        fail(file, line, "check failed: %s: \"%.600s\" and \"%.100s\"", what, shown(text), shown(part));
    return held;
}
