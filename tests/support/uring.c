/* SPDX-License-Identifier: MIT */
#include "uring.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 0, or -errno. */
static int probe(void)
{
    struct io_uring_params params;
    long fd;

    memset(&params, 0, sizeof params);
    fd = syscall(SYS_io_uring_setup, 4, &params);
    if (fd < 0)
        return -errno;
    close((int)fd);
    return 0;
}

bool uring_available(void)
{
    return probe() == 0;
}

/* Reads the number after `key` in a file of /proc, -1 when there is none. */
static int number_in(const char *path, const char *key)
{
    FILE *file = fopen(path, "re");
    char line[256];
    int number = -1;

    if (!file)
        return -1;
    while (number < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%d", &number) != 1)
            number = -1;
    fclose(file);
    return number;
}

void uring_refusal(char *text, size_t size)
{
    int err = probe(), disabled = number_in("/proc/sys/kernel/io_uring_disabled", "");

    if (err == 0)
        snprintf(text, size, "%s", "");
    else if (err == -EPERM && disabled > 0)
        snprintf(text, size,
                 "io_uring is refused: kernel.io_uring_disabled is %d. Remedy, as root: sysctl kernel.io_uring_disabled=0",
                 disabled);
    else if ((err == -EPERM || err == -ENOSYS || err == -EACCES) && number_in("/proc/self/status", "Seccomp:") > 0)
        snprintf(
            text, size,
            "io_uring is refused by this container's seccomp filter (%s). Remedy: start the container with a profile that "
            "permits io_uring_setup, io_uring_enter and io_uring_register, such as docker run --security-opt seccomp=unconfined",
            strerror(-err));
    else if (err == -ENOSYS)
        snprintf(text, size,
                 "io_uring is refused: this kernel, or the emulator the program runs under, has none (%s). Remedy: "
                 "Linux 6.1 or later",
                 strerror(-err));
    else if (err == -ENOMEM)
        snprintf(text, size, "io_uring is refused: too little locked memory (%s). Remedy: raise ulimit -l", strerror(-err));
    else
        snprintf(text, size, "io_uring is refused (%s). Remedy: ask the administrator of this machine to permit io_uring_setup",
                 strerror(-err));
}
