/* SPDX-License-Identifier: MIT */
/* The target of a request: "/a%20b?n=1" is the path "/a b" and the query "n=1". */
#ifndef HTTPD_TARGET_H
#define HTTPD_TARGET_H

#include "request.h"

struct target {
    const char *path;  /* begins with a slash, decoded, and contains no NUL but at its end */
    const char *query; /* not decoded; "" when there is none */
};

/* Takes `text` apart in place: the byte after it is overwritten too. Returns 0, or -EINVAL: an escape that is none or that hides a
 * NUL, or something else than a path. */
int target_parse(struct text text, struct target *target);

/* The number that the query has under `name`. Returns 0, -ENOENT when it has none, -EINVAL when it is no number, -ERANGE when it
 * is not from `min` to `max`. */
int target_number(const struct target *target, const char *name, unsigned long min, unsigned long max, unsigned long *value);

#endif
