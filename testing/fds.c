/* SPDX-License-Identifier: MIT */
#include "testing/fds.h"
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <whorl/test.h>

static bool add(struct whorl__test_fds *fds, int fd)
{
    int *list = realloc(fds->list, (fds->count + 1) * sizeof *list);

    if (!list)
        return false;
    list[fds->count++] = fd;
    fds->list = list;
    return true;
}

static bool has(const struct whorl__test_fds *fds, int fd)
{
    for (size_t i = 0; i < fds->count; i++)
        if (fds->list[i] == fd)
            return true;
    return false;
}

/* The process's descriptors, but for the one that they are read by. 0 or -errno. */
static int read_all(struct whorl__test_fds *fds)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;

    fds->list = NULL;
    fds->count = 0;
    if (!folder)
        return -errno;
    while ((entry = readdir(folder)) != NULL) {
        int fd = entry->d_name[0] == '.' ? -1 : atoi(entry->d_name);

        if (fd >= 0 && fd != dirfd(folder) && !add(fds, fd)) {
            closedir(folder);
            return -ENOMEM;
        }
    }
    closedir(folder);
    return 0;
}

static void complain(const char *name, int err)
{
    whorl_test_fail("%s: descriptors cannot be counted, /proc/self/fd: %s", name, strerror(-err));
}

void whorl__test_fds_open(struct whorl__test_fds *fds)
{
    int err = read_all(fds);

    if (err)
        complain("before the test", err);
}

static void report(const char *name, int fd)
{
    char path[64], target[256];
    ssize_t n;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    whorl_test_fail("%s: leak: descriptor %d (%s) was left open", name, fd, target);
}

void whorl__test_fds_close(struct whorl__test_fds *before, const char *name)
{
    struct whorl__test_fds now;
    int err = read_all(&now);

    if (err)
        complain(name, err);
    for (size_t i = 0; !err && i < now.count; i++)
        if (!has(before, now.list[i]))
            report(name, now.list[i]);
    free(now.list);
    free(before->list);
}
