/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include "mime.h"

/* Opens `path` below `directory` and tells what it is. Returns the descriptor or -errno. */
static int open_below(int directory, const char *path, struct statx *info)
{
    /* O_NONBLOCK: opening a FIFO must not wait for its other end. */
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = whorl_open_at(directory, path, &how), err;

    if (fd < 0)
        return fd;
    err = whorl_statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE | STATX_MTIME, info);
    if (err < 0) {
        whorl_close(fd);
        return err;
    }
    return fd;
}

/* Opens the regular file that `path` stands for; *name is the name its type is known by. Returns the descriptor or -errno. */
static int open_file(int root, const char *path, const char **name, struct statx *info)
{
    int fd;

    path += strspn(path, "/");
    *name = path;
    fd = open_below(root, *path == '\0' ? "." : path, info);
    if (fd >= 0 && S_ISDIR(info->stx_mode)) {
        int directory = fd;

        *name = "index.html";
        fd = open_below(directory, *name, info);
        whorl_close(directory);
    }
    if (fd >= 0 && !S_ISREG(info->stx_mode)) {
        whorl_close(fd);
        return -ENOENT;
    }
    return fd;
}

/* What is out of reach is not there, as far as a client is concerned. */
static int error_status(int err)
{
    switch (err) {
    case -ENOENT:
    case -ENOTDIR:
    case -EXDEV: /* it would lead out of the root */
    case -ELOOP:
    case -ENAMETOOLONG:
    case -EACCES:
    case -EPERM:
    case -ENXIO:
    case -ENODEV:
        return 404;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EAGAIN:
        return 503;
    default:
        return 500;
    }
}

/* Puts the file's first `size` bytes, read straight into the output. */
static void put_content(struct output *out, int fd, uint64_t size)
{
    uint64_t at = 0;

    while (at < size && out->error == 0) {
        char *room = output_room(out, 1);
        size_t space = OUTPUT_SIZE - out->used;
        ssize_t n = whorl_read_at(fd, room, size - at < space ? (size_t)(size - at) : space, (int64_t)at);

        if (n <= 0) {
            /* Shorter than a moment ago, or broken: the length that was promised cannot be kept. */
            output_flush(out);
            output_fail(out, n < 0 ? (int)n : -EIO);
            return;
        }
        out->used += (size_t)n;
        at += (uint64_t)n;
    }
}

static bool not_modified(const struct request *request, time_t modified)
{
    time_t since;

    return request->modified.at != NULL && date_parse(request->modified.at, request->modified.length, &since) == 0 &&
           modified <= since;
}

void files_answer(struct output *out, const struct request *request, int root, const char *path)
{
    struct statx info;
    struct response response = {.status = 200};
    const char *name;
    int fd;

    whorl_deadline(whorl_after(out->patience)); /* the one that is set was for the request, and may be near */
    fd = open_file(root, path, &name, &info);
    if (fd < 0) {
        response_error(out, request, error_status(fd));
        return;
    }
    response.modified = (time_t)info.stx_mtime.tv_sec;
    if (response.modified > out->date.second) /* a date in the future is not to be sent (RFC 9110, 8.8.2.1) */
        response.modified = out->date.second;
    if (not_modified(request, response.modified)) {
        response.status = 304;
    } else {
        response.type = mime_type(name);
        response.length = info.stx_size;
    }
    response_head(out, request, &response);
    if (response.status == 200 && request->method != HTTP_HEAD)
        put_content(out, fd, info.stx_size);
    whorl_close(fd);
}
