/* SPDX-License-Identifier: MIT */
/* The tutorial's long computation beside two short ones, in all its versions: one after the other; as tasks that never let go; with
 * a sleep in between; with results; without waiting for them; with what is done whatever happens; and on two workers.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/find_divisibles yield
 * Installed:           cc -O2 -o find_divisibles find_divisibles.c $(pkg-config --cflags --libs whorl) && ./find_divisibles yield */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <whorl/whorl.h>

#define JOBS 3

struct job {
    int inrange, div_by;
    int pause_every; /* sleeps a moment whenever it has done so many; 0: never */
    int *located;    /* the caller's to free, also after an error */
    size_t count;
};

static int append(struct job *job, int number)
{
    if ((job->count & (job->count - 1)) == 0) { /* the room doubles at each power of two */
        int *more = realloc(job->located, (job->count > 0 ? 2 * job->count : 1) * sizeof *more);

        if (more == NULL)
            return -ENOMEM;
        job->located = more;
    }
    job->located[job->count++] = number;
    return 0;
}

static intptr_t find_divisibles(void *arg)
{
    struct job *job = arg;
    int err;

    printf("finding nums in range %d divisible by %d\n", job->inrange, job->div_by);
    if (job->div_by == 0)
        return -EDOM;
    for (int i = 0; i < job->inrange; i++) {
        if (i % job->div_by == 0 && (err = append(job, i)) < 0)
            return err;
        if (job->pause_every > 0 && i % job->pause_every == 0 && (err = whorl_sleep(WHORL_US(100))) < 0)
            return err;
    }
    printf("Done w/ nums in range %d divisible by %d\n", job->inrange, job->div_by);
    return 0;
}

static void print_located(const struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        printf("%s%d", i == 0 ? "[" : ", ", job->located[i]);
    puts(job->count == 0 ? "[]" : "]");
}

/* The main tasks. */

static intptr_t one_after_the_other(void *arg)
{
    struct job *jobs = arg;
    intptr_t result = 0;

    for (int i = 0; i < JOBS && result >= 0; i++)
        result = find_divisibles(&jobs[i]);
    return result;
}

/* asyncio.wait(): the scope's end is the end of all of them. */
static intptr_t as_tasks(void *arg)
{
    struct job *jobs = arg;
    struct whorl_scope scope;
    int err = 0;

    whorl_scope_open(&scope);
    for (int i = 0; i < JOBS && err == 0; i++)
        err = whorl_scope_spawn(&scope, find_divisibles, &jobs[i]);
    if (err < 0)
        whorl_scope_fail(&scope, err);
    return whorl_scope_close(&scope);
}

static intptr_t with_results(void *arg)
{
    intptr_t result = as_tasks(arg);

    if (result >= 0)
        print_located(arg);
    return result;
}

/* The mistake: nobody waits for them. They are not lost: whorl_run does, or cancels them, and names each one. */
static intptr_t without_waiting(void *arg)
{
    struct job *jobs = arg;

    for (int i = 0; i < JOBS; i++)
        if (whorl_spawn(find_divisibles, &jobs[i]) == NULL)
            return -ENOMEM;
    return 0;
}

static const struct job tutorial[JOBS] = {
    {.inrange = 508000, .div_by = 34113}, {.inrange = 100052, .div_by = 3210}, {.inrange = 500, .div_by = 3}};
static const struct job dividing_by_zero[JOBS] = {
    {.inrange = 508000, .div_by = 34113}, {.inrange = 100052, .div_by = 0}, {.inrange = 500, .div_by = 3}};
static const struct job longer[JOBS] = {
    {.inrange = 50800012, .div_by = 3411321}, {.inrange = 100052, .div_by = 3210}, {.inrange = 500, .div_by = 3}};

static const struct version {
    const char *name, *about;
    whorl_fn main;
    const struct job *jobs;
    int pause_every;
    int workers;
} versions[] = {
    {"sequential", "one after the other", one_after_the_other, tutorial, 0, 1},
    {"async", "tasks that never let go of their worker", as_tasks, tutorial, 0, 1},
    {"yield", "tasks that sleep now and then", as_tasks, tutorial, 500000, 1},
    {"results", "and the first one's result", with_results, tutorial, 500000, 1},
    {"forgot", "a main that forgets to wait", without_waiting, tutorial, 500000, 1},
    {"finally", "the tutorial's full script", with_results, tutorial, 50000, 1},
    {"failure", "the same, when one divides by zero", with_results, dividing_by_zero, 50000, 1},
    {"parallel", "tasks that never let go, on two workers", as_tasks, longer, 0, 2},
};
#define VERSIONS (sizeof versions / sizeof versions[0])

static void print_usage(FILE *out)
{
    fputs("usage: find_divisibles VERSION\nLists the numbers divisible by another, three times:\n\n", out);
    for (size_t i = 0; i < VERSIONS; i++)
        fprintf(out, "  %-11s %s\n", versions[i].name, versions[i].about);
    fputs("  --help      show this\n", out);
}

static const struct version *find_version(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < VERSIONS; i++)
        if (strcmp(argv[1], versions[i].name) == 0)
            return &versions[i];
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_usage(stdout);
        exit(0);
    }
    print_usage(stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    const struct version *version = find_version(argc, argv);
    struct whorl_options options = {.size = sizeof options, .workers = version->workers};
    struct job jobs[JOBS];
    intptr_t result;

    for (int i = 0; i < JOBS; i++) {
        jobs[i] = version->jobs[i];
        jobs[i].pause_every = version->pause_every;
    }
    result = whorl_run(version->main, jobs, &options);
    if (result < 0)
        fprintf(stderr, "find_divisibles: %s\n", strerror((int)-result));

    /* finally: whorl_run has closed the loop, in whatever way it ended; what is left is what belongs to main. */
    for (int i = 0; i < JOBS; i++)
        free(jobs[i].located);
    return result < 0 ? 1 : 0;
}
