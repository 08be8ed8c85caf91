/* SPDX-License-Identifier: MIT */
/* Programs of random forks on the null reactor, many seeds of them, as in seeds.c: every fork runs once, before its sync returns, and
 * the same seed is the same run.
 *
 * When a seed fails it is shown, and WHORL_SEED=… begins with it. WHORL_TEST_SEEDS says how many are tried. */
#include "io/op.h"
#include "runtime/scheduler.h"

#include <errno.h>
#include <string.h>
#include <whorl/whorl.h>

#include "history.h"
#include "null_run.h"
#include "seeds.h"
#include "test.h"

enum { BRANCHES_MAX = 200, WIDTH_MAX = 5, STEPS_MAX = 5, DEPTH_MAX = 6, NESTED_MAX = 3, INDICES = 40 };

/* A fork, or what a task does that a fork spawned. */
struct branch {
    struct whorl_fork fork;
    int id; /* by the order of making; never an address, which would differ from run to run */
    int depth;
    bool forked;
    int nested; /* steps within steps: they go on on the same stack */
    int began, ended;
    long size; /* branches in it, itself among them: its result */
};

struct program {
    uint64_t random; /* of what the branches do; the reactor has its own */
    struct history history;
    int made, began, ended; /* branches: forks, and tasks that were spawned */
    int left, left_ended;   /* tasks that nobody joins */
    bool ticks;             /* the clock moves while tasks run */
    bool closing;           /* main has returned, and everybody is cancelled for good */
    uint64_t taken;
    struct branch tasks[BRANCHES_MAX + 1]; /* by id: those that are no forks */
};

static struct program program;

/* Those before the first that is not waited in. */
enum event {
    YIELDED,
    SLEPT,
    OPERATED,
    SYNCED,
    JOINED,
    LOOPED,
    SUMMED,
    WAITS,
    FORKED = WAITS,
    BEGAN,
    LEFT,
    CANCELLED,
    DEADLINE,
    ENDED
};

/* In all seeds together: how often a fork, by its depth, went on on another worker after it had waited so. */
static uint64_t moved[WAITS][DEPTH_MAX + 1];

static void note(int id, enum event event, int64_t detail)
{
    history_note(&program.history, id, event, detail, program.ticks ? 0 : whorl_now());
}

static uint64_t draw(uint64_t n)
{
    return test_random(&program.random) % n;
}

static bool new_branch(struct branch *b, const struct branch *parent)
{
    if (program.made == BRANCHES_MAX || parent->depth == DEPTH_MAX)
        return false;
    *b = (struct branch){.id = program.made++, .depth = parent->depth + 1};
    return true;
}

static void check_over(const struct branch *b)
{
    CHECK_EQ(b->began, 1);
    CHECK_EQ(b->ended, 1);
}

static void note_wait(const struct branch *b, enum event event, int result)
{
    CHECK(result == 0 || result == -ECANCELED || result == -ETIMEDOUT);
    note(b->id, event, result);
}

static void sleep_a_while(const struct branch *b)
{
    whorl_ns length = (whorl_ns)draw(2000), start = whorl_now();
    int result = whorl_sleep(length);

    if (result == 0)
        CHECK(program.ticks ? whorl_now() >= start + length : whorl_now() == start + length);
    note_wait(b, SLEPT, result);
}

/* null_nop is for tasks; this is for whoever runs. */
static int operate(whorl_ns latency)
{
    struct whorl__request nop = {.code = WHORL__OP_NOP, .fd = -1, .offset = (uint64_t)latency};

    return whorl__operate(whorl__worker()->current, &nop, NULL);
}

static void grow(struct whorl_fork *self);

static intptr_t grow_as_task(void *arg)
{
    struct branch *b = arg;

    grow(&b->fork);
    return b->size;
}

/* A join ends early when its task is cancelled; while everything is stopped each join does. A deadline that has passed would end
 * every one, too. */
static void spawn_and_join(struct branch *parent)
{
    struct branch *child = &program.tasks[program.made];
    struct whorl_task *t;
    intptr_t size = 0;

    if (!new_branch(child, parent))
        return;
    t = whorl_spawn(grow_as_task, child);
    if (!CHECK(t != NULL))
        return;
    if (draw(4) == 0)
        whorl_cancel(t);
    whorl_deadline(WHORL_NEVER);
    while (whorl_join(t, &size) != 0)
        if (program.closing) {
            whorl_detach(t);
            return;
        }
    check_over(child);
    CHECK_EQ(size, child->size);
    parent->size += size;
    note(parent->id, JOINED, child->id);
}

