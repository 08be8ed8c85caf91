/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "date.h"

#include <errno.h>
#include <string.h>

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static void put_two_digits(char *out, int value)
{
    out[0] = (char)('0' + value / 10 % 10);
    out[1] = (char)('0' + value % 10);
}

/* By hand, as strftime would ask the locale for the names. */
void date_format(time_t when, char out[DATE_LENGTH])
{
    struct tm tm = {0};

    gmtime_r(&when, &tm);
    memcpy(out, "ddd, dd mmm yyyy hh:mm:ss GMT", DATE_LENGTH);
    memcpy(out, days + (ptrdiff_t)tm.tm_wday * 3, 3);
    put_two_digits(out + 5, tm.tm_mday);
    memcpy(out + 8, months + (ptrdiff_t)tm.tm_mon * 3, 3);
    put_two_digits(out + 12, (tm.tm_year + 1900) / 100);
    put_two_digits(out + 14, tm.tm_year + 1900);
    put_two_digits(out + 17, tm.tm_hour);
    put_two_digits(out + 20, tm.tm_min);
    put_two_digits(out + 23, tm.tm_sec);
}

int date_parse(const char *text, size_t length, time_t *when)
{
    static const char *const formats[] = {
        "%a, %d %b %Y %H:%M:%S GMT ", /* the one in use; the space stands for any that follows the value */
        "%A, %d-%b-%y %H:%M:%S GMT ", /* RFC 850 */
        "%a %b %d %H:%M:%S %Y ",      /* asctime */
    };
    char copy[40];

    if (length >= sizeof copy)
        return -EINVAL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(copy, formats[i], &tm);

        if (end != NULL && *end == '\0') {
            *when = timegm(&tm);
            return 0;
        }
    }
    return -EINVAL;
}

void date_refresh(struct date_cache *cache)
{
    struct timespec now;

    /* Exact to a few milliseconds, and the cheapest clock there is. */
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != cache->second) {
        cache->second = now.tv_sec;
        date_format(now.tv_sec, cache->text);
    }
}
