/* SPDX-License-Identifier: MIT */
/* Files below a directory. */
#ifndef HTTPD_FILES_H
#define HTTPD_FILES_H

#include "response.h"

/* Answers with the regular file `path` (which begins with a slash) below the directory `root`, for a directory with its
 * index.html. No path, nor any symbolic link on its way, leads out of `root`. Suspends. */
void files_answer(struct output *out, const struct request *request, int root, const char *path);

#endif
