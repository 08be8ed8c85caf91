/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Replaces %XX by the byte it stands for, in place. Returns 0 or -EINVAL. */
static int decode(char *path)
{
    char *to = path;

    for (const char *from = path; *from != '\0'; from++) {
        char byte = *from;

        if (byte == '%') {
            int high = hex_digit(from[1]), low = high < 0 ? -1 : hex_digit(from[2]);

            if (low < 0 || (high == 0 && low == 0))
                return -EINVAL;
            byte = (char)(high * 16 + low);
            from += 2;
        }
        *to++ = byte;
    }
    *to = '\0';
    return 0;
}

/* Proxies ask for "http://host/path"; every server has to understand it (RFC 9112, 3.2.2). Returns where the path begins. */
static char *skip_origin(char *text)
{
    static const char scheme[] = "http://";
    char *path;

    if (strncasecmp(text, scheme, sizeof scheme - 1) != 0)
        return text;
    path = strpbrk(text + sizeof scheme - 1, "/?#");
    if (path == NULL || *path != '/') {
        /* No path at all means "/": there is room for it where the origin was. */
        path = path == NULL ? text + strlen(text) - 1 : path - 1;
        *path = '/';
    }
    return path;
}

int target_parse(struct text text, struct target *target)
{
    char *path, *end;

    text.at[text.length] = '\0';
    if (strlen(text.at) != text.length)
        return -EINVAL;
    path = skip_origin(text.at);
    if (*path != '/')
        return -EINVAL;
    path[strcspn(path, "#")] = '\0';
    end = path + strcspn(path, "?");
    target->path = path;
    target->query = *end == '?' ? end + 1 : end;
    *end = '\0';
    return decode(path);
}

int target_number(const struct target *target, const char *name, unsigned long min, unsigned long max, unsigned long *value)
{
    size_t length = strlen(name);
    const char *at = target->query;
    char *end;

    while (strncmp(at, name, length) != 0 || at[length] != '=') {
        at = strchr(at, '&');
        if (at == NULL)
            return -ENOENT;
        at++;
    }
    at += length + 1;
    if (*at < '0' || *at > '9')
        return -EINVAL;
    errno = 0;
    *value = strtoul(at, &end, 10);
    if (*end != '\0' && *end != '&')
        return -EINVAL;
    return errno == ERANGE || *value < min || *value > max ? -ERANGE : 0;
}
