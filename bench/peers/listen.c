/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "listen.h"

#include "../options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void peer_fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(error));
    exit(1);
}

int peer_listen(const char *name, const char *what, int argc, char **argv)
{
    long port = 0;
    const struct bench_option options[] = {
        {.name = "port", .help = "port of 127.0.0.1 to listen on; 0: a free one", .number = &port, .min = 0, .max = 65535},
        {0},
    };
    const struct bench_command command = {.name = name, .what = what, .options = options};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd, one = 1;

    bench_options_read(&command, argc, argv);
    address.sin_port = htons((uint16_t)port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
        peer_fail("socket", errno);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        peer_fail("listen", errno);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}
