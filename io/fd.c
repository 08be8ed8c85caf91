/* SPDX-License-Identifier: MIT */
/* Closing, as numbered steps. X = the closer, U = a task that uses the descriptor.
 *
 *   X1  sets CLOSING in the word, and counts itself      U1  counts itself in the word; gives up if CLOSING is set
 *   X2  tells the reactor to cancel all on it            U2  submits. The reactor looks at CLOSING when it gives the
 *   X3  writes `closer`, uncounts itself; if others          operation to the kernel, under the lock that X2 takes: it goes
 *       are left, waits at its gate                          there before X2 and is found by it, or not at all
 *   X4  sets CLOSED, closes the descriptor, clears       U3  uncounts itself; the last one opens the closer's gate
 *       the word
 *
 * Between the two halves of X4 the number may already belong to a new file, whose user must not be told -EBADF for the old
 * one's sake: U1 and X1 wait while they see CLOSED. */
#include "io/fd.h"
#include "io/op.h"
#include "io/sys.h"
#include "runtime/error.h"
#include "runtime/pause.h"
#include "runtime/scheduler.h"
#include <errno.h>
#include <stdlib.h>
#include <whorl/net.h>

#define CLOSING ((uint64_t)1 << 63)
#define CLOSED  ((uint64_t)1 << 62)

/* Entries come in chunks that are never freed: 2^26 descriptors at most. */
#define CHUNK  4096
#define CHUNKS 16384
static struct whorl__fd *chunks[CHUNKS]; /* atomic; from NULL to a chunk once */

static struct whorl__fd *make_chunk(struct whorl__fd **slot)
{
    struct whorl__fd *fresh = calloc(CHUNK, sizeof *fresh), *before = NULL;

    /* Release: pairs with the acquire in `entry_of`. */
    if (fresh && !whorl__cas_acq_rel(slot, &before, fresh)) {
        free(fresh);
        return before;
    }
    return fresh;
}

static struct whorl__fd *entry_of(int fd, bool make)
{
    struct whorl__fd *chunk;

    if (fd < 0 || fd >= CHUNK * CHUNKS)
        return NULL;
    chunk = whorl__load_acquire(&chunks[fd / CHUNK]);
    if (__builtin_expect(!chunk, 0) && make)
        chunk = make_chunk(&chunks[fd / CHUNK]);
    return chunk ? &chunk[fd % CHUNK] : NULL;
}

/* The entry's word once no descriptor of this number is half closed, see X4. */
static uint64_t settled(const struct whorl__fd *e)
{
    uint64_t word;

    /* Acquire: pairs with the release of X4. It takes the time of a close(2), which is short but for a lingering socket. */
    for (int i = 0; (word = whorl__load_acquire(&e->word)) & CLOSED; i++)
        whorl__sys_pause(i < 64 ? 0 : WHORL_MS(1));
    return word;
}

int whorl__fd_hold(int fd, struct whorl__fd **entry)
{
    struct whorl__fd *e = *entry = entry_of(fd, true);
    uint64_t word;

    if (__builtin_expect(!e, 0))
        return fd < 0 || fd >= CHUNK * CHUNKS ? -EBADF : -ENOMEM;
    do {
        word = settled(e);
        if (__builtin_expect(word & CLOSING, 0))
            return -EBADF;
        whorl__pause_at(FD_U1);
    } while (!whorl__cas_seq_cst(&e->word, &word, word + 1)); /* U1 */
    return 0;
}

void whorl__fd_release(struct whorl__fd *e)
{
    struct whorl_task *closer, *waiter;

    whorl__pause_at(FD_U3);
    /* U3. Acquire: pairs with X3; `closer` is visible. Release: X4 comes after what we did. */
    if (__builtin_expect(whorl__sub_acq_rel(&e->word, (uint64_t)1) != CLOSING + 1, 1))
        return;
    whorl__pause_at(FD_U3_OPEN);
    closer = e->closer;
    waiter = whorl__latch_open(&closer->gate);
    if (waiter)
        whorl__ready(waiter);
}

bool whorl__fd_closing(int fd)
{
    struct whorl__fd *e = entry_of(fd, false);

    /* With CLOSED the number may be a new file's already. */
    return e && (whorl__load_seq_cst(&e->word) & (CLOSING | CLOSED)) == CLOSING;
}

void whorl__fd_forked(void)
{
    for (int i = 0; i < CHUNKS; i++) {
        free(chunks[i]);
        chunks[i] = NULL;
    }
}

static void cancel_all(struct whorl__runtime *rt, int fd)
{
    struct whorl__op *next;

    for (struct whorl__op *op = rt->ops->cancel_fd(rt->reactor, fd); op; op = next) {
        next = op->next;
        whorl__op_withdrawn(op);
    }
}

/* X2, X3. */
static void wait_for_users(struct whorl__fd *e, int fd, struct whorl_task *t)
{
    whorl__store_relaxed(&t->gate, (uintptr_t)0);
    e->closer = t;
    whorl__pause_at(FD_X2);
    cancel_all(whorl__runtime_of(t), fd);
    whorl__pause_at(FD_X3);
    /* Release: pairs with the acquire in whorl__fd_release. */
    if (whorl__sub_acq_rel(&e->word, (uint64_t)1) == CLOSING + 1)
        return; /* they are all gone */
    whorl__pause_at(FD_X3_WAIT);
    whorl__latch_wait(whorl__worker(), t, &t->gate, "close", (uintptr_t)fd, WHORL__WAIT_MUST);
}

/* The result of closing what is not open. */
static int refuse_to_close(const struct whorl_task *t, int fd, const struct whorl__fd *e, bool closing)
{
    const char *by = e && !closing ? whorl__load_relaxed(&e->closed_by) : NULL;
    const char *who = by ? "; it was closed before by a task spawned at " : closing ? "; another task is closing it just now" : "";

    if (whorl__runtime_of(t)->config.debug)
        whorl__alarm("whorl_close was given descriptor %d, which is not open, and returns -EBADF: close each descriptor once%s%s",
                     fd, who, by ? by : "");
    return -EBADF;
}

static int close_once(int fd, struct whorl_task *t)
{
    struct whorl__fd *e = entry_of(fd, true);
    uint64_t word;
    int err;

    if (!e) /* without memory for an entry there is nobody who uses it, each would need one, too */
        return fd < 0 || fd >= CHUNK * CHUNKS ? refuse_to_close(t, fd, NULL, false) : whorl__sys_close(fd);
    do {
        word = settled(e);
        if (word & CLOSING)
            return refuse_to_close(t, fd, e, true);
        whorl__pause_at(FD_X1);
    } while (!whorl__cas_seq_cst(&e->word, &word, word + (CLOSING + 1))); /* X1 */
    if (word)
        wait_for_users(e, fd, t);
    whorl__pause_at(FD_X4);
    whorl__store_relaxed(&e->more, 0);
    whorl__store_release(&e->word, CLOSING | CLOSED); /* X4; nobody else changes the word now */
    err = whorl__sys_close(fd);
    if (whorl__runtime_of(t)->config.debug && err != -EBADF)
        whorl__store_relaxed(&e->closed_by, t->where);
    whorl__pause_at(FD_X4_CLEAR);
    whorl__store_release(&e->word, (uint64_t)0); /* pairs with the exchange in whorl__fd_hold */
    return err == -EBADF ? refuse_to_close(t, fd, e, false) : err;
}

int whorl_close(int fd)
{
    struct whorl__worker *w;
    int err = close_once(fd, whorl__self_may_suspend("whorl_close", &w));

    return err ? whorl__failed_on(err, "close of descriptor", fd) : 0;
}
