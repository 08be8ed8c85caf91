/* SPDX-License-Identifier: MIT */
/* Tests on the real reactor. */
#include <string.h>
#include <sys/socket.h>
#include <whorl/test.h>
#include <whorl/whorl.h>

WHORL_TEST(io, starts)
{
    WHORL_CHECK_STR(whorl_reactor(), "uring");
}

static intptr_t echo(void *arg)
{
    int fd = whorl_accept(*(int *)arg);
    char text[16];
    ssize_t n;

    while (fd >= 0 && (n = whorl_recv(fd, text, sizeof text, 0)) > 0)
        WHORL_CHECK_EQ(whorl_send_all(fd, text, (size_t)n, 0), n);
    return fd < 0 ? fd : whorl_close(fd);
}

WHORL_TEST(io, hears_what_it_said)
{
    int listener = whorl_tcp_listen("127.0.0.1", 0, NULL), fd;
    struct whorl_task *server = whorl_spawn(echo, &listener);
    intptr_t result = -1;
    char text[16] = "";

    WHORL_REQUIRE(listener >= 0 && server != NULL);
    fd = whorl_tcp_connect("127.0.0.1", (uint16_t)whorl_tcp_port(listener));
    WHORL_REQUIRE(fd >= 0);
    WHORL_CHECK_EQ(whorl_send_all(fd, "hello", 5, 0), 5);
    WHORL_CHECK_EQ(whorl_recv(fd, text, 5, MSG_WAITALL), 5);
    WHORL_CHECK_HAS(text, "ell");
    WHORL_CHECK_EQ(whorl_close(fd), 0);
    WHORL_CHECK_EQ(whorl_join(server, &result), 0);
    WHORL_CHECK_EQ(result, 0);
    WHORL_CHECK_EQ(whorl_close(listener), 0);
}
