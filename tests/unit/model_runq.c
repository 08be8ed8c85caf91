/* SPDX-License-Identifier: MIT */
/* The queue of ready tasks, runtime/runq.h and runtime/fifo.h as they are, with a ring of four. */
#include "runtime/runq.h"

#include <string.h>

#include "tests/unit/model.h"

enum { TASKS = 7 };

static struct whorl__runq owner, thieves[2];
static struct whorl_task tasks[TASKS];
static int taken[TASKS], expected;

static void name_queue(struct whorl__runq *q)
{
    memset(q, 0, sizeof *q);
    model_word(&q->head, sizeof q->head);
    model_word(&q->tail, sizeof q->tail);
    for (size_t i = 0; i < WHORL__RUNQ_SIZE; i++)
        model_word(&q->slots[i], sizeof q->slots[i]);
    model_lock(&q->overflow.lock);
    model_word(&q->overflow.count, sizeof q->overflow.count);
}

static void before(void)
{
    name_queue(&owner);
    name_queue(&thieves[0]);
    name_queue(&thieves[1]);
    memset(tasks, 0, sizeof tasks);
    memset(taken, 0, sizeof taken);
    for (int i = 0; i < TASKS; i++)
        model_data(&tasks[i]);
    expected = 0;
}

static void push(int i)
{
    model_data_write(&tasks[i]); /* a task is written before it is queued … */
    expected++;
    whorl__runq_push(&owner, &tasks[i]);
}

static void take(struct whorl_task *t)
{
    int i = (int)(t - tasks);

    model_expect(i >= 0 && i < TASKS, "what is taken is a task");
    model_data_write(t); /* … and is its taker's alone: a race if somebody else has it, or if the write above is not to be seen */
    model_expect(taken[i]++ == 0, "each task is taken once");
}

static void take_all(struct whorl__runq *q)
{
    for (struct whorl_task *t; (t = whorl__runq_pop(q));)
        take(t);
}

static void steal(int thief, struct whorl__runq *victim)
{
    uint32_t n;
    struct whorl_task *t = whorl__runq_steal(&thieves[thief], victim, &n);

    if (!t)
        return;
    take(t);
    take_all(&thieves[thief]);
}

static void after(void)
{
    int count = 0;

    take_all(&owner);
    take_all(&thieves[0]);
    take_all(&thieves[1]);
    for (int i = 0; i < TASKS; i++)
        count += taken[i];
    model_expect(count == expected, "no task is lost");
}

static void last_item(int index)
{
    struct whorl_task *t;

    if (index > 0) {
        steal(index - 1, &owner);
        return;
    }
    for (int i = 0; i < 3; i++) {
        push(i);
        t = whorl__runq_pop(&owner);
        if (t)
            take(t);
    }
}

static void bursts(int index)
{
    if (index > 0) {
        steal(index - 1, &owner);
        steal(index - 1, &owner);
        return;
    }
    for (int i = 0; i < TASKS; i++)
        push(i);
    take_all(&owner);
}

static void slots_used_again(int index)
{
    struct whorl_task *t;

    if (index > 0) {
        for (int i = 0; i < 3; i++)
            steal(index - 1, &owner);
        return;
    }
    for (int i = 0; i < TASKS; i++) {
        push(i);
        if (model_choose(2) && (t = whorl__runq_pop(&owner)))
            take(t);
    }
}

/* Steals from the first thief until it has found something, or for long enough. */
static void steal_from_thief(void)
{
    for (int i = 0; i < 20; i++) {
        steal(1, &thieves[0]);
        model_pause();
    }
}

/* The first takes two, one of which the second finds in the first's ring. */
static void thief_of_thief(int index)
{
    uint32_t n;
    struct whorl_task *t;

    if (index == 0) {
        for (int i = 0; i < 4; i++)
            push(i);
        model_wake(0);
    } else if (index == 1) {
        model_sleep(0);
        if ((t = whorl__runq_steal(&thieves[0], &owner, &n)))
            take(t);
    } else {
        steal_from_thief();
    }
}

/* The same with tasks that had overflowed. */
static void thief_of_thief_of_overflow(int index)
{
    uint32_t n;
    struct whorl_task *t;

    if (index == 0) {
        for (int i = 0; i < TASKS; i++)
            push(i);
        for (int i = 0; i < 4; i++)
            if ((t = whorl__runq_pop(&owner)))
                take(t);
        model_wake(0);
    } else if (index == 1) {
        model_sleep(0);
        if ((t = whorl__runq_steal(&thieves[0], &owner, &n)))
            take(t);
    } else {
        steal_from_thief();
    }
}

const struct model_scenario model_scenarios[] = {
    {"owner and thieves race for the last item", 3, before, last_item, after},
    {"a burst that overflows, with two thieves", 3, before, bursts, after},
    {"a slot is used again while a thief reads it", 2, before, slots_used_again, after},
    {"a thief is stolen from", 3, before, thief_of_thief, after},
    {"a thief of the overflow is stolen from", 3, before, thief_of_thief_of_overflow, after},
    {0},
};

/* The checker runs the steps of each thread in their order, so no load of it is late. On hardware, and to a compiler, one can be.
 */
#define LATE_LOAD                                                                                                                  \
    "keeps a thief's reads of the slots before the owner's next writes to them, which no load is late enough for in this checker"
#define NOTHING_TO_SEE "what was pushed is seen by the acquire of `tail`; kept as one half of a read-modify-write"
#define RANGE_CHECK    "a `tail` older than `head` is refused by the comparison that follows: kept to make that rare"

const struct model_scenario model_mistakes[] = {{0}};

const char *const model_elsewhere = NULL;

const struct model_excuse model_excuses[] = {
    {"whorl__runq_push: load &q->head", "relaxed", LATE_LOAD},
    {"whorl__runq_steal: cas &victim->head", "acquire", LATE_LOAD},
    {"whorl__runq_steal: cas &victim->head", "release", NOTHING_TO_SEE},
    {"whorl__runq_steal: cas &victim->head", "relaxed", LATE_LOAD},
    {"whorl__runq_pop_of: cas &q->head", "acquire", RANGE_CHECK},
    {"whorl__runq_pop_of: cas &q->head", "release", NOTHING_TO_SEE},
    {"whorl__runq_pop_of: cas &q->head", "relaxed", RANGE_CHECK},
    {"whorl__runq_steal: load &victim->head", "relaxed", RANGE_CHECK},
    {0},
};
