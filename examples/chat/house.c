/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "house.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct room {
    char name[NAME_MAX_LENGTH + 1];
    struct user *users; /* somebody, or it is not there */
    struct room *next;
};

/* A no-suspend region makes sure that nothing in between suspends, now and when somebody has changed it. */
static void lock(struct house *house)
{
    whorl_no_suspend_begin();
    pthread_mutex_lock(&house->lock);
}

static void unlock(struct house *house)
{
    pthread_mutex_unlock(&house->lock);
    whorl_no_suspend_end();
}

static bool is_name(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > NAME_MAX_LENGTH)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
            return false;
    return true;
}

/* Lines. */

__attribute__((format(printf, 1, 2))) static struct line *line_new(const char *format, ...)
{
    struct line *line = malloc(sizeof *line + LINE_MAX_LENGTH);
    va_list args;
    int n;

    if (line == NULL)
        return NULL;
    va_start(args, format);
    n = vsnprintf(line->text, LINE_MAX_LENGTH, format, args);
    va_end(args);
    if (n > LINE_MAX_LENGTH - 1)
        n = LINE_MAX_LENGTH - 1;
    line->text[n] = '\n';
    line->length = (unsigned)n + 1;
    line->owners = 1;
    return line;
}

void line_drop(struct line *line)
{
    if (__atomic_sub_fetch(&line->owners, 1, __ATOMIC_ACQ_REL) == 0)
        free(line);
}

/* Nobody waits for a slow reader: who has too many lines to read as it is loses the connection. */
static void deliver(struct user *user, struct line *line)
{
    __atomic_add_fetch(&line->owners, 1, __ATOMIC_RELAXED);
    if (whorl_channel_try_send(user->lines, &line) == 0)
        return;
    line_drop(line);
    if (!user->cut_off) {
        user->cut_off = true;
        user->house->cut_off++;
        whorl_shutdown(user->fd, SHUT_RDWR); /* its two tasks find out */
    }
}

static void deliver_to_room(struct room *room, struct line *line)
{
    for (struct user *user = room->users; user != NULL; user = user->next_in_room)
        deliver(user, line);
}

/* The house. Functions in this section are called with its lock. */

static struct user *find_user(struct house *house, const char *name)
{
    struct user *user = house->users;

    while (user != NULL && strcmp(user->name, name) != 0)
        user = user->next;
    return user;
}

static struct room *find_room(struct house *house, const char *name)
{
    struct room *room = house->rooms;

    while (room != NULL && strcmp(room->name, name) != 0)
        room = room->next;
    return room;
}

/* `goodbye` may be NULL: there was no memory for one. */
static void leave_room(struct user *user, struct line *goodbye)
{
    struct room *room = user->room, **in_house = &user->house->rooms;
    struct user **in_room;

    if (room == NULL)
        return;
    user->room = NULL;
    for (in_room = &room->users; *in_room != user;)
        in_room = &(*in_room)->next_in_room;
    *in_room = user->next_in_room;
    if (room->users != NULL) {
        if (goodbye != NULL)
            deliver_to_room(room, goodbye);
        return;
    }
    while (*in_house != room)
        in_house = &(*in_house)->next;
    *in_house = room->next;
    free(room);
}

/* `spare` is made the room if there is none of that name. Returns it if it is not needed. */
static struct room *enter_room(struct user *user, struct room *spare, struct line *hello)
{
    struct house *house = user->house;
    struct room *room = find_room(house, spare->name);

    if (room == NULL) {
        room = spare;
        spare = NULL;
        room->next = house->rooms;
        house->rooms = room;
    }
    user->next_in_room = room->users;
    room->users = user;
    user->room = room;
    deliver_to_room(room, hello);
    return spare;
}

/* What sessions call. */

int house_enter(struct house *house, struct user *user, const char *name)
{
    bool taken;

    if (!is_name(name))
        return -EINVAL;
    lock(house);
    taken = find_user(house, name) != NULL;
    if (!taken) {
        strcpy(user->name, name);
        user->next = house->users;
        house->users = user;
    }
    unlock(house);
    return taken ? -EEXIST : 0;
}

void house_leave(struct user *user)
{
    struct house *house = user->house;
    struct line *goodbye;

    if (user->name[0] == '\0')
        return;
    goodbye = line_new("* %s left", user->name);
    lock(house);
    for (struct user **at = &house->users; *at != NULL; at = &(*at)->next) {
        if (*at == user) {
            *at = user->next;
            break;
        }
    }
    leave_room(user, goodbye);
    unlock(house);
    if (goodbye != NULL)
        line_drop(goodbye);
}

int house_join(struct user *user, const char *name)
{
    struct line *hello, *goodbye;
    struct room *room = calloc(1, sizeof *room);
    int err = room == NULL ? -ENOMEM : is_name(name) ? 0 : -EINVAL;

    hello = line_new("* %s joined %s", user->name, name);
    goodbye = line_new("* %s left", user->name);
    if (hello == NULL || goodbye == NULL)
        err = -ENOMEM;
    if (err == 0) {
        strcpy(room->name, name);
        lock(user->house);
        leave_room(user, goodbye);
        room = enter_room(user, room, hello);
        unlock(user->house);
    }
    free(room);
    if (hello != NULL)
        line_drop(hello);
    if (goodbye != NULL)
        line_drop(goodbye);
    return err;
}

int house_say(struct user *user, const char *text)
{
    struct line *line;

    if (user->room == NULL) /* only its own session changes that */
        return -ENOENT;
    line = line_new("%s: %s", user->name, text);
    if (line == NULL)
        return -ENOMEM;
    lock(user->house);
    deliver_to_room(user->room, line);
    unlock(user->house);
    line_drop(line);
    return 0;
}

int house_names(struct user *user)
{
    char text[LINE_MAX_LENGTH];
    int used;

    if (user->room == NULL)
        return -ENOENT;
    lock(user->house);
    used = snprintf(text, sizeof text, "* in %s:", user->room->name);
    for (struct user *at = user->room->users; at != NULL && (size_t)used < sizeof text; at = at->next_in_room)
        used += snprintf(text + used, sizeof text - (size_t)used, " %s", at->name);
    unlock(user->house);
    return house_tell(user, text);
}

int house_tell(struct user *user, const char *text)
{
    struct line *line = line_new("%s", text);

    if (line == NULL)
        return -ENOMEM;
    lock(user->house);
    deliver(user, line);
    unlock(user->house);
    line_drop(line);
    return 0;
}
