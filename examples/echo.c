/* SPDX-License-Identifier: MIT */
/* A TCP server that sends back what it receives: a task per connection, as straight-line code.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/echo --port 7000
 * Installed:           cc -O2 -o echo echo.c $(pkg-config --cflags --libs whorl) && ./echo --port 7000
 * Try it:              nc 127.0.0.1 7000 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <whorl/whorl.h>

#define WORKERS_MAX 1024
/* How long to wait for descriptors or memory to become free before another try. */
#define PAUSE WHORL_MS(10)

struct config {
    const char *host;
    int port;
    int workers; /* 0: whorl's default */
};

static intptr_t session(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[4096]; /* a page of the task's stack: what an idle connection costs */
    ssize_t n;

    while ((n = whorl_recv(fd, buffer, sizeof buffer, 0)) > 0)
        if ((n = whorl_send_all(fd, buffer, (size_t)n, 0)) < 0)
            break;
    whorl_close(fd);
    return n;
}

/* Gives the connection `fd` a task of its own. Returns 0 or -ENOMEM. */
static int start_session(int fd)
{
    struct whorl_spawn_options options = {.size = sizeof options, .name = "session"};
    struct whorl_task *task = whorl_spawn_with(session, (void *)(intptr_t)fd, &options);

    if (task == NULL) {
        whorl_close(fd);
        return -ENOMEM;
    }
    whorl_detach(task);
    return 0;
}

/* Starts a session for each connection until it is cancelled. */
static intptr_t accept_loop(void *arg)
{
    int listener = (int)(intptr_t)arg;
    int err = 0;

    while (err != -ECANCELED) {
        int fd = whorl_accept(listener);

        err = fd < 0 ? fd : start_session(fd);
        if (err < 0 && err != -ECANCELED && err != -ECONNABORTED)
            err = whorl_sleep(PAUSE);
    }
    return 0;
}

static const char *listen_error(int err)
{
    return err == -ENOENT ? "no such host" : err == -EAGAIN ? "the name service does not answer" : strerror(-err);
}

/* One accept task on each worker spreads the connections. Returns how many were started. */
static int start_accepting(int listener, struct whorl_task *tasks[])
{
    int started = 0;

    for (int i = 0; i < whorl_workers(); i++) {
        struct whorl_spawn_options options = {.size = sizeof options, .name = "accept", .worker = WHORL_WORKER(i)};

        tasks[started] = whorl_spawn_with(accept_loop, (void *)(intptr_t)listener, &options);
        if (tasks[started] != NULL)
            started++;
    }
    return started;
}

/* Waits for SIGINT or SIGTERM, if need be until there is a descriptor to wait with. Returns which, or -ECANCELED. */
static int wait_for_signal(void)
{
    static const int signals[] = {SIGINT, SIGTERM};
    int signal;

    do
        signal = whorl_signal_wait(signals, 2);
    while (signal < 0 && signal != -ECANCELED && (signal = whorl_sleep(PAUSE)) == 0);
    return signal;
}

/* The main task: listens until SIGINT or SIGTERM. Sessions that are left when it returns are cancelled by the runtime. */
static intptr_t serve(void *arg)
{
    const struct config *config = arg;
    struct whorl_task *tasks[WORKERS_MAX];
    int listener = whorl_tcp_listen(config->host, (uint16_t)config->port, NULL);
    int started, signal = 0;

    if (listener < 0) {
        fprintf(stderr, "echo: cannot listen on %s, port %d: %s\n", config->host, config->port, listen_error(listener));
        return 1;
    }
    started = start_accepting(listener, tasks);
    if (started > 0) {
        printf("listening on %s:%d\n", config->host, whorl_tcp_port(listener));
        fflush(stdout);
        signal = wait_for_signal();
    } else {
        fprintf(stderr, "echo: cannot start a task: out of memory\n");
    }
    while (started > 0) {
        whorl_cancel(tasks[--started]);
        whorl_join(tasks[started], NULL);
    }
    whorl_close(listener);
    return signal > 0 ? 0 : 1;
}

static void print_usage(FILE *out)
{
    fputs("usage: echo [options]\n"
          "Sends back whatever a TCP client sends. SIGINT or SIGTERM ends it.\n\n"
          "  --port N      listen on port N; 0: a free one (7000)\n"
          "  --host HOST   listen on this address; ::, every address (127.0.0.1)\n"
          "  --workers N   run tasks on N threads (one per CPU)\n"
          "  --help        show this\n",
          out);
}

static int parse_number(const char *option, const char *text, int min, int max)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "echo: --%s %s: not a number from %d to %d\n", option, text, min, max);
        print_usage(stderr);
        exit(2);
    }
    return (int)value;
}

static void parse_options(int argc, char **argv, struct config *config)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"host", required_argument, NULL, 'H'},
        {"workers", required_argument, NULL, 'w'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
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
        case 'h':
            print_usage(stdout);
            exit(0);
        default:
            print_usage(stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "echo: unexpected argument: %s\n", argv[optind]);
        print_usage(stderr);
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

int main(int argc, char **argv)
{
    struct config config = {.host = "127.0.0.1", .port = 7000};
    struct whorl_options options = {.size = sizeof options, .exit_policy = WHORL_EXIT_CANCEL};
    sigset_t stop;

    parse_options(argc, argv, &config);
    options.workers = config.workers;
    raise_descriptor_limit();

    /* Blocked before the workers start, so that all of them inherit it: whorl_signal_wait then gets the signals. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);

    return whorl_run(serve, &config, &options) == 0 ? 0 : 1;
}
