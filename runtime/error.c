/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* strerrordesc_np */
#include "runtime/error.h"
#include "runtime/scheduler.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <whorl/error.h>

#define OBJECT_SIZE 256
#define WHOLE_SIZE  640

/* Made when a failed call has an object to be copied, or when the text is asked for. */
struct whorl__texts {
    char object[OBJECT_SIZE], whole[WHOLE_SIZE];
};

/* What errors mean here. The C library knows the rest. */
#define ERRORS(X)                                                                                                                  \
    X(ECANCELED, "cancelled")                                                                                                      \
    X(ETIMEDOUT, "timed out")                                                                                                      \
    X(ENOMEM, "no memory")                                                                                                         \
    X(EINVAL, "wrong argument")                                                                                                    \
    X(EINPROGRESS, "not yet ended")                                                                                                \
    X(EAGAIN, "not possible just now")                                                                                             \
    X(EDEADLK, "it would wait for itself")                                                                                         \
    X(EPIPE, "closed")                                                                                                             \
    X(EBADF, "not an open descriptor")                                                                                             \
    X(EMFILE, "too many open descriptors in this process")                                                                         \
    X(ENFILE, "too many open files on this machine")                                                                               \
    X(ENOENT, "no such file or directory")                                                                                         \
    X(EACCES, "permission denied")                                                                                                 \
    X(EPERM, "not permitted")                                                                                                      \
    X(EIO, "input or output failed")                                                                                               \
    X(EOPNOTSUPP, "not supported here")                                                                                            \
    X(ENOSYS, "not supported by this kernel")                                                                                      \
    X(ENOTSOCK, "not a socket")                                                                                                    \
    X(ENOTCONN, "not connected")                                                                                                   \
    X(ECONNREFUSED, "connection refused")                                                                                          \
    X(ECONNRESET, "connection reset by the other side")                                                                            \
    X(ECONNABORTED, "connection given up by the other side")                                                                       \
    X(EADDRINUSE, "address already in use")                                                                                        \
    X(EADDRNOTAVAIL, "not an address of this machine")                                                                             \
    X(ENETUNREACH, "network unreachable")                                                                                          \
    X(EHOSTUNREACH, "host unreachable")

const char *whorl_strerror(int err)
{
    const char *text;

    switch (err) {
#define CASE(code, text)                                                                                                           \
    case -code:                                                                                                                    \
        return text;
        ERRORS(CASE)
#undef CASE
    default:
        break;
    }
    if (err >= 0)
        return "no error";
    text = err > -4096 ? strerrordesc_np(-err) : NULL;
    return text ? text : "an unknown error";
}

void whorl__note_cause(struct whorl_task *t, uint32_t cause)
{
    whorl__rare(t)->failure.ended_by = (uint8_t)cause;
    whorl__add_trait(t, WHORL__LADEN);
}

/* Can that have ended a wait with `err`? */
static bool explains(uint8_t cause, int err)
{
    switch (cause) {
    case WHORL__SCOPE:
        return err == -ECANCELED || err == -ETIMEDOUT;
    case WHORL__TIMEOUT:
        return err == -ETIMEDOUT;
    case WHORL__NO_TIMER:
        return err == -ENOMEM;
    default:
        return err == -ECANCELED;
    }
}

/* What the running task's last failed call was: this one. NULL: an OS thread's. */
static struct whorl__failure *note(int err, const char *operation, const char *detail)
{
    struct whorl__worker *w = whorl__worker();
    struct whorl_task *t = w ? w->current : NULL;
    struct whorl__failure *f;

    if (!t)
        return NULL;
    whorl__add_trait(t, WHORL__LADEN);
    f = &whorl__rare(t)->failure;
    f->operation = operation;
    f->detail = detail;
    f->task = NULL;
    f->err = err;
    f->object = WHORL__NO_OBJECT;
    f->cause = explains(f->ended_by, err) ? f->ended_by : 0;
    f->ended_by = 0;
    if (f->cause == WHORL__SCOPE)
        whorl__scopes_explain(t, f);
    return f;
}

int whorl__failed(int err, const char *operation, const char *detail)
{
    note(err, operation, detail);
    return err;
}