/* A task that nobody joins. */
static intptr_t nap(void *arg)
{
    whorl_sleep((intptr_t)arg);
    program.left_ended++;
    return 0;
}

static void leave_one(const struct branch *b)
{
    struct whorl_task *t = whorl_spawn(nap, (void *)(intptr_t)draw(1000));

    if (!CHECK(t != NULL))
        return;
    program.left++;
    whorl_detach(t);
    note(b->id, LEFT, 0);
}

/* Loops and sums, whose ranges wait, too. */

static void dawdle(void)
{
    switch (draw(8)) {
    case 0:
        whorl_yield();
        break;
    case 1:
        whorl_sleep((whorl_ns)draw(1000));
        break;
    default:
        break;
    }
}

static void see(size_t begin, size_t end, void *arg)
{
    dawdle();
    for (size_t i = begin; i < end; i++)
        ((unsigned char *)arg)[i]++;
}

static void loop(const struct branch *b)
{
    unsigned char seen[INDICES] = {0};

    whorl_parallel_for(0, INDICES, see, seen);
    for (size_t i = 0; i < INDICES; i++)
        CHECK_EQ(seen[i], 1);
    note(b->id, LOOPED, 0);
}

static void add(size_t begin, size_t end, void *into, void *arg)
{
    (void)arg;
    dawdle();
    for (size_t i = begin; i < end; i++)
        *(size_t *)into += i;
}

static void combine(void *into, const void *from, void *arg)
{
    (void)arg;
    *(size_t *)into += *(const size_t *)from;
}

static void sum_up(const struct branch *b)
{
    size_t sum = 0;

    CHECK_EQ(whorl_reduce(0, INDICES, add, combine, NULL, &sum, sizeof sum), 0);
    CHECK_EQ(sum, INDICES * (INDICES - 1) / 2);
    note(b->id, SUMMED, 0);
}

static void fork_and_sync(struct branch *parent);

/* Does something in which the branch may wait; returns what it was. */
static enum event wait_somehow(struct branch *b)
{
    enum event event = (enum event)draw(WAITS);

    switch (event) {
    case YIELDED:
        whorl_yield();
        note(b->id, YIELDED, 0);
        break;
    case SLEPT:
        sleep_a_while(b);
        break;
    case OPERATED:
        note_wait(b, OPERATED, operate((whorl_ns)draw(1000)));
        break;
    case JOINED:
        spawn_and_join(b);
        break;
    case LOOPED:
        loop(b);
        break;
    case SUMMED:
        sum_up(b);
        break;
    default:
        fork_and_sync(b);
        break;
    }
    return event;
}

static void wait_and_look(struct branch *b)
{
    int before = whorl_worker();
    enum event event = wait_somehow(b);

    if (b->forked && whorl_worker() != before)
        moved[event][b->depth]++;
}

static void take_step(struct branch *b)
{
    switch (draw(12)) {
    case 0:
        leave_one(b);
        break;
    case 1:
        whorl_checkpoint();
        break;
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
        wait_and_look(b);
        break;
    case 7:
        whorl_cancel(whorl_self());
        note(b->id, CANCELLED, 0);
        break;
    case 8:
        note(b->id, DEADLINE, whorl_deadline(draw(2) ? whorl_now() + (whorl_ns)draw(3000) : WHORL_NEVER) == WHORL_NEVER);
        break;
    default:
        fork_and_sync(b);
        break;
    }
}

/* Forks some, with other steps in between, and syncs them: the last first, or in any order. */
static void fork_and_sync(struct branch *parent)
{
    struct branch children[WIDTH_MAX];
    int count = 0, order[WIDTH_MAX];
    bool in_order = draw(2) == 0;

    for (uint64_t n = draw(WIDTH_MAX) + 1; n > 0 && new_branch(&children[count], parent); n--) {
        note(parent->id, FORKED, children[count].id);
        children[count].forked = true;
        whorl_fork(&children[count++].fork, grow);
        if (draw(4) == 0 && parent->nested < NESTED_MAX) {
            parent->nested++;
            take_step(parent);
            parent->nested--;
        }
    }
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int left = count; left > 0; left--) {
        int i = in_order ? left - 1 : (int)draw((uint64_t)left), next = order[i];

        order[i] = order[left - 1];
        whorl_sync(&children[next].fork);
        check_over(&children[next]);
        parent->size += children[next].size;
        note(parent->id, SYNCED, children[next].id);
    }
}

