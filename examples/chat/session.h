/* SPDX-License-Identifier: MIT */
/* A user's connection, from its coming to its going. */
#ifndef SESSION_H
#define SESSION_H

#include "house.h"

/* Starts a session for the connection `fd`, which is its own from now on, in `scope`. Returns 0, -ECANCELED or -ENOMEM. */
int session_start(struct whorl_scope *scope, struct house *house, int fd);

#endif
