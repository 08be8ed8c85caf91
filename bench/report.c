/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "commit.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
#if defined(__clang__)
#define COMPILER "clang " TEXT(__clang_major__) "." TEXT(__clang_minor__) "." TEXT(__clang_patchlevel__)
#else
#define COMPILER "gcc " __VERSION__
#endif

/* jemalloc's, there when the program is linked with it. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size) __attribute__((weak));

static void print_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        if ((unsigned char)*text >= ' ')
            putchar(*text);
    }
    putchar('"');
}

static uint64_t jemalloc_allocated(void)
{
    uint64_t bytes = 0;
    size_t size = sizeof bytes;

    return mallctl("thread.allocated", &bytes, &size, NULL, 0) == 0 ? bytes : 0;
}

/* Linked is not yet in use: another malloc may stand before it (LD_PRELOAD), so see whether an allocation reaches it. */
static const char *allocator(void)
{
    uint64_t before;
    void *volatile probe;

    if (!mallctl)
        return "malloc";
    before = jemalloc_allocated();
    probe = malloc(64);
    free(probe);
    return jemalloc_allocated() > before ? "jemalloc" : "malloc";
}

static void cpu_model(char *model, size_t size)
{
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "re");

    snprintf(model, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');

        if (value && strncmp(line, "model name", 10) == 0) {
            value += 1 + strspn(value + 1, " ");
            value[strcspn(value, "\n")] = '\0';
            snprintf(model, size, "%s", value);
            break;
        }
    }
    if (f)
        fclose(f);
}

void bench_report_begin(const char *bench)
{
    fputs("{\"bench\":", stdout);
    print_string(bench);
}

void bench_report_text(const char *key, const char *value)
{
    printf(",\"%s\":", key);
    print_string(value);
}

void bench_report_count(const char *key, long value)
{
    printf(",\"%s\":%ld", key, value);
}

void bench_report_real(const char *key, double value)
{
    printf(",\"%s\":%.8g", key, value);
}

void bench_report_spread(const char *key, const struct bench_spread *spread)
{
    printf(",\"%s\":%.8g,\"%s_min\":%.8g,\"%s_max\":%.8g", key, spread->median, key, spread->min, key, spread->max);
}

void bench_report_end(void)
{
    struct utsname system = {0};
    char model[256];

    uname(&system);
    cpu_model(model, sizeof model);
    bench_report_text("commit", BENCH_COMMIT);
    bench_report_text("kernel", system.release);
    bench_report_text("allocator", allocator());
    bench_report_text("compiler", COMPILER);
    bench_report_text("cpu", model);
    puts("}");
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("standard output");
        exit(1);
    }
}
