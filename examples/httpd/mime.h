/* SPDX-License-Identifier: MIT */
/* What a file's name says about its content. */
#ifndef HTTPD_MIME_H
#define HTTPD_MIME_H

/* The content type of a file of this name, by its extension; application/octet-stream when it says nothing. */
const char *mime_type(const char *path);

#endif
