/* SPDX-License-Identifier: MIT */
/* What went wrong, in words.
 *
 *     fd = whorl_tcp_connect("localhost", 1);
 *     if (fd < 0)
 *         fprintf(stderr, "%s\n", whorl_error_text());
 *
 * prints "connect to localhost:1 failed: connection refused". Calls return an error as a number below 0, which is all that a program needs to
 * decide what to do. The text is for people: it says what was done, to what, and why it failed, also which scope ended a wait and
 * for which reason: "recv on descriptor 7: cancelled with the scope opened at server.c:40, because the peer is too slow". When a scope is
 * closed and returns the error of a task that failed in it, the text is that of the call that failed there.
 *
 * A task's failed calls leave behind what the text is made of, which costs little, and the text is made when it is asked for. Each task, and
 * each fork that was taken (fork.h), has its own; OS threads have none. */
#ifndef WHORL_ERROR_H
#define WHORL_ERROR_H

#include <whorl/base.h>

WHORL_BEGIN_DECLS

/* What `err`, a negative result of a call, means: "connection refused", "timed out". Of all others, which are no errors: "no error".
 * The text lives as long as the program. Never suspends. Callable from anywhere. */
WHORL_API const char *whorl_strerror(int err);

/* The error of the calling task's last whorl call that failed: what it returned, or what stands behind the NULL of whorl_spawn. 0: none has.
 * Calls that succeed leave it as it is; so do those for which a negative result is no failure but an answer (whorl_result,
 * whorl_cancelled). Never suspends. Aborts outside a task. */
WHORL_API int whorl_error(void);

/* Of the same call, in words. The text is the library's, and there until the calling task calls this again or ends. When there is no memory for
 * it: that of whorl_strerror. Never suspends. Aborts outside a task. */
WHORL_API const char *whorl_error_text(void);

WHORL_END_DECLS

#endif
