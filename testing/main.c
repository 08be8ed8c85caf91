/* SPDX-License-Identifier: MIT */
/* Apart, so that a program with a main of its own does not get this one. */
#include <whorl/test.h>

int main(int argc, char **argv)
{
    return whorl_test_main(argc, argv);
}
