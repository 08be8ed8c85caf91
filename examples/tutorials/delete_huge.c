/* SPDX-License-Identifier: MIT */
/* Deletes a huge file while a ticker goes on: in slices from its end, with a pause after each, so that neither the worker nor the disk
 * is kept by it. Or at once, by a thread of the pool for code that blocks.
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

struct huge {
    char name[4096];
    int fd;
};

/* Makes a file of that size, though all of it is one hole. Returns 0 or -errno. */
static int make_huge(struct huge *huge)
{
    const char *folder = getenv("TMPDIR");
    int err;

    snprintf(huge->name, sizeof huge->name, "%s/huge-XXXXXX", folder != NULL ? folder : "/tmp");
    huge->fd = mkostemp(huge->name, O_CLOEXEC);
    if (huge->fd < 0)
        return -errno;
    if (ftruncate(huge->fd, SIZE) < 0) {
        err = -errno;
        close(huge->fd);
        unlink(huge->name);
        return err;
    }
    return 0;
}

/* Deletes the file, whatever happens. Returns how many slices that took, or -errno. */
static int delete_in_slices(struct huge *huge)
{
    int slices = 0, err = 0;

    for (int64_t size = SIZE; size > 0 && err == 0; size -= SLICE) {
        err = ftruncate(huge->fd, size - SLICE) < 0 ? -errno : whorl_sleep(PAUSE); /* the first blocks, but not for long */
        slices++;
    }
    if (unlink(huge->name) < 0 && err == 0)
        err = -errno;
    close(huge->fd);
    return err < 0 ? err : slices;
}

static intptr_t unlink_and_close(void *arg)
{
    const struct huge *huge = arg;
    int err = unlink(huge->name) < 0 ? -errno : 0;

    close(huge->fd); /* nobody has it open any more, so its space is given back: this takes the time */
    return err;
}

/* Deletes the file, whatever happens. Returns 1, or -errno. */
static int delete_at_once(struct huge *huge)
{
    intptr_t result = 0;
    int err = whorl_blocking(unlink_and_close, huge, &result);

    if (err < 0) /* no thread took it */
        unlink_and_close(huge);
    return err < 0 ? err : result < 0 ? (int)result : 1;
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
    const int *at_once = arg;
    struct huge huge;
    struct whorl_scope scope;
    int err = make_huge(&huge), ticks = 0, slices;

    if (err < 0) {
        fprintf(stderr, "delete_huge: %s: %s\n", huge.name, strerror(-err));
        return err;
    }
    whorl_scope_open(&scope);
    err = whorl_scope_spawn(&scope, tick, &ticks);
    slices = *at_once ? delete_at_once(&huge) : delete_in_slices(&huge);
    whorl_scope_cancel(&scope, "the file is deleted");
    whorl_scope_close(&scope);
    if (err == 0 && slices < 0)
        err = slices;
    if (err < 0)
        fprintf(stderr, "delete_huge: %s\n", strerror(-err));
    else
        printf("deleted %d MiB in %d slice%s; %d ticks meanwhile\n", (int)(SIZE / MIB), slices, slices == 1 ? "" : "s", ticks);
    return err;
}

static int print_usage(FILE *out, int status)
{
    fputs("usage: delete_huge [--at-once]\n"
          "Makes a sparse file of 2 GiB in $TMPDIR, or /tmp, and deletes it while a ticker goes on: in slices.\n\n"
          "  --at-once  or by one system call on another thread\n"
          "  --help     show this\n",
          out);
    return status;
}

int main(int argc, char **argv)
{
    struct whorl_options options = {.size = sizeof options, .workers = 1};
    int at_once = argc == 2 && strcmp(argv[1], "--at-once") == 0;

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout, 0);
    if (argc > 1 && !at_once)
        return print_usage(stderr, 2);
    return whorl_run(delete_beside_a_ticker, &at_once, &options) == 0 ? 0 : 1;
}
