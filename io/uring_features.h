/* SPDX-License-Identifier: MIT */
/* What newer kernels can and Debian 12's liburing 2.3 does not know, prepared by hand, each switched on by trying it, never by a
 * version number; and what to say when a ring cannot be had. */
#ifndef WHORL_IO_URING_FEATURES_H
#define WHORL_IO_URING_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

/* Posts a completion with this user_data to the ring, from any thread, without a ring of one's own (IORING_REGISTER_SEND_MSG_RING,
 * kernel 6.13). 0 or -errno. */
int whorl__uring_send_message(int ring_fd, uint64_t user_data);

/* Does that work? Leaves a message in the ring if it does. */
bool whorl__uring_probe_message(int ring_fd);

/* Says on standard error why there is no ring for worker `index` and what to do about it. */
void whorl__uring_explain(int err, int index);

#endif
