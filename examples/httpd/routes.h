/* SPDX-License-Identifier: MIT */
/* Which request is answered by what. */
#ifndef HTTPD_ROUTES_H
#define HTTPD_ROUTES_H

#include "output.h"
#include "request.h"

/* Puts the answer to `request`. `root`: the directory whose files are served, or -1. Suspends. */
void routes_answer(struct output *out, const struct request *request, int root);

#endif