int whorl__failed_on(int err, const char *operation, intptr_t number)
{
    struct whorl__failure *f = note(err, operation, NULL);

    if (f) {
        f->object = WHORL__NUMBER;
        f->number = number;
    }
    return err;
}

int whorl__failed_at(int err, const char *operation, const char *place, const char *detail)
{
    struct whorl__failure *f = note(err, operation, detail);

    if (f) {
        f->object = WHORL__PLACE;
        f->place = place;
    }
    return err;
}

static struct whorl__texts *texts_of(struct whorl__failure *f)
{
    if (!f->texts)
        f->texts = malloc(sizeof *f->texts);
    return f->texts;
}

int whorl__failed_with(int err, const char *operation, const char *detail, const char *format, ...)
{
    struct whorl__failure *f = note(err, operation, detail);
    va_list args;

    if (!f || !texts_of(f))
        return err;
    f->object = WHORL__COPY;
    va_start(args, format);
    vsnprintf(f->texts->object, OBJECT_SIZE, format, args);
    va_end(args);
    return err;
}

bool whorl__failed_like(int err, const struct whorl_task *child)
{
    const struct whorl__failure *from = &whorl__rare(child)->failure;
    struct whorl__failure *f;
    struct whorl__texts *texts;

    if (from->err != err)
        return false;
    f = note(err, from->operation, NULL);
    texts = from->object == WHORL__COPY ? texts_of(f) : f->texts;
    *f = *from;
    f->texts = texts;
    if (!f->task)
        f->task = child->where;
    if (f->object == WHORL__COPY && texts)
        memcpy(texts->object, from->texts->object, OBJECT_SIZE);
    else if (f->object == WHORL__COPY)
        f->object = WHORL__NO_OBJECT;
    return true;
}

/* Appends to `whole`, of WHOLE_SIZE bytes. */
__attribute__((format(printf, 2, 3))) static void add(char *whole, const char *format, ...)
{
    size_t length = strlen(whole);
    va_list args;

    va_start(args, format);
    vsnprintf(whole + length, WHOLE_SIZE - length, format, args);
    va_end(args);
}

static void add_object(char *whole, const struct whorl__failure *f)
{
    if (f->object == WHORL__NUMBER)
        add(whole, " %jd", (intmax_t)f->number);
    else if (f->object == WHORL__PLACE)
        add(whole, " %s", f->place);
    else if (f->object == WHORL__COPY)
        add(whole, " %s", f->texts->object);
}

static void add_cause(char *whole, const struct whorl__failure *f)
{
    switch (f->cause) {
    case WHORL__CANCEL:
        add(whole, ": cancelled");
        break;
    case WHORL__STOP:
        add(whole, ": cancelled because the runtime ends");
        break;
    case WHORL__TIMEOUT:
        add(whole, ": timed out because the task's deadline passed");
        break;
    case WHORL__SCOPE:
        add(whole, ": %s", whorl_strerror(f->err));
        if (f->scope)
            add(whole, " with the scope opened at %s", f->scope);
        if (f->detail)
            add(whole, "%s because %s", f->scope ? "," : "", f->detail);
        break;
    case WHORL__CLOSED:
        add(whole, ": cancelled because another task closed it");
        break;
    case WHORL__NO_TIMER:
        add(whole, " failed: no memory for a timer");
        break;
    default:
        add(whole, " failed: %s", f->detail ? f->detail : whorl_strerror(f->err));
        break;
    }
}

int whorl_error(void)
{
    struct whorl__worker *w;

    return whorl__rare(whorl__self("whorl_error", &w))->failure.err;
}

const char *whorl_error_text(void)
{
    struct whorl__worker *w;
    struct whorl__failure *f = &whorl__rare(whorl__self("whorl_error_text", &w))->failure;

    if (!f->err || !texts_of(f))
        return whorl_strerror(f->err);
    f->texts->whole[0] = 0;
    add(f->texts->whole, "%s", f->operation);
    add_object(f->texts->whole, f);
    add_cause(f->texts->whole, f);
    if (f->task)
        add(f->texts->whole, ", in the task spawned at %s", f->task);
    return f->texts->whole;
}

void whorl__failure_free(struct whorl__failure *f)
{
    free(f->texts);
    f->texts = NULL;
}
