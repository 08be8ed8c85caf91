/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void become_child(int err_fd)
{
    struct rlimit none = {0, 0};

    /* It leaves no core file, and does not outlive a test that is killed while it hangs. */
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(err_fd, STDERR_FILENO);
}

/* Reads to the end even when `err` is full, so that the child is never stopped by a full pipe. */
static void collect(int fd, char *err, size_t errsize)
{
    size_t used = 0;
    char chunk[4096];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof chunk)) > 0 || (n < 0 && errno == EINTR))
        for (ssize_t i = 0; i < n && used + 1 < errsize; i++)
            err[used++] = chunk[i];
    if (errsize > 0)
        err[used] = '\0';
}

int run_in_child(void (*fn)(void *), void *arg, char *err, size_t errsize)
{
    int pipe_fds[2], status;
    pid_t pid;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return -errno;
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        status = -errno;
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        return status;
    }
    if (pid == 0) {
        become_child(pipe_fds[1]);
        fn(arg);
        fflush(NULL);
        _exit(0);
    }
    close(pipe_fds[1]);
    collect(pipe_fds[0], err, errsize);
    close(pipe_fds[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return status;
}
