/* SPDX-License-Identifier: MIT */
/* Says how often each way was wrong. Ends with 0 when the runtime's ways were always right and the naive ones were not, which
 * shows that this build can go wrong; else with 1. Run by tests/tls/run. */
#include "migrate.h"

#include <stdio.h>

enum { ROUNDS = 1000 };

int main(void)
{
    int worker = migrate(WAY_WORKER, ROUNDS);
    int errno_opaque = migrate(WAY_ERRNO_OPAQUE, ROUNDS);
    int errno_naive = migrate(WAY_ERRNO, ROUNDS);
    int thread_local_naive = migrate(WAY_THREAD_LOCAL, ROUNDS);

    printf("wrong of %d: worker %d, opaque errno %d; naive: errno %d, thread-local %d", ROUNDS, worker, errno_opaque, errno_naive,
           thread_local_naive);
    if (worker != 0 || errno_opaque != 0)
        puts(" - the runtime's way is wrong");
    else if (errno_naive <= 0 && thread_local_naive <= 0)
        puts(" - nothing went wrong, so this build proves nothing");
    else
        return puts("") < 0;
    return 1;
}
