/* SPDX-License-Identifier: MIT */
#include "runtime/watch.h"
#include "runtime/record.h"

bool whorl__watch(struct whorl_task *t, struct whorl__watch *watch, const char *call)
{
    uintptr_t seen = 0;

    whorl__check_handle(t, call);
    /* Release: pairs with the exchange in finish (task.c), which then reads the watch; acquire: the result is visible. */
    if (whorl__cas_seq_cst(&t->latch, &seen, (uintptr_t)watch | WHORL__LATCH_WATCH))
        return true;
    if (seen != WHORL__LATCH_OPEN)
        whorl__misuse("%s was given the handle of task \"%s\" (spawned at %s), which is being waited for by another task, was "
                      "detached, or is given "
                      "twice",
                      call, whorl__name_of(t), t->where);
    return false;
}

bool whorl__unwatch(struct whorl_task *t, struct whorl__watch *watch)
{
    uintptr_t seen = (uintptr_t)watch | WHORL__LATCH_WATCH;

    return whorl__cas_seq_cst(&t->latch, &seen, (uintptr_t)0);
}
