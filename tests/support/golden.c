/* SPDX-License-Identifier: MIT */
#include "golden.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

enum { TEXT_SIZE = 1 << 16, ADDRESSES_MAX = 26 };

/* The text being masked: never longer than it was. */
struct mask {
    const char *from;
    char *to;
    unsigned long long addresses[ADDRESSES_MAX];
    int count;
};

static void copy(struct mask *m, size_t n)
{
    while (n-- > 0)
        *m->to++ = *m->from++;
}

static bool at(const struct mask *m, const char *part)
{
    return strncmp(m->from, part, strlen(part)) == 0;
}

static void put(struct mask *m, const char *part)
{
    while (*part)
        *m->to++ = *part++;
}

static void mask_address(struct mask *m)
{
    char *end, letter[2] = "?";
    unsigned long long address = strtoull(m->from, &end, 16);
    int i = 0;

    while (i < m->count && m->addresses[i] != address)
        i++;
    if (i == m->count && i < ADDRESSES_MAX)
        m->addresses[m->count++] = address;
    if (i < ADDRESSES_MAX)
        letter[0] = (char)('A' + i);
    m->from = end;
    put(m, "0x");
    put(m, letter);
}

static void skip_digits(struct mask *m)
{
    while (isdigit((unsigned char)*m->from))
        m->from++;
}

/* The lines of a trace, from the one that `from` is in, become one. */
static bool mask_trace(struct mask *m)
{
    bool found = false;

    for (;;) {
        size_t length = strcspn(m->from, "\n");

        if (length == 0 || m->from[length - 1] != ']' || !memmem(m->from, length, "[0x", 3))
            break;
        m->from += length + (m->from[length] == '\n');
        found = true;
    }
    if (found)
        put(m, "...\n");
    return found;
}

static void mask(char *text)
{
    struct mask m = {.from = text, .to = text};

    while (*m.from) {
        if ((m.from == text || m.from[-1] == '\n') && mask_trace(&m))
            continue;
        if (at(&m, "qemu: uncaught target signal")) /* the emulator's own words, at the end */
            break;
        if (at(&m, "0x") && isxdigit((unsigned char)m.from[2])) {
            mask_address(&m);
        } else if (at(&m, ", since ")) {
            copy(&m, strlen(", since "));
            skip_digits(&m);
            put(&m, "*");
        } else if (at(&m, "\n  worker ")) {
            copy(&m, strlen("\n  worker "));
            copy(&m, strcspn(m.from, ":\n"));
            m.from += strcspn(m.from, "\n");
            put(&m, ": ...");
        } else {
            copy(&m, 1);
        }
    }
    *m.to = '\0';
}

/* The file's text below the source tree; to be freed. */
static char *read_text(const char *path)
{
    char name[512], *text = calloc(1, TEXT_SIZE);
    FILE *f;

    snprintf(name, sizeof name, "%s/%s", WHORL_SOURCE_ROOT, path);
    f = fopen(name, "re");
    if (!f || !text) {
        fprintf(stderr, "%s: cannot be read\n", name);
        abort();
    }
    if (fread(text, 1, TEXT_SIZE - 1, f) == TEXT_SIZE - 1 || ferror(f)) {
        fprintf(stderr, "%s: too long\n", name);
        abort();
    }
    fclose(f);
    return text;
}

/* As a block of code in Markdown. To be freed. */
static char *indent(const char *text)
{
    char *block = calloc(5, strlen(text) + 1), *to = block;
    bool start = true;

    if (!block)
        abort();
    for (; *text; text++) {
        if (start)
            to = stpcpy(to, "    ");
        start = *text == '\n';
        *to++ = *text;
    }
    return block;
}

void check_golden(const char *name, char *text)
{
    char path[128], *golden, *page, *block;

    snprintf(path, sizeof path, "tests/golden/%s.txt", name);
    golden = read_text(path);
    page = read_text("docs/debugging.md");
    block = indent(golden);
    mask(text);
    CHECK_STR(text, golden);
    CHECK_HAS(page, block);
    free(block);
    free(page);
    free(golden);
}
