/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 16, HELP = 'h' };

/* With the defaults only while the variables still hold them. */
static void print_usage(const struct bench_command *command, FILE *out, bool with_defaults)
{
    const struct bench_option *o;
    char label[64];

    fprintf(out, "usage: %s [options]\n%s\n\n", command->name, command->what);
    for (o = command->options; o->name; o++) {
        snprintf(label, sizeof label, "--%s %s", o->name, o->number ? "N" : o->seconds ? "SECONDS" : "TEXT");
        fprintf(out, "  %-22s %s", label, o->help);
        if (with_defaults && o->number && *o->number >= o->min)
            fprintf(out, " (default %ld)", *o->number);
        else if (with_defaults && o->seconds)
            fprintf(out, " (default %g)", *o->seconds);
        else if (with_defaults && o->text)
            fprintf(out, " (default %s)", *o->text);
        fputc('\n', out);
    }
    fprintf(out, "  %-22s %s\n", "--help", "print this and exit");
}

void bench_options_refuse(const struct bench_command *command, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", command->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    print_usage(command, stderr, false);
    exit(2);
}

static void set_value(const struct bench_command *command, const struct bench_option *o, const char *value)
{
    char *end = NULL;

    errno = 0;
    if (o->text) {
        *o->text = value;
    } else if (o->number) {
        long number = strtol(value, &end, 10);

        if (end == value || *end || errno || number < o->min || number > o->max)
            bench_options_refuse(command, "--%s: '%s' is not a number from %ld to %ld", o->name, value, o->min, o->max);
        *o->number = number;
    } else {
        double seconds = strtod(value, &end);

        if (end == value || *end || errno || !isfinite(seconds) || seconds < (double)o->min || seconds > (double)o->max)
            bench_options_refuse(command, "--%s: '%s' is not a time from %ld to %ld seconds", o->name, value, o->min, o->max);
        *o->seconds = seconds;
    }
}

void bench_options_read(const struct bench_command *command, int argc, char **argv)
{
    struct option longs[OPTIONS_MAX + 2] = {{0}};
    int count = 0, set = 0, found, which;

    for (; command->options[count].name; count++) {
        if (count == OPTIONS_MAX)
            abort();
        longs[count] = (struct option){.name = command->options[count].name, .has_arg = required_argument};
    }
    longs[count] = (struct option){.name = "help", .has_arg = no_argument, .val = HELP};

    opterr = 0;
    while ((found = getopt_long(argc, argv, "", longs, &which)) != -1) {
        if (found == HELP) {
            print_usage(command, stdout, set == 0);
            exit(0);
        }
        if (found != 0)
            bench_options_refuse(command, "'%s': no such option, or it lacks its value", argv[optind - 1]);
        set_value(command, &command->options[which], optarg);
        set++;
    }
    /* The size of a problem may stand by itself. */
    for (which = 0; which < count && strcmp(longs[which].name, "n") != 0; which++)
        continue;
    if (which < count && optind == argc - 1)
        set_value(command, &command->options[which], argv[optind++]);
    if (optind < argc)
        bench_options_refuse(command, "'%s' was not expected", argv[optind]);
}
