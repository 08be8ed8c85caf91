/* SPDX-License-Identifier: MIT */
/* Fork-join on OpenMP's tasks: the peer of `whorl-bench fib`, `skynet` and `nqueens`. While 64 tasks wait for each worker, GCC's
 * library makes no task of a fork but calls it at once. What is measured is that too. */
#include "forkjoin.h"

struct openmp {
    static constexpr const char *name = "openmp";

    struct group {
        template <class F> void run(F f)
        {
#pragma omp task firstprivate(f)
            f();
        }

        /* For all that the task has forked, so in the half of fib that is called, for the fork of its caller too: no harm, and
         * twice as fast as when that half is forked as well. */
        void wait()
        {
#pragma omp taskwait
        }
    };

    template <class F> static void with_workers(int workers, F f)
    {
#pragma omp parallel num_threads(workers)
#pragma omp single
        f();
    }
};

int main(int argc, char **argv)
{
    return forkjoin_main<openmp>(argc, argv);
}
