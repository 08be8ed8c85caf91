/* SPDX-License-Identifier: MIT */
/* One workload, units that wait and then compute, done in five ways: one after the other; by a thread for each; by a process for each;
 * by tasks on one worker, as asyncio would; by tasks on all workers. What each way takes is printed, and plotted.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/compare --plot compare.svg
 * Installed:           cc -O2 -o compare compare.c $(pkg-config --cflags --libs whorl) && ./compare --plot compare.svg */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <whorl/whorl.h>

#define UNITS_MAX 10000

extern char **environ;

struct unit {
    whorl_ns wait;
    long steps; /* to compute */
    uint32_t result;
};

struct workload {
    struct unit *units; /* memory that is shared with processes */
    long count;
};

/* Steps of a random number generator: they depend on each other, so that none can be left out. */
static uint32_t compute(long steps)
{
    uint32_t x = 1;

    for (long i = 0; i < steps; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
    }
    return x;
}

/* As a thread or a process does it: the wait blocks. */
static void do_unit(struct unit *unit)
{
    struct timespec left = {unit->wait / WHORL_SEC(1), unit->wait % WHORL_SEC(1)};

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
    unit->result = compute(unit->steps);
}

static int one_after_the_other(struct workload *work)
{
    for (long i = 0; i < work->count; i++)
        do_unit(&work->units[i]);
    return 0;
}

static void *thread_main(void *arg)
{
    do_unit(arg);
    return NULL;
}

static int by_threads(struct workload *work)
{
    pthread_t *threads = calloc((size_t)work->count, sizeof *threads);
    long started = 0;
    int err = threads == NULL ? ENOMEM : 0;

    while (err == 0 && started < work->count) {
        err = pthread_create(&threads[started], NULL, thread_main, &work->units[started]);
        started += err == 0;
    }
    while (started > 0)
        pthread_join(threads[--started], NULL);
    free(threads);
    return -err;
}

static int by_processes(struct workload *work)
{
    long started = 0;
    int err = 0, status;

    while (err == 0 && started < work->count) {
        pid_t pid = fork();

        if (pid == 0) {
            do_unit(&work->units[started]);
            _exit(0);
        }
        err = pid < 0 ? -errno : 0;
        started += pid > 0;
    }
    for (; started > 0; started--)
        if (wait(&status) < 0 || status != 0)
            err = -ECHILD;
    return err;
}

/* As a task does it: the wait lets others run. */
static intptr_t task_main(void *arg)
{
    struct unit *unit = arg;
    int err = whorl_sleep(unit->wait);

    if (err == 0)
        unit->result = compute(unit->steps);
    return err;
}

static intptr_t run_tasks(void *arg)
{
    struct workload *work = arg;

    return whorl_map(task_main, work->units, sizeof work->units[0], (size_t)work->count, (size_t)work->count, NULL);
}

static int by_tasks(struct workload *work, int workers)
{
    struct whorl_options options = {.size = sizeof options, .workers = workers};

    return (int)whorl_run(run_tasks, work, &options);
}

static int by_one_worker(struct workload *work)
{
    return by_tasks(work, 1);
}

static int by_all_workers(struct workload *work)
{
    return by_tasks(work, 0);
}

static const struct way {
    const char *name;
    int (*run)(struct workload *work);
} ways[] = {
    {"one after the other", one_after_the_other},
    {"threads", by_threads},
    {"processes", by_processes},
    {"one worker", by_one_worker},
    {"all workers", by_all_workers},
};
#define WAYS (sizeof ways / sizeof ways[0])

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Runs the workload that way, and looks whether it was done. Returns the seconds it took, or < 0. */
static double measure(const struct way *way, struct workload *work)
{
    uint32_t wanted = compute(work->units[0].steps);
    double begun, took;
    int err;

    for (long i = 0; i < work->count; i++)
        work->units[i].result = 0;
    begun = seconds_now();
    err = way->run(work);
    took = seconds_now() - begun;
    for (long i = 0; err >= 0 && i < work->count; i++)
        if (work->units[i].result != wanted)
            err = -EIO;
    if (err < 0) {
        fprintf(stderr, "compare: %s: %s\n", way->name, strerror(-err));
        return -1;
    }
    printf("%-20s %8.3f s\n", way->name, took);
    fflush(stdout); /* or processes would print it again */
    return took;
}

