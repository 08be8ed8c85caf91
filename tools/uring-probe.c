/* SPDX-License-Identifier: MIT */
/* Prints why io_uring is refused and what helps, nothing when it is not. The tools compile it by themselves. */
#include "../tests/support/uring.h"

#include <stdio.h>

int main(void)
{
    char why[400];

    uring_refusal(why, sizeof why);
    if (why[0])
        puts(why);
    return 0;
}
