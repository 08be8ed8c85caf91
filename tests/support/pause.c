/* SPDX-License-Identifier: MIT */
/* What a pause point does in a build with -Dpauses=true. Whether and for how long a thread pauses comes from a seed: WHORL_PAUSE_SEED,
 * or one that is drawn and shown. With the same seed the same points are favoured and each thread draws the same numbers; which thread
 * is where when it draws them remains the kernel's doing, so a failure comes back soon rather than at once.
 *
 * With WHORL_PAUSE_COUNTS=FILE all processes count there how often each point was passed and paused at; tests/support/passed.c reads
 * it. */
#include "tests/support/pause.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { POINTS = WHORL__PAUSE_COUNT };

/* A point that has been passed n times pauses one thread in 1 + n / FADE, so that rare ones pause often and frequent ones do not stop
 * everything; but one in RARE at least. */
enum { FADE = 4, RARE = 8192 };

static const bool locked[POINTS] = {
#define LOCKED(name, locked, text) locked,
    WHORL__PAUSE_POINTS(LOCKED)
#undef LOCKED
};

static uint64_t seed;
static unsigned favour[POINTS];    /* how much more often than that: 0 to 8 times; constant after start */
static uint64_t passed[POINTS];    /* in this process, atomic */
static uint64_t threads;           /* that have passed any, atomic */
static struct pause_counts *shown; /* NULL: nobody wants to know */

/* SplitMix64, as in seeds.c, of which this must know nothing: it is part of the library. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static void open_counts(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *memory = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, sizeof *shown) == 0)
        memory = mmap(NULL, sizeof *shown, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    close(fd);
    shown = memory;
}

/* Before any test is forked. */
__attribute__((constructor)) static void begin(void)
{
    static const unsigned factors[] = {0, 1, 1, 1, 1, 2, 2, 8};
    const char *given = getenv("WHORL_PAUSE_SEED"), *path = getenv("WHORL_PAUSE_COUNTS");
    uint64_t state;

    if (given && *given)
        seed = strtoull(given, NULL, 0);
    else if (getrandom(&seed, 4, 0) == 4)
        fprintf(stderr, "WHORL_PAUSE_SEED=%" PRIu64 "\n", seed);
    state = seed;
    for (int i = 0; i < POINTS; i++)
        favour[i] = factors[draw(&state) % 8];
    if (path && *path)
        open_counts(path);
}

static void count(uint64_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static uint64_t draw_here(void)
{
    static _Thread_local uint64_t state;

    if (!state)
        state = seed ^ (__atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED) << 32);
    return draw(&state);
}

/* Half of the time it only lets others go first, else it is gone for longer, at worst for as long as a time slice of the kernel's. */
static void pause_here(uint64_t chance, bool in_lock)
{
    struct timespec t = {.tv_sec = 0};
    uint64_t length = chance / 16;

    if (chance % 2) {
        for (uint64_t turns = 1 + length % 16; turns > 0; turns--)
            sched_yield();
        return;
    }
    t.tv_nsec = chance % 16 || in_lock ? 100000 + (long)(length % 900000) : 1000000 + (long)(length % 19000000);
    nanosleep(&t, NULL);
}

void whorl__pause(enum whorl__pause at)
{
    uint64_t before = __atomic_fetch_add(&passed[at], 1, __ATOMIC_RELAXED), one_in = 1 + before / FADE;
    int saved = errno;

    if (shown)
        count(&shown->passed[at]);
    if (one_in > RARE)
        one_in = RARE;
    if (draw_here() % one_in >= favour[at])
        return;
    if (shown)
        count(&shown->paused[at]);
    pause_here(draw_here(), locked[at]);
    errno = saved;
}
