/* SPDX-License-Identifier: MIT */
/* Files. The general rules are those of net.h; close with whorl_close. */
#ifndef WHORL_FILE_H
#define WHORL_FILE_H

#include <whorl/base.h>

struct open_how; /* <linux/openat2.h> */
struct statx;    /* <sys/stat.h> with _GNU_SOURCE, or <linux/stat.h> */

WHORL_BEGIN_DECLS

/* Opens `path` as open(2) does, always with O_CLOEXEC. (A FIFO without a peer is opened as with O_NONBLOCK: -ENXIO for writing.)
 * `mode` counts when a file is created. Returns the descriptor, -ENOENT, -EACCES … Suspends. */
WHORL_API WHORL_MUST_USE int whorl_open(const char *path, int flags, unsigned mode);

/* Opens `path` below the directory `dirfd` (or AT_FDCWD) as openat2(2) does: how->resolve = RESOLVE_BENEATH keeps it there.
 * O_CLOEXEC is added. `path` and `how` are borrowed until return. Suspends. */
WHORL_API WHORL_MUST_USE int whorl_open_at(int dirfd, const char *path, const struct open_how *how);

/* What statx(2) tells: of `path` below `dirfd`, or of `dirfd` itself with path "" and AT_EMPTY_PATH in `flags`. `mask` says what is
 * wanted (STATX_BASIC_STATS). Returns 0, -ENOENT … Suspends. */
WHORL_API WHORL_MUST_USE int whorl_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out);

/* Reads at most `size` bytes at `offset` (>= 0) into `buffer`, borrowed until return. The file's own position neither counts nor
 * moves. Returns how many, fewer only near the end of the file, 0 at it; -EINVAL for a negative offset, -EIO … Suspends. */
WHORL_API WHORL_MUST_USE ssize_t whorl_read_at(int fd, void *buffer, size_t size, int64_t offset);

WHORL_END_DECLS

#endif