/* Starts gnuplot, which reads from *out. Returns 0 or an errno. */
static int start_gnuplot(pid_t *pid, FILE **out)
{
    char *argv[] = {(char[]){"gnuplot"}, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], err;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return errno;
    err = posix_spawn_file_actions_init(&actions);
    if (err == 0) {
        err = posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
        if (err == 0)
            err = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[0]);
    *out = err == 0 ? fdopen(ends[1], "w") : NULL;
    if (*out == NULL)
        close(ends[1]);
    return err;
}

static int plot(const double took[], const struct workload *work, const char *path)
{
    int err, status = -1;
    pid_t pid;
    FILE *out = NULL;

    signal(SIGPIPE, SIG_IGN); /* gnuplot's end shows in its status */
    err = start_gnuplot(&pid, &out);
    if (err != 0) {
        fprintf(stderr, "compare: %s\n", err == ENOENT ? "gnuplot is not installed (Debian: gnuplot-nox)" : strerror(err));
        return -1;
    }
    if (out != NULL) {
        fprintf(out,
                "set terminal svg size 800,400 background 'white' noenhanced\nset output '%s'\n"
                "set title '%ld units, each waits %.0f ms and computes %ld steps'\nset ylabel 'seconds'\nset yrange [0:*]\n"
                "set style fill solid 0.6\nset boxwidth 0.6\nunset key\n$took << END\n",
                path, work->count, (double)work->units[0].wait / 1e6, work->units[0].steps);
        for (size_t i = 0; i < WAYS; i++)
            fprintf(out, "%zu %.6f \"%s\" \"%.3f\"\n", i, took[i], ways[i].name, took[i]);
        fputs("END\nplot $took using 1:2:xtic(3) with boxes, $took using 1:2:4 with labels offset 0,0.7\n", out);
        fclose(out);
    }
    waitpid(pid, &status, 0);
    if (status != 0)
        fprintf(stderr, "compare: gnuplot could not draw %s\n", path);
    return status == 0 ? 0 : -1;
}

static int print_usage(FILE *out, int status)
{
    fprintf(out,
            "usage: compare [options]\n"
            "Does a workload one after the other, by threads, processes, tasks on one worker and on all.\n\n"
            "  --units N    so many units, 1 to %d (100)\n"
            "  --wait MS    each waits so long, 0 to 10000 (10)\n"
            "  --steps N    then computes so many steps, 0 to 1000000000 (1000000)\n"
            "  --plot FILE  draw the result as SVG, with gnuplot; the name must not contain '\n"
            "  --help       show this\n",
            UNITS_MAX);
    return status;
}

static long parse_number(const char *text, long min, long max)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end != '\0' || value < min || value > max) {
        fprintf(stderr, "compare: %s: not a number from %ld to %ld\n", text, min, max);
        exit(print_usage(stderr, 2));
    }
    return value;
}

static int compare(long count, long wait_ms, long steps, const char *path)
{
    size_t size = (size_t)count * sizeof(struct unit);
    struct workload work = {.count = count};
    double took[WAYS];
    int ok = 1;

    work.units = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (work.units == MAP_FAILED) {
        fprintf(stderr, "compare: %s\n", strerror(errno));
        return 1;
    }
    for (long i = 0; i < count; i++)
        work.units[i] = (struct unit){.wait = WHORL_MS(wait_ms), .steps = steps};
    for (size_t i = 0; ok && i < WAYS; i++)
        ok = (took[i] = measure(&ways[i], &work)) >= 0;
    if (ok && path != NULL)
        ok = plot(took, &work, path) == 0;
    munmap(work.units, size);
    return !ok;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"units", required_argument, NULL, 'u'}, {"wait", required_argument, NULL, 'w'}, {"steps", required_argument, NULL, 's'},
        {"plot", required_argument, NULL, 'p'},  {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0},
    };
    long units = 100, wait_ms = 10, steps = 1000000;
    const char *path = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'u':
            units = parse_number(optarg, 1, UNITS_MAX);
            break;
        case 'w':
            wait_ms = parse_number(optarg, 0, 10000);
            break;
        case 's':
            steps = parse_number(optarg, 0, 1000000000);
            break;
        case 'p':
            path = optarg;
            break;
        case 'h':
            return print_usage(stdout, 0);
        default:
            return print_usage(stderr, 2);
        }
    }
    if (optind < argc || (path != NULL && strchr(path, '\'') != NULL))
        return print_usage(stderr, 2);
    return compare(units, wait_ms, steps, path);
}
