/* SPDX-License-Identifier: MIT */
#include "runtime/fatal.h"
#include "runtime/current.h"
#include "runtime/record.h"
#include "runtime/worker.h"
#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TRACE_MAX 32

/* One write, so that messages of several threads do not mix. */
__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list args, const struct whorl_task *t)
{
    char text[1024];
    size_t n = (size_t)snprintf(text, sizeof text, "whorl: ");
    int wrote = vsnprintf(text + n, sizeof text - n, format, args);

    n += wrote > 0 ? (size_t)wrote : 0;
    if (n < sizeof text && t)
        n += (size_t)snprintf(text + n, sizeof text - n, "\n  in task \"%s\", spawned at %s", whorl__name_of(t), t->where);
    if (n > sizeof text - 2)
        n = sizeof text - 2;
    text[n++] = '\n';
    if (write(STDERR_FILENO, text, n) < 0)
        return; /* there is nobody to tell */
}

void whorl__say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args, NULL);
    va_end(args);
}

_Noreturn void whorl__fatal(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args, NULL);
    va_end(args);
    abort();
}

__attribute__((format(printf, 1, 0))) static void say_in_task(const char *format, va_list args)
{
    struct whorl__worker *w = whorl__worker();

    say(format, args, w ? w->current : NULL);
}

void whorl__alarm(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say_in_task(format, args);
    va_end(args);
}

_Noreturn void whorl__misuse(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say_in_task(format, args);
    va_end(args);
    abort();
}

_Noreturn void whorl__misuse_traced(const char *format, ...)
{
    void *calls[TRACE_MAX];
    va_list args;

    va_start(args, format);
    say_in_task(format, args); /* first: the rest may need more than the stack has left */
    va_end(args);
    whorl__say("the calls, innermost first (addr2line -f -e PROGRAM ADDRESS tells the line of a +ADDRESS):");
    backtrace_symbols_fd(calls, backtrace(calls, TRACE_MAX), STDERR_FILENO);
    abort();
}
