/* SPDX-License-Identifier: MIT */
/* Deletes a huge file while a ticker goes on: in slices from its end, with a pause after each, so that neither the worker nor the disk
 * is kept by it.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/delete_huge
 * Installed:           cc -O2 -o delete_huge delete_huge.c $(pkg-config --cflags --libs whorl) && ./delete_huge */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <whorl/whorl.h>

#define MIB   ((int64_t)1 << 20)
#define SIZE  (2048 * MIB)
#define SLICE (64 * MIB)
#define PAUSE WHORL_MS(10)
#define TICK  WHORL_MS(25)

/* Makes a file of that size, though all of it is one hole, and stores its name. Returns its descriptor or -errno. */
static int make_huge(char *name, size_t size)
{
    const char *folder = getenv("TMPDIR");
    int fd, err;

    snprintf(name, size, "%s/huge-XXXXXX", folder != NULL ? folder : "/tmp");
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, SIZE) < 0) {
        err = -errno;
        close(fd);
        unlink(name);
        return err;
    }
    return fd;
}

/* Makes the file empty. Returns how many slices that took, or -errno. */
static int delete_in_slices(int fd, int64_t size)
{
    int slices = 0, err;

    while (size > 0) {
        size = size > SLICE ? size - SLICE : 0;
        if (ftruncate(fd, size) < 0) /* blocks, but not for long */
            return -errno;
        slices++;
        err = whorl_sleep(PAUSE);
        if (err < 0)
            return err;
    }
    return slices;
}

/* Ticks until its scope is cancelled, and counts. */
static intptr_t tick(void *arg)
{
    int *ticks = arg, err;

    while ((err = whorl_sleep(TICK)) == 0)
        ++*ticks;
    return err;
}

static intptr_t delete_beside_a_ticker(void *arg)
{
    char name[4096];
    struct whorl_scope scope;
    int fd = make_huge(name, sizeof name), ticks = 0, slices;

    (void)arg;
    if (fd < 0) {
        fprintf(stderr, "delete_huge: %s: %s\n", name, strerror(-fd));
        return fd;
    }
    whorl_scope_open(&scope);
    slices = whorl_scope_spawn(&scope, tick, &ticks);
    if (slices == 0)
        slices = delete_in_slices(fd, SIZE);
    whorl_scope_cancel(&scope, "the file is deleted");
    whorl_scope_close(&scope);
    close(fd);
    unlink(name);
    if (slices < 0) {
        fprintf(stderr, "delete_huge: %s\n", strerror(-slices));
        return slices;
    }
    printf("deleted %d MiB in %d slices; %d ticks meanwhile\n", (int)(SIZE / MIB), slices, ticks);
    return 0;
}

int main(int argc, char **argv)
{
    struct whorl_options options = {.size = sizeof options, .workers = 1};

    if (argc > 1) {
        fprintf(strcmp(argv[1], "--help") == 0 ? stdout : stderr,
                "usage: delete_huge\nMakes a sparse file of 2 GiB in $TMPDIR, or /tmp, and deletes it while a ticker goes on.\n");
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    return whorl_run(delete_beside_a_ticker, NULL, &options) == 0 ? 0 : 1;
}
