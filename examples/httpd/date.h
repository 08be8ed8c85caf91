/* SPDX-License-Identifier: MIT */
/* HTTP's dates: "Sun, 06 Nov 1994 08:49:37 GMT". */
#ifndef HTTPD_DATE_H
#define HTTPD_DATE_H

#include <stddef.h>
#include <time.h>

#define DATE_LENGTH 29

/* Writes `when` to `out`, without a NUL. */
void date_format(time_t when, char out[DATE_LENGTH]);

/* Reads any of the three formats that RFC 9110 (5.6.7) asks for. Returns 0, or -EINVAL. */
int date_parse(const char *text, size_t length, time_t *when);

/* The current date as text, put together at most once a second. Each connection has its own: a task moves between threads, so a
 * thread-local one would be wrong, and one for all would be fought over. */
struct date_cache {
    time_t second;
    char text[DATE_LENGTH];
};

/* Brings `cache`, all zero at first, up to now. */
void date_refresh(struct date_cache *cache);

#endif
