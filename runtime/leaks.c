/* SPDX-License-Identifier: MIT */
/* What runtimes had left over when they ended. */
#include "runtime/inspect.h"
#include "runtime/scheduler.h"
#include <errno.h>

/* Sums over all runtimes; anyone, atomic. */
static uint64_t tasks, stacks;

void whorl__leaks_add(uint64_t more_tasks, uint64_t more_stacks)
{
    whorl__add_seq_cst(&tasks, more_tasks);
    whorl__add_seq_cst(&stacks, more_stacks);
}

int whorl_leaks(struct whorl_leaks *out)
{
    if (out->size != sizeof *out)
        return -EINVAL;
    out->tasks = whorl__load_relaxed(&tasks);
    out->stacks = whorl__load_relaxed(&stacks);
    return 0;
}
