/* SPDX-License-Identifier: MIT */
/* Looks at what tests have counted in a build with pauses: a point that no thread has ever passed says that the step is not tested, or
 * gone. */
#include "tests/support/pause.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
} points[] = {
#define POINT(name, locked, text) {#name, text},
    WHORL__PAUSE_POINTS(POINT)
#undef POINT
};

static bool read_counts(const char *path, struct pause_counts *counts)
{
    FILE *f = fopen(path, "re");
    bool whole = f && fread(counts, sizeof *counts, 1, f) == 1;

    if (!whole)
        fprintf(stderr, "%s: not the counts of a run with WHORL_PAUSE_COUNTS\n", path);
    if (f)
        fclose(f);
    return whole;
}

int main(int argc, char **argv)
{
    struct pause_counts counts;
    int failed = 0;

    if (argc != 2 || (argv[1][0] == '-' && strcmp(argv[1], "--help") != 0)) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0)
        return printf("usage: %s FILE\nFILE: what WHORL_PAUSE_COUNTS was when the tests ran\n", argv[0]) < 0;
    if (!read_counts(argv[1], &counts))
        return 1;
    printf("1..%d\n", WHORL__PAUSE_COUNT);
    for (int i = 0; i < WHORL__PAUSE_COUNT; i++) {
        bool ok = counts.passed[i] > 0;

        failed += !ok;
        printf("%sok %d - %s (%s): passed %" PRIu64 " times, paused %" PRIu64 " times\n", ok ? "" : "not ", i + 1, points[i].name,
               points[i].text, counts.passed[i], counts.paused[i]);
    }
    return failed > 0;
}
