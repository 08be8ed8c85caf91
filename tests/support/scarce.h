/* SPDX-License-Identifier: MIT */
/* Memory, mappings, threads and rings that are refused at the n-th call. For programs that are linked with
 * --wrap for each of the names in tests/meson.build: what the library and the test itself ask for is seen here, not what the C library
 * asks for. */
#ifndef WHORL_TESTS_SCARCE_H
#define WHORL_TESTS_SCARCE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct io_uring;
struct io_uring_params;

/* From now on calls are counted, on all threads, and number `n` is refused, and with `lasting` all that follow. `n` 0: none. */
void scarce_begin(unsigned n, bool lasting);
/* No more. Returns how many calls there were. */
unsigned scarce_end(void);
/* Has any been refused since scarce_begin? */
bool scarce_refused(void);
/* Which function it was that was refused first; "nothing" when none was. */
const char *scarce_what(void);
/* Bytes that were mapped since scarce_begin and still are. */
ptrdiff_t scarce_mapped(void);

#endif
