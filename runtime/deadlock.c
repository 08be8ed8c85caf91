/* SPDX-License-Identifier: MIT */
/* A deadlock is shown as a dump, in which each task has what it waits for and who holds that, and then cycles: tasks of which each waits
 * for the next. A task in such a cycle cannot go on whatever others do, which is not certain of one that waits for an event.
 *
 * Who waits for whom: a joiner for the task; the opener of a scope, at its close, for each child; a task in a sync for the strand that runs its
 * fork; and whoever waits for something of which runtime/holder.h knows the holder. The tasks are numbered, and a search in depth first
 * finds the cycles.
 *
 * All this reads what tasks write, scopes on their stacks among it. It is done while none runs: in the simulated runtime by its only thread, in
 * a real one under idle_lock, without which no worker that sleeps can get up. Only threads outside may ready a task meanwhile. */
#include "runtime/deadlock.h"
#include "runtime/holder.h"
#include "runtime/inspect.h"
#include "runtime/scheduler.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <whorl/scope.h>

/* Cycles that are told, of which there may be one for each few tasks. */
#define CYCLES_MAX 5

/* What the linker has gathered. */
extern struct whorl__holder __start_whorl__holders[] __attribute__((visibility("hidden")));
extern struct whorl__holder __stop_whorl__holders[] __attribute__((visibility("hidden")));

static struct whorl_task *joined(uintptr_t object)
{
    return (struct whorl_task *)object;
}

WHORL__HOLDER("join", joined);

struct whorl_task *whorl__holder_of(const struct whorl_task *t)
{
    const char *reason = whorl__load_relaxed(&t->reason);

    if (whorl__load_relaxed(&t->state) != WHORL__PARKED || !reason)
        return NULL;
    for (struct whorl__holder *h = __start_whorl__holders; h < __stop_whorl__holders; h++)
        if (strcmp(h->reason, reason) == 0)
            return h->of(whorl__load_relaxed(&t->object));
    return NULL;
}

/* Node n is the n-th record. Numbers of edges begin with 1, so that 0 is none. */
struct graph {
    struct node {
        const struct whorl_task *task;
        uint32_t first; /* of the edges that lead from here */
        /* The search's: */
        enum { NEW, ON_PATH, DONE } visited;
        uint32_t todo;          /* the edge to follow next */
        uint32_t before, after; /* on the path; `after` is written when a cycle is told */
    } * nodes;
    struct edge {
        uint32_t to, next;
    } * edges;
    uint32_t node_count, edge_count;
    unsigned long cycles; /* found */
};

static bool waits_for(const struct whorl_task *t, const char *reason, const void *object)
{
    return whorl__load_relaxed(&t->state) == WHORL__PARKED && t->object == (uintptr_t)object && t->reason &&
           strcmp(t->reason, reason) == 0;
}

static uint32_t number_of(const struct whorl_task *t)
{
    const struct whorl__record_slab *slab = whorl__slab_of(t);

    return (uint32_t)(slab->number * WHORL__RECORDS_PER_SLAB + (size_t)(t - slab->tasks));
}

static void add_edge(struct graph *g, const struct whorl_task *from, const struct whorl_task *to)
{
    struct node *n = &g->nodes[number_of(from)];
    uint32_t e = ++g->edge_count;

    g->edges[e] = (struct edge){.to = number_of(to), .next = n->first};
    n->first = e;
}

/* Two at most: one from the task, one to it. */
static void add_edges_of(struct graph *g, struct whorl_task *t)
{
    const struct whorl__rare *rare = whorl__rare(t);
    const struct whorl_task *holder = whorl__holder_of(t);

    if (whorl__load_relaxed(&t->state) != WHORL__PARKED)
        return;
    if (holder && whorl__runtime_of(holder) == whorl__runtime_of(t))
        add_edge(g, t, holder);
    if (t->root && rare->parent && waits_for(rare->parent, "sync", t->arg))
        add_edge(g, rare->parent, t);
    if (!t->root && rare->scope && waits_for(rare->scope->opener, "scope", rare->scope))
        add_edge(g, rare->scope->opener, t);
}

static bool make_graph(struct graph *g, struct whorl__runtime *rt)
{
    struct whorl__record_slab *slabs =
        whorl__load_acquire(&rt->slabs); /* pairs with the release in record.c; the newest is first */

    memset(g, 0, sizeof *g);
    if (!slabs)
        return false;
    g->node_count = (uint32_t)((slabs->number + 1) * WHORL__RECORDS_PER_SLAB);
    g->nodes = calloc(g->node_count, sizeof *g->nodes);
    g->edges = calloc(2 * (size_t)g->node_count + 1, sizeof *g->edges);
    if (!g->nodes || !g->edges)
        return false;
    for (struct whorl__record_slab *s = slabs; s; s = s->next)
        for (uint32_t i = 0; i < whorl__load_relaxed(&s->used); i++) {
            g->nodes[number_of(&s->tasks[i])].task = &s->tasks[i];
            add_edges_of(g, &s->tasks[i]);
        }
    return true;
}

static void free_graph(struct graph *g)
{
    free(g->nodes);
    free(g->edges);
}

