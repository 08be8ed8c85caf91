/* SPDX-License-Identifier: MIT */
/* Who is there, in which room, and what is said to whom. */
#ifndef HOUSE_H
#define HOUSE_H

#include <pthread.h>
#include <stdbool.h>

#include <whorl/whorl.h>

#define NAME_MAX_LENGTH 31
/* Of what a user may write, and of what it may be sent, both with the newline. */
#define TEXT_MAX_LENGTH 512
#define LINE_MAX_LENGTH 1024
/* Lines that may wait for a user to take them. Who is further behind is cut off. */
#define BEHIND_MAX 256

/* A line on its way to any number of users. */
struct line {
    unsigned owners; /* atomic */
    unsigned length; /* of `text`, with the newline */
    char text[];
};

struct room;

/* A connection. Its session's, which takes it out of the house before it frees it. */
struct user {
    struct house *house;
    int fd;
    struct whorl_channel *lines;    /* struct line *, owned, for the user */
    char name[NAME_MAX_LENGTH + 1]; /* "": not in the house yet */
    struct room *room;              /* the house's lock guards this and what follows */
    struct user *next;              /* in the house */
    struct user *next_in_room;
    bool cut_off;
};

struct house {
    /* Held for a few instructions, and never over a call that suspends: a mutex of the operating system's is all it takes. */
    pthread_mutex_t lock;
    struct user *users;
    struct room *rooms;
    unsigned cut_off; /* users so far */
};

/* Lets `user` in under `name`. Returns 0; -EEXIST: somebody has that name; -EINVAL: it is no name. */
int house_enter(struct house *house, struct user *user, const char *name);

/* Takes `user`, who need not be in, out of its room and the house. Nobody sends it anything after this. */
void house_leave(struct user *user);

/* Moves `user` to the room `name`, and tells those who are there. Returns 0, -EINVAL: it is no name; -ENOMEM. */
int house_join(struct user *user, const char *name);

/* Says `text` in the name of `user` to all in its room, itself too. Returns 0; -ENOENT: it is in none; -ENOMEM. */
int house_say(struct user *user, const char *text);

/* Tells `user` who is in its room: as many names as there is room for in a line. Returns as house_say. */
int house_names(struct user *user);

/* Tells `user` alone, without waiting. Returns 0, -ENOMEM. */
int house_tell(struct user *user, const char *text);

/* Gives up an owner's share of `line`. */
void line_drop(struct line *line);

#endif
