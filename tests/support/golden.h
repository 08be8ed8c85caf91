/* SPDX-License-Identifier: MIT */
/* What a program prints, as a whole, against a text that is kept. */
#ifndef WHORL_TESTS_GOLDEN_H
#define WHORL_TESTS_GOLDEN_H

/* Checks that `text` is that of the file tests/golden/NAME.txt, and that docs/debugging.md shows that one, indented by four. What varies from
 * run to run is replaced before, in `text` itself: addresses by 0xA, 0xB and so on, the same by the same; "since N us" by "since * us";
 * what a dump counts for a worker, and the lines of a trace, by "...". */
void check_golden(const char *name, char *text);

#endif
