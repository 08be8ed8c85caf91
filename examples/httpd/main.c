/* SPDX-License-Identifier: MIT */
/* An HTTP/1.1 server: a task per connection, in straight-line code, that serves files and computes in the same tasks.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/httpd/httpd --port 8080 --root
 * /usr/share/doc Installed (with Debian's node-llhttp, whose parser it uses):
 *     cc -O2 -o httpd *.c /usr/share/llhttp/{api,http,llhttp}.c -I/usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1 \
 *         $(pkg-config --cflags --libs whorl) && ./httpd --port 8080
 * Try it: curl -i http://127.0.0.1:8080/ 'http://127.0.0.1:8080/sort?n=1000' */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server.h"

static void print_usage(FILE *out)
{
    fputs("usage: httpd [options]\n"
          "Serves HTTP/1.1: a greeting at /, /sort?n=N that computes, and files. SIGINT or SIGTERM ends it.\n\n"
          "  --port N           listen on port N; 0: a free one (8080)\n"
          "  --host HOST        listen on this address; ::, every address (127.0.0.1)\n"
          "  --workers N        run tasks on N threads (one per CPU)\n"
          "  --root DIR         serve the files below DIR\n"
          "  --idle SECONDS     close a connection that sends or takes nothing for this long (60)\n"
          "  --request SECONDS  a request has this long to arrive once it has begun (10)\n"
          "  --grace SECONDS    requests in progress have this long when the server is to stop (5)\n"
          "  --help             show this\n",
          out);
}

static int parse_number(const char *option, const char *text, int min, int max)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "httpd: --%s %s: not a number from %d to %d\n", option, text, min, max);
        print_usage(stderr);
        exit(2);
    }
    return (int)value;
}

static whorl_ns parse_seconds(const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value > 0 && value <= 86400)) {
        fprintf(stderr, "httpd: --%s %s: not a number of seconds up to a day\n", option, text);
        print_usage(stderr);
        exit(2);
    }
    return (whorl_ns)(value * (double)WHORL_SEC(1));
}

static void parse_options(int argc, char **argv, struct config *config)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},  {"host", required_argument, NULL, 'H'}, {"workers", required_argument, NULL, 'w'},
        {"root", required_argument, NULL, 'r'},  {"idle", required_argument, NULL, 'i'}, {"request", required_argument, NULL, 'q'},
        {"grace", required_argument, NULL, 'g'}, {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            config->port = parse_number("port", optarg, 0, 65535);
            break;
        case 'H':
            config->host = optarg;
            break;
        case 'w':
            config->workers = parse_number("workers", optarg, 1, WORKERS_MAX);
            break;
        case 'r':
            config->root = optarg;
            break;
        case 'i':
            config->idle = parse_seconds("idle", optarg);
            break;
        case 'q':
            config->request = parse_seconds("request", optarg);
            break;
        case 'g':
            config->grace = parse_seconds("grace", optarg);
            break;
        case 'h':
            print_usage(stdout);
            exit(0);
        default:
            print_usage(stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "httpd: unexpected argument: %s\n", argv[optind]);
        print_usage(stderr);
        exit(2);
    }
}

static int open_root(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        fprintf(stderr, "httpd: --root %s: %s\n", path, strerror(errno));
        exit(1);
    }
    return fd;
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

/* Before the workers start, so that all of them inherit it: the signals are then whorl_signal_wait's. */
static void block_stop_signals(void)
{
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
}

int main(int argc, char **argv)
{
    struct config config = {
        .host = "127.0.0.1", .port = 8080, .idle = WHORL_SEC(60), .request = WHORL_SEC(10), .grace = WHORL_SEC(5)};
    struct server server = {.config = &config, .root = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct whorl_options options = {.size = sizeof options, .exit_policy = WHORL_EXIT_CANCEL};
    intptr_t result;

    parse_options(argc, argv, &config);
    options.workers = config.workers;
    if (config.root != NULL)
        server.root = open_root(config.root);
    raise_descriptor_limit();
    block_stop_signals();
    result = whorl_run(server_run, &server, &options);
    if (server.root >= 0)
        close(server.root);
    return result == 0 ? 0 : 1;
}
