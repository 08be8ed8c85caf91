/* SPDX-License-Identifier: MIT */
/* A web server that answers at once and works later, in a scope that lives as long as it does; and slow handlers, which compute or
 * block, and delay nobody: other workers take over what would wait for theirs, and there is a pool of threads for what blocks.
 *
 *   POST /jobs?ms=N   202 and the job's number; it takes N milliseconds
 *   GET /jobs/N       how it is doing: running, done or cancelled
 *   GET /hello        says hello
 *   GET /compute      computes until there is a release, and never lets go of its worker
 *   GET /polite       the same, with a checkpoint in the loop: as many as there are may do so
 *   GET /block        blocks its worker in a system call until there is a release
 *   GET /pooled       blocks a thread of the pool for such code instead
 *   GET /release      ends what computes and blocks
 *   GET /slow         how many do
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/jobs --port 7000
 * Installed:           cc -O2 -o jobs jobs.c server.c web.c $(pkg-config --cflags --libs whorl) && ./jobs --port 7000
 * Try it:              curl -X POST 'http://127.0.0.1:7000/jobs?ms=5000'; curl http://127.0.0.1:7000/jobs/1 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server.h"
#include "web.h"

#define JOBS_MAX 1000

enum state { RUNNING, DONE, CANCELLED };

struct job {
    whorl_ns takes;
    _Atomic enum state state;
};

struct office {
    struct whorl_scope background; /* the jobs' */
    struct job jobs[JOBS_MAX];
    atomic_int count;    /* of jobs; more have been asked for when it is beyond JOBS_MAX */
    atomic_int slow;     /* handlers that wait for a release */
    atomic_int releases; /* so far */
    atomic_int blocked;  /* handlers that read from the pipe, or are about to */
    atomic_bool closing; /* from when the server stops: nothing is slow any more */
    int pipe[2];
};

/* Jobs. */

static intptr_t work(void *arg)
{
    struct job *job = arg;

    atomic_store(&job->state, whorl_sleep(job->takes) == 0 ? DONE : CANCELLED);
    return 0;
}

static int post_job(struct office *office, long ms, struct web_answer *answer)
{
    int number = ms >= 0 ? atomic_fetch_add(&office->count, 1) : 0;
    struct job *job;

    if (ms < 0 || number >= JOBS_MAX) {
        answer->status = ms < 0 ? 400 : 503;
        return 0;
    }
    job = &office->jobs[number];
    job->takes = WHORL_MS(ms);
    if (whorl_scope_spawn(&office->background, work, job) < 0) {
        atomic_store(&job->state, CANCELLED);
        answer->status = 503;
        return 0;
    }
    answer->status = 202;
    snprintf(answer->body, sizeof answer->body, "job %d\n", number + 1);
    return 0;
}

static int get_job(struct office *office, long number, struct web_answer *answer)
{
    static const char *const names[] = {"running", "done", "cancelled"};
    int count = atomic_load(&office->count);

    if (number < 1 || number > JOBS_MAX || number > count)
        answer->status = 404;
    else
        snprintf(answer->body, sizeof answer->body, "job %ld is %s\n", number, names[atomic_load(&office->jobs[number - 1].state)]);
    return 0;
}

/* Slow handlers. */

static void compute(struct office *office, bool polite)
{
    int releases = atomic_load(&office->releases);

    while (atomic_load(&office->releases) == releases && !atomic_load(&office->closing))
        if (polite)
            whorl_checkpoint();
}

static intptr_t block(void *arg)
{
    struct office *office = arg;
    char byte;

    /* Who closes does it the other way round: it sees this one, or is seen here. */
    atomic_fetch_add(&office->blocked, 1);
    while (!atomic_load(&office->closing) && read(office->pipe[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    return 0;
}

static void release(struct office *office)
{
    static const char bytes[256];
    int blocked = atomic_exchange(&office->blocked, 0);

    atomic_fetch_add(&office->releases, 1);
    while (blocked > 0) {
        ssize_t n = write(office->pipe[1], bytes, (size_t)blocked < sizeof bytes ? (size_t)blocked : sizeof bytes);

        if (n < 0) { /* the pipe is full, or there was a signal: those who read first make room */
            whorl_yield();
            continue;
        }
        blocked -= (int)n;
    }
}

static int be_slow(struct office *office, const char *path, struct web_answer *answer)
{
    int err = 0;

    atomic_fetch_add(&office->slow, 1);
    if (strcmp(path, "/pooled") == 0)
        err = whorl_blocking(block, office, NULL);
    else if (strcmp(path, "/block") == 0)
        block(office);
    else
        compute(office, strcmp(path, "/polite") == 0);
    atomic_fetch_sub(&office->slow, 1);
    snprintf(answer->body, sizeof answer->body, "released\n");
    return err;
}

static int answer(const char *method, const char *path, struct web_answer *answer, void *arg)
{
    struct office *office = arg;
    long number;

    if (strcmp(method, "POST") == 0 && sscanf(path, "/jobs?ms=%7ld", &number) == 1)
        return post_job(office, number, answer);
    if (sscanf(path, "/jobs/%7ld", &number) == 1)
        return get_job(office, number, answer);
    if (strcmp(path, "/compute") == 0 || strcmp(path, "/polite") == 0 || strcmp(path, "/block") == 0 ||
        strcmp(path, "/pooled") == 0)
        return be_slow(office, path, answer);
    if (strcmp(path, "/release") == 0)
        release(office);
    else if (strcmp(path, "/slow") == 0)
        snprintf(answer->body, sizeof answer->body, "%d\n", atomic_load(&office->slow));
    else if (strcmp(path, "/hello") == 0)
        snprintf(answer->body, sizeof answer->body, "hello\n");
    else
        answer->status = 404;
    return 0;
}

static int count_cancelled(struct office *office)
{
    int cancelled = 0;

    for (int i = 0; i < JOBS_MAX; i++)
        cancelled += atomic_load(&office->jobs[i].state) == CANCELLED;
    return cancelled;
}

static intptr_t serve(void *arg)
{
    static struct office office; /* all zeros: no jobs */
    struct web web;
    int port;

    if (pipe2(office.pipe, O_CLOEXEC) < 0) {
        fprintf(stderr, "jobs: no pipe: out of descriptors\n");
        return 1;
    }
    fcntl(office.pipe[1], F_SETFL, O_NONBLOCK);
    whorl_scope_open(&office.background);
    port = web_open(&web, *(int *)arg, answer, &office);
    if (port < 0) {
        fprintf(stderr, "jobs: cannot listen on port %d: %s\n", *(int *)arg, web_error(port));
    } else {
        server_wait(port);
        atomic_store(&office.closing, true);
        release(&office);
        web_close(&web);
    }
    whorl_scope_cancel(&office.background, "the server stops");
    whorl_scope_close(&office.background);
    close(office.pipe[0]);
    close(office.pipe[1]);
    if (port >= 0)
        printf("%d jobs cancelled\n", count_cancelled(&office));
    return port < 0;
}

int main(int argc, char **argv)
{
    return server_main(argc, argv, "A web server with background jobs and slow handlers.", serve);
}
