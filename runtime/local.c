/* SPDX-License-Identifier: MIT */
/* Task-locals (whorl/local.h). The values of a task are a set that never changes once it is made: tasks share it, each counted, and who
 * sets a value makes another set, with the same other values in it. A value is counted too, by the sets that it is in.
 *
 * The pointer to its set is the task's own. Its forks' thieves read it, under its strand_lock, to give the strand a count of its own
 * (whorl__locals_inherit): so the task may go on to another set while they run. */
#include "runtime/scheduler.h"
#include <errno.h>
#include <stdlib.h>
#include <whorl/local.h>
#include <whorl/pin.h>
#include <whorl/task.h>

struct value {
    uint32_t users; /* anyone, atomic; the rest is constant */
    const struct whorl_local *key;
    void *value;
};

struct whorl__locals {
    uint32_t users; /* anyone, atomic; the rest is constant */
    uint32_t count;
    struct value *values[];
};

static struct value *new_value(const struct whorl_local *key, void *value)
{
    struct value *v = malloc(sizeof *v);

    if (v)
        *v = (struct value){.users = 1, .key = key, .value = value};
    return v;
}

static void call_drop(struct value *v)
{
    bool inside = whorl_in_task();

    if (inside)
        whorl_no_suspend_begin_at("the drop of a task-local");
    v->key->drop(v->value);
    if (inside)
        whorl_no_suspend_end_at("the drop of a task-local");
}

static void let_go_of_value(struct value *v)
{
    /* Acquire and release: what other users did with the value comes before its end. */
    if (whorl__sub_acq_rel(&v->users, 1u) > 1)
        return;
    if (v->key->drop)
        call_drop(v);
    free(v);
}

static void let_go(struct whorl__locals *l)
{
    if (!l || whorl__sub_acq_rel(&l->users, 1u) > 1) /* likewise */
        return;
    for (uint32_t i = 0; i < l->count; i++)
        let_go_of_value(l->values[i]);
    free(l);
}

static struct value *find(const struct whorl__locals *l, const struct whorl_local *key)
{
    for (uint32_t i = 0; l && i < l->count; i++)
        if (l->values[i]->key == key)
            return l->values[i];
    return NULL;
}

/* Makes a set of the values of `from` without `old` but with `fresh`; each may be NULL. In *made, NULL if it is empty. False: there is no
 * memory. */
static bool make(struct whorl__locals **made, const struct whorl__locals *from, const struct value *old, struct value *fresh)
{
    uint32_t size = (from ? from->count : 0) - (old != NULL) + (fresh != NULL), count = 0;
    struct whorl__locals *l = size > 0 ? malloc(sizeof *l + size * sizeof(struct value *)) : NULL;

    *made = l;
    if (!l)
        return size == 0;
    for (uint32_t i = 0; from && i < from->count; i++)
        if (from->values[i] != old) {
            whorl__add_relaxed(&from->values[i]->users, 1);
            l->values[count++] = from->values[i];
        }
    if (fresh)
        l->values[count++] = fresh;
    l->users = 1;
    l->count = count;
    return true;
}

static void change(struct whorl_task *t, struct whorl__locals *to)
{
    struct whorl__rare *rare = whorl__rare(t);
    struct whorl__locals *before;

    whorl__add_trait(t, WHORL__LADEN);
    whorl__spin_lock(&rare->strand_lock);
    before = rare->locals;
    rare->locals = to;
    whorl__spin_unlock(&rare->strand_lock);
    let_go(before);
}

void *whorl_local_get(const struct whorl_local *key)
{
    struct whorl__worker *w;
    const struct value *v = find(whorl__rare(whorl__self("whorl_local_get", &w))->locals, key);

    return v ? v->value : NULL;
}

int whorl_local_set(const struct whorl_local *key, void *value)
{
    struct whorl__worker *w;
    struct whorl_task *t = whorl__self("whorl_local_set", &w);
    struct whorl__locals *locals = whorl__rare(t)->locals, *next;
    struct value *old = find(locals, key), *fresh = NULL;

    if (t->root)
        whorl__misuse("whorl_local_set was called in a fork: set values in the task, before it forks");
    if (value == (old ? old->value : NULL))
        return 0;
    if (value)
        fresh = new_value(key, value);
    if ((value && !fresh) || !make(&next, locals, old, fresh)) {
        free(fresh);
        return whorl__failed(-ENOMEM, "local_set", NULL);
    }
    change(t, next);
    return 0;
}

void whorl__locals_inherit(struct whorl_task *t, const struct whorl_task *from)
{
    struct whorl__locals *l = whorl__rare(from)->locals;

    if (!l)
        return;
    whorl__add_relaxed(&l->users, 1);
    whorl__rare(t)->locals = l;
    whorl__add_trait(t, WHORL__LADEN);
}

void whorl__locals_end(struct whorl_task *t)
{
    struct whorl__locals *l = whorl__rare(t)->locals;

    whorl__rare(t)->locals = NULL;
    let_go(l);
}