static void say_link(const struct whorl_task *t, const struct whorl_task *next)
{
    const char *fork = t->root ? "a fork of " : "", *next_fork = next->root ? "a fork of " : "";
    const char *reason = t->reason, *name = whorl__name_of(next);

    if (strcmp(reason, "join") == 0)
        whorl__say("  %stask \"%s\", spawned at %s, joins task \"%s\"", fork, whorl__name_of(t), t->where, name);
    else if (strcmp(reason, "sync") == 0)
        whorl__say("  %stask \"%s\", spawned at %s, waits in whorl_sync for a fork of its own", fork, whorl__name_of(t), t->where);
    else if (strcmp(reason, "scope") == 0)
        whorl__say("  %stask \"%s\", spawned at %s, waits for task \"%s\" in the scope opened at %s", fork, whorl__name_of(t),
                   t->where, name, whorl__rare(t)->opened_at);
    else
        whorl__say("  %stask \"%s\", spawned at %s, waits for %s 0x%jx, which %stask \"%s\" holds", fork, whorl__name_of(t),
                   t->where, reason, (uintmax_t)t->object, next_fork, name);
}

/* The path leads from `first` to `last`, from which an edge leads back to the first. */
static void say_cycle(struct graph *g, uint32_t first, uint32_t last)
{
    uint32_t length = 1;

    g->nodes[last].after = first;
    for (uint32_t n = last; n != first; n = g->nodes[n].before) {
        g->nodes[g->nodes[n].before].after = n;
        length++;
    }
    if (length == 1)
        whorl__say("a task that waits for itself:");
    else
        whorl__say("a cycle of %u tasks, each of which waits for the next and the last for the first:", length);
    for (uint32_t n = first; length > 0; n = g->nodes[n].after, length--)
        say_link(g->nodes[n].task, g->nodes[g->nodes[n].after].task);
}

static void enter(struct graph *g, uint32_t n, uint32_t before)
{
    g->nodes[n].visited = ON_PATH;
    g->nodes[n].todo = g->nodes[n].first;
    g->nodes[n].before = before;
}

/* Follows all that leads from `start`. */
static void search(struct graph *g, uint32_t start)
{
    uint32_t n = start;

    enter(g, n, start);
    for (;;) {
        uint32_t e = g->nodes[n].todo, to = g->edges[e].to;

        if (e == 0) {
            g->nodes[n].visited = DONE;
            if (n == start)
                return;
            n = g->nodes[n].before;
            continue;
        }
        g->nodes[n].todo = g->edges[e].next;
        if (g->nodes[to].visited == NEW) {
            enter(g, to, n);
            n = to;
        } else if (g->nodes[to].visited == ON_PATH && g->cycles++ < CYCLES_MAX) {
            say_cycle(g, to, n);
        }
    }
}

/* Tells the cycles; returns how many there are. Without memory for the search it finds none: the dump is there. */
static unsigned long say_cycles(struct whorl__runtime *rt)
{
    struct graph g;

    if (make_graph(&g, rt))
        for (uint32_t n = 0; n < g.node_count; n++)
            if (g.nodes[n].visited == NEW && g.nodes[n].first)
                search(&g, n);
    if (g.cycles > CYCLES_MAX)
        whorl__say("%lu more cycles", g.cycles - CYCLES_MAX);
    free_graph(&g);
    return g.cycles;
}

static const char *advice(unsigned long cycles)
{
    return cycles
               ? "break each cycle: take locks in the same order everywhere, and leave them before you wait for a task; or let a "
                 "deadline end one of the waits (whorl_scope_deadline)"
               : "see that what they wait for comes on every path, or let a deadline end the waits (whorl_scope_deadline)";
}

_Noreturn void whorl__deadlock(struct whorl__runtime *rt)
{
    unsigned long cycles;

    whorl__dump_still(rt, STDERR_FILENO);
    cycles = say_cycles(rt);
    whorl__fatal("deadlock: every task above waits, and nothing is left that could wake one (seed %llu); %s",
                 (unsigned long long)rt->config.seed, advice(cycles));
}

/* Is there anybody who waits for its tasks? Between the runs of a runtime that was created they may wait for what the next one brings. Its
 * main is not started before it is closed. */
static bool awaited(const struct whorl__runtime *rt)
{
    const struct whorl_task *main = whorl__load_relaxed(&rt->main);

    return !main || whorl__load_relaxed(&main->state) != WHORL__FREE || whorl__load_relaxed(&rt->joiners) > 0;
}

/* With idle_lock. */
static bool nothing_to_do(struct whorl__runtime *rt)
{
    for (int i = 0; i < rt->worker_count; i++)
        if (whorl__anything(&rt->workers[i]))
            return false;
    return !whorl__quiet(rt);
}

bool whorl__say_standstill(struct whorl__runtime *rt)
{
    bool still;

    whorl__spin_lock(&rt->idle_lock);
    still = awaited(rt) && whorl__stands_still(rt) && nothing_to_do(rt);
    if (still) {
        unsigned long cycles;

        whorl__dump_still(rt, STDERR_FILENO);
        cycles = say_cycles(rt);
        whorl__say("deadlock: every task above waits, and nothing in this runtime is left that could wake one%s; %s",
                   cycles ? "" : " (if a thread outside will, all is well)", advice(cycles));
    }
    whorl__spin_unlock(&rt->idle_lock);
    return still;
}
