/* SPDX-License-Identifier: MIT */
/* Fork-join on oneTBB: the peer of `whorl-bench fib`, `skynet` and `nqueens`. */
#include "forkjoin.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

struct onetbb {
    static constexpr const char *name = "onetbb";
    using group = tbb::task_group;

    template <class F> static void with_workers(int workers, F f)
    {
        tbb::global_control limit(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(workers));
        tbb::task_arena arena(workers);

        arena.execute(f);
    }
};

int main(int argc, char **argv)
{
    return forkjoin_main<onetbb>(argc, argv);
}
