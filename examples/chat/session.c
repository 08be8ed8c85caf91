/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A user has this long to tell its name, and to take what is sent. */
#define PATIENCE WHORL_SEC(10)
/* As many lines as are there go out together, up to this size. */
#define BATCH (4 * LINE_MAX_LENGTH)
/* What the kernel may hold for a reader that is slow, beside BEHIND_MAX lines. */
#define SEND_BUFFER (32 << 10)

/* The writer: a task of its own, so that the user is listened to while it is slow to read. */

static size_t fill_batch(struct user *user, struct line *line, char *batch)
{
    size_t used = 0;

    do {
        memcpy(batch + used, line->text, line->length);
        used += line->length;
        line_drop(line);
    } while (used + LINE_MAX_LENGTH <= BATCH && whorl_channel_try_recv(user->lines, &line) == 0);
    return used;
}

static intptr_t write_lines(void *arg)
{
    struct user *user = arg;
    char batch[BATCH];
    struct line *line;
    ssize_t sent = 0;

    while (sent >= 0 && whorl_channel_recv(user->lines, &line) == 0) {
        size_t size = fill_batch(user, line, batch);

        whorl_deadline(whorl_after(PATIENCE));
        sent = whorl_send_all(user->fd, batch, size, 0);
        whorl_deadline(WHORL_NEVER);
    }
    whorl_shutdown(user->fd, SHUT_RDWR); /* the reader's wait ends, too */
    return 0;
}

/* The reader. */

/* Returns 0, or -errno: the session is over. */
static int obey(struct user *user, char *line)
{
    int err;

    if (user->name[0] == '\0') {
        char text[NAME_MAX_LENGTH + 16];

        err = house_enter(user->house, user, line);
        if (err < 0) {
            house_tell(user, err == -EEXIST ? "* that name is taken" : "* a name is up to 31 letters, digits, - and _");
            return err;
        }
        whorl_deadline(WHORL_NEVER);
        snprintf(text, sizeof text, "* welcome, %s", user->name);
        return house_tell(user, text);
    }
    if (strncmp(line, "/join ", 6) == 0)
        err = house_join(user, line + 6);
    else if (strcmp(line, "/names") == 0)
        err = house_names(user);
    else if (strcmp(line, "/quit") == 0)
        return -ESHUTDOWN;
    else
        err = house_say(user, line);
    if (err == -ENOENT)
        return house_tell(user, "* you are in no room: /join one");
    if (err == -EINVAL)
        return house_tell(user, "* a room's name is up to 31 letters, digits, - and _");
    return err;
}

/* Obeys the lines that are complete, and moves the rest to the front. Returns 0, or -errno: the session is over. */
static int obey_lines(struct user *user, char *text, size_t *used)
{
    char *begin = text, *end;
    int err = 0;

    while (err == 0 && (end = memchr(begin, '\n', *used)) != NULL) {
        *end = '\0';
        if (end > begin && end[-1] == '\r')
            end[-1] = '\0';
        *used -= (size_t)(end + 1 - begin);
        err = obey(user, begin);
        begin = end + 1;
    }
    memmove(text, begin, *used);
    return err;
}

static void read_lines(struct user *user)
{
    char text[TEXT_MAX_LENGTH];
    size_t used = 0;
    ssize_t n;

    whorl_deadline(whorl_after(PATIENCE)); /* until it has a name */
    while ((n = whorl_recv(user->fd, text + used, sizeof text - used, 0)) > 0) {
        used += (size_t)n;
        if (obey_lines(user, text, &used) < 0)
            return;
        if (used == sizeof text) {
            house_tell(user, "* a line is up to 511 bytes");
            return;
        }
    }
}

/* Both. */

static void user_free(struct user *user)
{
    struct line *line;

    while (user->lines != NULL && whorl_channel_try_recv(user->lines, &line) == 0)
        line_drop(line);
    whorl_channel_destroy(user->lines);
    whorl_close(user->fd);
    free(user);
}

static intptr_t session(void *arg)
{
    struct user *user = arg;
    struct whorl_scope scope;

    whorl_scope_open(&scope);
    if (whorl_scope_spawn(&scope, write_lines, user) == 0)
        read_lines(user);
    house_leave(user);
    whorl_channel_close(user->lines); /* the writer sends what is there, then ends */
    whorl_scope_close(&scope);
    user_free(user);
    return 0; /* what a user does is no failure of the server's */
}

int session_start(struct whorl_scope *scope, struct house *house, int fd)
{
    struct user *user = calloc(1, sizeof *user);
    int err = -ENOMEM, size = SEND_BUFFER;

    if (user == NULL) {
        whorl_close(fd);
        return -ENOMEM;
    }
    user->house = house;
    user->fd = fd;
    user->lines = whorl_channel_create(sizeof(struct line *), BEHIND_MAX);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (user->lines != NULL)
        err = whorl_scope_spawn(scope, session, user);
    if (err < 0)
        user_free(user);
    return err;
}
