/* SPDX-License-Identifier: MIT */
/* Descriptors that a test leaves open. */
#ifndef WHORL_TESTING_FDS_H
#define WHORL_TESTING_FDS_H

#include <stddef.h>

/* Those that were open at some time, in no order. */
struct whorl__test_fds {
    int *list;
    size_t count;
};

void whorl__test_fds_open(struct whorl__test_fds *fds);
/* Fails the test `name` for each descriptor that is open now and was not then. */
void whorl__test_fds_close(struct whorl__test_fds *fds, const char *name);

#endif
