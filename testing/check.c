/* SPDX-License-Identifier: MIT */
/* The checks. They may run on the small stack of a task and in a forked child, so they neither allocate nor use stdio's buffers, and
 * what they find lies in shared memory. */
#include "testing/record.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <whorl/test.h>

static struct record {
    atomic_uint failures, messages;
    atomic_bool skipped;
    _Atomic uint64_t seed; /* 0: that of the process */
    char why[200];         /* written before `skipped` is set */
    char text[WHORL__TEST_MESSAGES_MAX][WHORL__TEST_MESSAGE_SIZE];
} * record;

/* Before the constructors that register tests, and before any fork. */
__attribute__((constructor(101))) static void map_record(void)
{
    record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (record == MAP_FAILED) {
        perror("tests: mmap");
        abort();
    }
}

void whorl__test_reset(void)
{
    atomic_store(&record->failures, 0);
    atomic_store(&record->messages, 0);
    atomic_store(&record->skipped, false);
    atomic_store(&record->seed, 0);
}

unsigned whorl_test_failures(void)
{
    return atomic_load(&record->failures);
}

const char *whorl__test_skipped(void)
{
    return atomic_load(&record->skipped) ? record->why : NULL;
}

const char *whorl__test_message(unsigned index)
{
    return index < atomic_load(&record->messages) && index < WHORL__TEST_MESSAGES_MAX ? record->text[index] : NULL;
}

void whorl__test_begin_seed(uint64_t seed)
{
    atomic_store(&record->seed, seed);
}

uint64_t whorl_test_seed(void)
{
    uint64_t seed = atomic_load(&record->seed);

    return seed ? seed : whorl__test_first_seed();
}

void whorl_test_skip(const char *why)
{
    snprintf(record->why, sizeof record->why, "%s", why);
    atomic_store(&record->skipped, true);
}

/* One write per message, so that those of several threads do not mix. */
static void write_line(const char *text)
{
    char line[WHORL__TEST_MESSAGE_SIZE + 1];
    size_t length = strlen(text);

    memcpy(line, text, length);
    line[length] = '\n';
    if (write(STDERR_FILENO, line, length + 1) < 0)
        return; /* it is in the record all the same */
}

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list arguments)
{
    unsigned index = atomic_fetch_add(&record->messages, 1);

    if (index == WHORL__TEST_MESSAGES_MAX)
        write_line("further failed checks are only counted");
    if (index >= WHORL__TEST_MESSAGES_MAX)
        return;
    vsnprintf(record->text[index], sizeof record->text[index], format, arguments);
    write_line(record->text[index]);
}

void whorl__test_note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

void whorl_test_fail(const char *format, ...)
{
    va_list arguments;

    atomic_fetch_add(&record->failures, 1);
    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

int whorl_test_check_at(int held, const char *where, const char *text)
{
    if (!held)
        whorl_test_fail("%s: check failed: %s", where, text);
    return held;
}

int whorl_test_equal_at(intmax_t a, intmax_t b, const char *where, const char *text)
{
    if (a != b)
        whorl_test_fail("%s: check failed: %s: %" PRIdMAX " and %" PRIdMAX, where, text, a, b);
    return a == b;
}

static const char *shown(const char *text)
{
    return text ? text : "(null)";
}

int whorl_test_same_at(const char *a, const char *b, const char *where, const char *text)
{
    int held = a && b ? strcmp(a, b) == 0 : a == b;

    if (!held)
        whorl_test_fail("%s: check failed: %s: \"%.300s\" and \"%.300s\"", where, text, shown(a), shown(b));
    return held;
}

int whorl_test_has_at(const char *all, const char *part, const char *where, const char *text)
{
    int held = all && part && strstr(all, part);

    if (!held)
        whorl_test_fail("%s: check failed: %s: \"%.600s\" and \"%.100s\"", where, text, shown(all), shown(part));
    return held;
}

void whorl_test_give_up_at(const char *where, const char *text)
{
    whorl_test_fail("%s: required, so the test ends here: %s (seed %" PRIu64 ")", where, text, whorl_test_seed());
    abort();
}
