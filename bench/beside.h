/* SPDX-License-Identifier: MIT */
/* Connections that echo while the same workers compute: what each costs the other. The connections alone, the work alone and both at
 * once are measured one after the other, by the same clients at the same rate. */
#ifndef BENCH_BESIDE_H
#define BENCH_BESIDE_H

#include "echo-service.h"

struct bench_beside {
    const char *name, *what;
    long n, n_max; /* the size of the work */
    /* Once the options are read, in a task: makes ready. NULL: there is nothing to be made ready. Returns 0 or -errno. */
    int (*begin)(struct bench_beside *beside);
    /* Does the work once, in a task, and stores the ns it took. Returns 0 or -errno. */
    int (*once)(struct bench_beside *beside, double *ns);
    void (*end)(struct bench_beside *beside);
    long connections, rate;
};

/* Reads options, measures, reports. Returns the exit status of the program. */
int bench_beside_run(int argc, char **argv, struct bench_beside *beside);

#endif
