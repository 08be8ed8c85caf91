/* SPDX-License-Identifier: MIT */
/* The file in which all processes of a test run count what their pause points did. */
#ifndef WHORL_TESTS_PAUSE_H
#define WHORL_TESTS_PAUSE_H

#include "runtime/pause.h"

#include <stdint.h>

struct pause_counts {
    uint64_t passed[WHORL__PAUSE_COUNT], paused[WHORL__PAUSE_COUNT];
};

#endif
