/* SPDX-License-Identifier: MIT */
/* A chat server: rooms, names, and a line of text that reaches all in the room at once. Two tasks for each user; who does not read what it
 * is sent is cut off, and delays nobody.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/chat/chat --port 7000
 * Installed:           cc -O2 -o chat main.c house.c session.c ../tutorials/server.c -I../tutorials $(pkg-config --cflags --libs whorl)
 * Try it, twice:       nc 127.0.0.1 7000, then a name, /join a room, and what there is to say; /names, /quit */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server.h"
#include "session.h"

/* How long to wait for descriptors or memory to become free before another try. */
#define PAUSE WHORL_MS(10)

struct door {
    struct whorl_scope sessions; /* and the task that lets them in */
    struct house house;
    int listener;
};

static intptr_t let_in(void *arg)
{
    struct door *door = arg;
    int err = 0;

    while (err != -ECANCELED) {
        int fd = whorl_accept(door->listener);

        err = fd < 0 ? fd : session_start(&door->sessions, &door->house, fd);
        if (err < 0 && err != -ECANCELED && err != -ECONNABORTED)
            err = whorl_sleep(PAUSE);
    }
    return 0;
}

static intptr_t serve(void *arg)
{
    struct door door = {.house.lock = PTHREAD_MUTEX_INITIALIZER};
    const int *port = arg;
    int err;

    door.listener = whorl_tcp_listen("127.0.0.1", (uint16_t)*port, NULL);
    if (door.listener < 0) {
        fprintf(stderr, "chat: cannot listen on port %d: %s\n", *port, strerror(-door.listener));
        return door.listener;
    }
    whorl_scope_open(&door.sessions);
    err = whorl_scope_spawn(&door.sessions, let_in, &door);
    if (err == 0)
        server_wait(whorl_tcp_port(door.listener));
    whorl_scope_cancel(&door.sessions, "the server stops");
    whorl_scope_close(&door.sessions);
    whorl_close(door.listener);
    printf("%u users cut off\n", door.house.cut_off);
    return err;
}

int main(int argc, char **argv)
{
    return server_main(argc, argv, "A chat server: a name, /join ROOM, then text; /names; /quit.", serve);
}
