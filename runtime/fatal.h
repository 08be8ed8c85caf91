/* SPDX-License-Identifier: MIT */
/* Messages to whoever runs the program: on standard error, beginning with "whorl: ". */
#ifndef WHORL_RUNTIME_FATAL_H
#define WHORL_RUNTIME_FATAL_H

#include <whorl/task.h>

__attribute__((format(printf, 1, 2))) void whorl__say(const char *format, ...);

/* Says it and aborts. */
__attribute__((format(printf, 1, 2))) _Noreturn void whorl__fatal(const char *format, ...);

/* Says it, naming the calling task, if any, and where it was spawned. */
__attribute__((format(printf, 1, 2))) void whorl__alarm(const char *format, ...);

/* For a mistake in the program: says it, names the calling task and where it was spawned, and aborts. */
__attribute__((format(printf, 1, 2))) _Noreturn void whorl__misuse(const char *format, ...);
/* Says also which calls led to it. */
__attribute__((format(printf, 1, 2))) _Noreturn void whorl__misuse_traced(const char *format, ...);

#endif