static void grow(struct whorl_fork *self)
{
    struct branch *b = whorl_fork_of(self, struct branch, fork);

    program.began++;
    b->began++;
    b->size = 1;
    note(b->id, BEGAN, 0);
    for (uint64_t steps = draw(STEPS_MAX) + 1; steps > 0; steps--)
        take_step(b);
    note(b->id, ENDED, b->size);
    b->ended++;
    program.ended++;
}

static intptr_t run_program(void *arg)
{
    struct branch root = {.id = 0};

    program.made = 1;
    whorl_deadline(WHORL_NEVER);
    grow(&root.fork);
    whorl_deadline(WHORL_NEVER);
    CHECK_EQ(root.size, program.made);
    program.taken = null_stats().forks_taken;
    CHECK(whorl__worker()->runtime->aside == NULL);
    CHECK(whorl__rare(whorl__worker()->current)->strands == NULL);
    return (intptr_t)arg;
}

static intptr_t grow_and_end(void *arg)
{
    struct branch root = {.id = 0};

    program.made = 1;
    grow(&root.fork);
    return (intptr_t)arg;
}

/* Leaves in the middle of it. */
static intptr_t leave_program(void *arg)
{
    whorl_detach(whorl_spawn(grow_and_end, arg));
    CHECK_EQ(whorl_sleep((whorl_ns)draw(3000)), 0);
    program.closing = true;
    return 0;
}

/* Runs the program of a seed; each eighth with the forks and syncs that are inline. It has failed if there are more failed checks
 * than before. */
static bool run_seed(uint64_t seed, whorl_fn main_fn, enum whorl_exit policy)
{
    struct whorl_options options = {
        .seed = seed, .workers = 1 + (int)(seed % 7), .stack_size = MANY(16 << 10, 64 << 10), .exit_policy = policy};
    unsigned before = test_failures();

    memset(&program, 0, sizeof program);
    program.random = ~seed;
    history_begin(&program.history);
    program.ticks = seed % 8 == 0;
    if (program.ticks) {
        options.workers = 1;
        options.spin_ns = -1; /* while it spins it does not see that an operation has finished, and the clock goes no further */
    }
    CHECK_EQ((program.ticks ? null_run_real : null_run)(main_fn, (void *)0, &options), 0);
    CHECK_EQ(program.began, program.made);
    CHECK_EQ(program.ended, program.made);
    CHECK_EQ(program.left_ended, program.left);
    return history_passed(before, seed, options.workers);
}

TEST(fork_seeds, whatever_random_forks_do_each_runs_once, .timeout = 100)
{
    unsigned seeds = test_seeds(MANY(2000, 300));
    uint64_t events = 0, made = 0, taken = 0;

    for (unsigned i = 0; i < seeds; i++) {
        if (!run_seed(test_seed() + i, run_program, WHORL_EXIT_JOIN))
            return;
        events += program.history.events;
        made += (uint64_t)program.made;
        taken += program.taken;
    }
    /* They do something: they wait in every way at every depth, and go on elsewhere. */
    CHECK(seeds < 100 || (made > seeds * 10 && events > seeds * 50 && taken > seeds * 2));
    for (int event = 0; seeds >= 2000 && event < WAITS; event++)
        for (int depth = 1; depth < DEPTH_MAX; depth++)
            CHECK(moved[event][depth] > 0);
}

TEST(fork_seeds, a_runtime_that_is_left_in_the_middle_ends_with_all_forks_run, .timeout = 100)
{
    unsigned seeds = test_seeds(MANY(2000, 300));

    for (unsigned i = 0; i < seeds; i++)
        if (!run_seed(test_seed() + i, leave_program, WHORL_EXIT_CANCEL))
            return;
}

static bool run_to_its_end(uint64_t seed)
{
    return run_seed(seed, run_program, WHORL_EXIT_JOIN);
}

TEST(fork_seeds, the_same_seed_is_the_same_run_and_another_one_is_not, .timeout = 60)
{
    history_check(run_to_its_end, &program.history);
}
