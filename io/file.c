/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* O_PATH and its like reach openat2 as they are */
#include "io/fd.h"
#include "io/op.h"
#include "io/sys.h"
#include "runtime/error.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <whorl/file.h>

static int failed_with_path(int err, const char *operation, const char *path)
{
    if (err == -EFAULT) /* it may be the path that is not there */
        return whorl__failed(err, operation, NULL);
    return whorl__failed_with(err, operation, NULL, "%s", path ? path : "NULL");
}

/* Holds the directory an operation starts from; AT_FDCWD needs no holding. */
static int hold_directory(int dirfd, struct whorl__fd **entry)
{
    *entry = NULL;
    return dirfd == AT_FDCWD ? 0 : whorl__fd_hold(dirfd, entry);
}

static int operate_below(struct whorl_task *t, const struct whorl__request *r)
{
    struct whorl__fd *entry;
    int result = hold_directory(r->fd, &entry);

    if (result)
        return result;
    result = whorl__operate(t, r, NULL);
    if (entry)
        whorl__fd_release(entry);
    return result;
}

static int open_below(int dirfd, const char *path, const struct open_how *how)
{
    struct open_how own = *how;
    struct whorl__request r = {
        .code = WHORL__OP_OPEN, .fd = dirfd, .address = path, .length = sizeof own, .offset = (uint64_t)(uintptr_t)&own};
    struct whorl_task *t;
    int err = whorl__begin("whorl_open_at", &t);

    own.flags |= O_CLOEXEC;
    return err ? err : operate_below(t, &r);
}

int whorl_open_at(int dirfd, const char *path, const struct open_how *how)
{
    int fd = open_below(dirfd, path, how);

    return fd < 0 ? failed_with_path(fd, "open", path) : fd;
}

int whorl_open(const char *path, int flags, unsigned mode)
{
    struct open_how how;

    memset(&how, 0, sizeof how);
    how.flags = (uint64_t)(unsigned)flags;
    if (flags & (O_CREAT | __O_TMPFILE)) /* openat2 refuses a mode without a file to give it to */
        how.mode = mode & 07777;
    return whorl_open_at(AT_FDCWD, path, &how);
}

static int ask(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)
{
    struct whorl__request r = {.code = WHORL__OP_STATX,
                               .fd = dirfd,
                               .flags = (uint32_t)flags,
                               .length = mask,
                               .address = path,
                               .offset = (uint64_t)(uintptr_t)out};
    struct whorl_task *t;
    int err = whorl__begin("whorl_statx", &t);

    return err ? err : operate_below(t, &r);
}

int whorl_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out)
{
    int err = ask(dirfd, path, flags, mask, out);

    if (!err)
        return 0;
    if (flags & AT_EMPTY_PATH && (!path || !*path))
        return whorl__failed_on(err, "statx of descriptor", dirfd);
    return failed_with_path(err, "statx of", path);
}

static ssize_t read_some(int fd, void *buffer, size_t size, int64_t offset)
{
    struct whorl__request r = {
        .code = WHORL__OP_READ, .fd = fd, .length = whorl__length(size), .address = buffer, .offset = (uint64_t)offset};
    struct whorl__fd *entry;
    struct whorl_task *t;
    ssize_t n = whorl__begin("whorl_read_at", &t);

    if (!n && offset < 0)
        return -EINVAL;
    if (!n)
        n = whorl__fd_hold(fd, &entry);
    if (n)
        return n;
    /* What the page cache has costs less by a plain call. It may have only the first part: that is not the end of the file. */
    n = whorl__sys_read_at_nowait(fd, buffer, r.length, offset);
    if (n == (ssize_t)r.length || n == 0) {
        whorl__fd_release(entry);
        whorl__done_inline();
        return n;
    }
    n = whorl__operate(t, &r, NULL);
    whorl__fd_release(entry);
    return n;
}

ssize_t whorl_read_at(int fd, void *buffer, size_t size, int64_t offset)
{
    ssize_t n = read_some(fd, buffer, size, offset);

    return n < 0 ? whorl__failed_on((int)n, "read on descriptor", fd) : n;
}
