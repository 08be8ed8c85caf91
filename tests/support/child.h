/* SPDX-License-Identifier: MIT */
/* Expected deaths: code that is to abort runs in a child of its own. */
#ifndef WHORL_TESTS_CHILD_H
#define WHORL_TESTS_CHILD_H

#include <stddef.h>

/* Runs fn(arg) in a forked child, collects what it writes to standard error in `err` (as a string, cut at `errsize`; NULL with 0
 * to drop it) and waits for its end. When fn returns, the child exits with 0. Checks made in the child count in the test.
 * Returns the status as waitpid(2) tells it, or -errno when there was no child. Only on the test's own stack. */
int run_in_child(void (*fn)(void *), void *arg, char *err, size_t errsize);

#endif
