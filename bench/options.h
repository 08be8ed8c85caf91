/* SPDX-License-Identifier: MIT */
/* The command line of every program here: one table says which options there are, what they set and what --help prints. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

/* One option, which takes a value. Of number, seconds and text exactly one is set: where the value goes, holding the default. */
struct bench_option {
    const char *name; /* without the dashes */
    const char *help;
    long *number;
    double *seconds;
    const char **text;
    long min, max; /* bounds of a number or of seconds */
};

/* What a program or a workload is called by and what it takes. */
struct bench_command {
    const char *name;                   /* such as "whorl-bench yield" */
    const char *what;                   /* one sentence */
    const struct bench_option *options; /* ends with an option without a name */
};

/* Reads argv[1] and on into the variables of `command`'s options. The value of an option called "n" may stand without its name. --help prints them and exits 0; anything wrong prints the reason
 * and the usage on standard error and exits 2. */
void bench_options_read(const struct bench_command *command, int argc, char **argv);

/* Says why the command line is wrong, prints the usage, exits 2. For what one option alone cannot tell. */
void bench_options_refuse(const struct bench_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#endif
