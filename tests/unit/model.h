/* SPDX-License-Identifier: MIT */
/* Model checking: the runtime's own C files, compiled with model_atomic.h in the place of runtime/atomic.h, under Relacy, which
 * plays threads and memory: interleavings and, for each load, the values that C11 lets it see. model.cc runs the scenarios of a
 * program many times, once as the code is and once for each memory order weakened: that must be noticed, or be excused below. */
#ifndef WHORL_TESTS_MODEL_H
#define WHORL_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A program defines these. */

struct model_scenario {
    const char *name;
    int threads;               /* 2 or 3 */
    void (*before)(void);      /* sets everything up, anew each time, and names the words below */
    void (*thread)(int index); /* what each of the threads does */
    void (*after)(void);       /* looks at the result */
};
extern const struct model_scenario model_scenarios[]; /* the last one's name is NULL */
/* Scenarios in which something is wrong on purpose, which must be noticed: each of them fails. Likewise ended. */
extern const struct model_scenario model_mistakes[];

/* An order that may be weaker in these scenarios, and why it is as it is. */
struct model_excuse {
    const char *site;  /* as the report names it */
    const char *order; /* NULL: any */
    const char *reason;
};
extern const struct model_excuse model_excuses[]; /* the last one's site is NULL */

/* Functions whose names begin so are weakened in another program; NULL: there are none. */
extern const char *const model_elsewhere;

/* In `before`: the word of `size` bytes at `p`, which has its first value, is one that threads communicate by. Atomic operations on
 * all others (counters, what is for dumps) are plain ones, lest they blow up the number of interleavings. */
void model_word(const void *p, size_t size);
/* The same for a struct whorl__spinlock, and for what it guards. */
void model_lock(const void *lock);
/* In `before`: plain data with this address (a task) whose races are to be found. */
void model_data(const void *p);

/* In a thread. */

void model_data_write(const void *p);
void model_data_read(const void *p);
/* Which one this is. */
int model_thread(void);
/* Sleeps until somebody wakes number `n`, or has since the last time. Everybody asleep is a lost wake-up. */
void model_sleep(int n);
void model_wake(int n);
/* A number below n, each of which is tried. */
unsigned model_choose(unsigned n);
/* Ends the run, which has failed, unless `condition` holds. Anywhere. */
void model_expect(bool condition, const char *what);

/* What model_atomic.h is made of. */

enum model_order { MODEL_RELAXED, MODEL_ACQUIRE, MODEL_RELEASE, MODEL_ACQ_REL, MODEL_SEQ_CST, MODEL_NONE };
enum model_kind { MODEL_LOAD, MODEL_STORE, MODEL_CHANGE, MODEL_FENCE };

/* A place in the code. */
struct model_site {
    const char *function, *operation, *target;
    enum model_kind kind;
    enum model_order order; /* as written */
    enum model_order now;   /* as it is, or weakened */
    bool known;
    struct model_site *next;
};

uint64_t model_load(const void *p, size_t size, struct model_site *site);
void model_store(void *p, size_t size, uint64_t value, struct model_site *site);
uint64_t model_exchange(void *p, size_t size, uint64_t value, struct model_site *site);
uint64_t model_add(void *p, size_t size, uint64_t value, struct model_site *site);
uint64_t model_or(void *p, size_t size, uint64_t value, struct model_site *site);
uint64_t model_and(void *p, size_t size, uint64_t value, struct model_site *site);
bool model_cas(void *p, size_t size, void *expected, uint64_t value, struct model_site *site);
void model_fence(struct model_site *site);
/* Between the taking and the giving back of a lock. */
void model_guarded(const void *lock);
void model_pause(void);

#ifdef __cplusplus
}
#endif

#endif
