/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define PORT        7000
#define WORKERS_MAX 1024
/* How long to wait for a descriptor or memory to wait with. */
#define PAUSE WHORL_MS(10)

static void print_usage(FILE *out, const char *about)
{
    fprintf(out,
            "usage: %s [options]\n%s SIGINT or SIGTERM ends it.\n\n"
            "  --port N     listen on port N of 127.0.0.1; 0: a free one (%d)\n"
            "  --workers N  run tasks on N threads (one per CPU)\n"
            "  --help       show this\n",
            program_invocation_short_name, about, PORT);
}

static int parse_number(const char *option, const char *text, int min, int max, const char *about)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "%s: --%s %s: not a number from %d to %d\n", program_invocation_short_name, option, text, min, max);
        print_usage(stderr, about);
        exit(2);
    }
    return (int)value;
}

static void parse_options(int argc, char **argv, const char *about, int *port, int *workers)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"workers", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            *port = parse_number("port", optarg, 0, 65535, about);
            break;
        case 'w':
            *workers = parse_number("workers", optarg, 1, WORKERS_MAX, about);
            break;
        case 'h':
            print_usage(stdout, about);
            exit(0);
        default:
            print_usage(stderr, about);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument: %s\n", program_invocation_short_name, argv[optind]);
        print_usage(stderr, about);
        exit(2);
    }
}

/* A descriptor per connection: as many as the system lets this process have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void server_wait(int port)
{
    static const int signals[] = {SIGINT, SIGTERM};
    int signal;

    printf("listening on 127.0.0.1:%d\n", port);
    fflush(stdout);
    do
        signal = whorl_signal_wait(signals, 2);
    while (signal < 0 && signal != -ECANCELED && (signal = whorl_sleep(PAUSE)) == 0);
}

int server_main(int argc, char **argv, const char *about, whorl_fn serve)
{
    struct whorl_options options = {.size = sizeof options, .exit_policy = WHORL_EXIT_CANCEL};
    int port = PORT;
    sigset_t stop;

    parse_options(argc, argv, about, &port, &options.workers);
    raise_descriptor_limit();

    /* Blocked before the workers start, so that all of them inherit it: whorl_signal_wait then gets the signals. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);

    return whorl_run(serve, &port, &options) == 0 ? 0 : 1;
}
