/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "hog-peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, TEXT_SIZE = 32, BEFORE_DESCRIPTORS = 3 };

/* What the program is called with, after its name. */
static void set_arguments(const struct hog_peer *peer, char **argv, char (*texts)[TEXT_SIZE])
{
    snprintf(texts[0], TEXT_SIZE, "hog-sessions");
    snprintf(texts[1], TEXT_SIZE, "%s", peer->kind);
    snprintf(texts[2], TEXT_SIZE, "%ld", peer->slice_ms);
    for (long i = 0; i < peer->connections; i++)
        snprintf(texts[BEFORE_DESCRIPTORS + i], TEXT_SIZE, "%d", peer->ends[i]);
    for (long i = 0; i < BEFORE_DESCRIPTORS + peer->connections; i++)
        argv[1 + i] = texts[i];
}

static _Noreturn void become(const struct hog_peer *peer, char **argv, int out)
{
    for (long i = 0; i < peer->connections; i++)
        fcntl(peer->ends[i], F_SETFD, 0);
    dup2(out, STDOUT_FILENO);
    execv(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

/* Until it has said so, or has ended. */
static int wait_until_ready(int in)
{
    static const char expected[] = "ready\n";
    char said[sizeof expected] = "";
    size_t length = 0;

    while (length < sizeof expected - 1) {
        struct pollfd line = {.fd = in, .events = POLLIN};
        ssize_t n = poll(&line, 1, PATIENCE_MS) == 1 ? read(in, said + length, sizeof expected - 1 - length) : 0;

        if (n <= 0)
            return -ETIME;
        length += (size_t)n;
    }
    return strcmp(said, expected) == 0 ? 0 : -EPROTO;
}

static int start(struct hog_peer *peer, char **argv)
{
    int line[2], err;

    if (pipe2(line, O_CLOEXEC) < 0)
        return -errno;
    peer->pid = fork();
    if (peer->pid == 0)
        become(peer, argv, line[1]);
    err = peer->pid < 0 ? -errno : 0;
    close(line[1]);
    for (long i = 0; i < peer->connections; i++)
        close(peer->ends[i]);
    if (!err)
        err = wait_until_ready(line[0]);
    close(line[0]);
    if (err && peer->pid > 0) {
        kill(peer->pid, SIGKILL);
        waitpid(peer->pid, NULL, 0);
    }
    return err;
}

int hog_peer_start(struct hog_peer *peer)
{
    size_t count = BEFORE_DESCRIPTORS + (size_t)peer->connections;
    char **argv = calloc(count + 2, sizeof *argv), (*texts)[TEXT_SIZE] = calloc(count, sizeof *texts);
    char *program = strdup(peer->program);
    int err = -ENOMEM;

    if (argv && texts && program) {
        argv[0] = program;
        set_arguments(peer, argv, texts);
        err = start(peer, argv);
    }
    free(program);
    free(texts);
    free(argv);
    return err;
}

int hog_peer_end(struct hog_peer *peer)
{
    int status;

    return waitpid(peer->pid, &status, 0) == peer->pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}
