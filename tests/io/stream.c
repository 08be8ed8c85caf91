/* SPDX-License-Identifier: MIT */
/* What goes through a connection: whole, in order, to the end, whatever the sizes and however it ends. */
#include "loopback.h"

#include <signal.h>

/* The byte at a position of a stream: a pattern that does not repeat with any buffer's size. */
static unsigned char byte_at(uint64_t position, uint64_t seed)
{
    return (unsigned char)((((position >> 3) + seed) * 0x9e3779b97f4a7c15) >> (8 * (position & 7)));
}

static void fill_pattern(unsigned char *buffer, size_t size, uint64_t position, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        buffer[i] = byte_at(position + i, seed);
}

/* How many bytes differ from the pattern. */
static size_t differences(const unsigned char *buffer, size_t size, uint64_t position, uint64_t seed)
{
    size_t wrong = 0;

    for (size_t i = 0; i < size; i++)
        wrong += buffer[i] != byte_at(position + i, seed);
    return wrong;
}

/* One direction of one connection. */
struct flow {
    int fd;
    uint64_t seed;
    size_t total, piece;
};

static intptr_t send_flow(void *arg)
{
    const struct flow *f = arg;
    unsigned char *buffer = malloc(f->piece);
    ssize_t n = 0;

    if (!CHECK(buffer))
        return -ENOMEM;
    for (size_t sent = 0; sent < f->total && n >= 0; sent += f->piece) {
        fill_pattern(buffer, f->piece, sent, f->seed);
        n = whorl_send_all(f->fd, buffer, f->piece, 0);
        CHECK_EQ(n, f->piece);
    }
    free(buffer);
    CHECK_EQ(whorl_shutdown(f->fd, SHUT_WR), 0);
    return 0;
}

static intptr_t receive_flow(void *arg)
{
    const struct flow *f = arg;
    unsigned char *buffer = malloc(f->piece);
    size_t received = 0, wrong = 0;
    ssize_t n;

    if (!CHECK(buffer))
        return -ENOMEM;
    while ((n = whorl_recv(f->fd, buffer, f->piece, 0)) > 0) {
        wrong += differences(buffer, (size_t)n, received, f->seed);
        received += (size_t)n;
    }
    free(buffer);
    CHECK_EQ(n, 0);
    CHECK_EQ(wrong, 0);
    CHECK_EQ(received, f->total);
    return 0;
}

TASK_TEST_WITHIN(stream, large_transfers_go_both_ways_at_once, 4, 60)
{
    enum { TOTAL = SANITIZED ? 8 << 20 : 64 << 20 };
    int ends[2];
    struct whorl_task *tasks[4];
    struct flow flows[4];

    if (!connect_ends(ends))
        return;
    for (int i = 0; i < 4; i++) {
        flows[i] = (struct flow){.fd = ends[i % 2], .seed = (uint64_t)(i == 0 || i == 3), .total = TOTAL};
        flows[i].piece = i < 2 ? 1 << 18 : 100003;
        tasks[i] = start(i < 2 ? "sender" : "receiver", i < 2 ? send_flow : receive_flow, &flows[i]);
    }
    for (int i = 0; i < 4; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
    close_ends(ends);
}

TASK_TEST(stream, a_slow_reader_gets_all_that_send_all_was_given, 2)
{
    static unsigned char buffer[1024];
    int ends[2];
    struct flow flow = {.seed = 5, .total = 8 << 20, .piece = 8 << 20};
    size_t received = 0, wrong = 0;
    struct whorl_task *sender;
    ssize_t n;

    if (!connect_ends(ends))
        return;
    flow.fd = ends[0];
    sender = start("sender", send_flow, &flow);
    UNTIL(waiting("sender", "send")); /* for us */
    while ((n = whorl_recv(ends[1], buffer, sizeof buffer, 0)) > 0) {
        wrong += differences(buffer, (size_t)n, received, flow.seed);
        received += (size_t)n;
        if (received % (1 << 16) < sizeof buffer)
            whorl_yield();
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(wrong, 0);
    CHECK_EQ(received, flow.total);
    CHECK_EQ(result_of(sender), 0);
    close_ends(ends);
}

TASK_TEST(stream, a_send_may_be_short, 2)
{
    static char buffer[16 << 20];
    int ends[2];
    ssize_t n, left;

    if (!connect_ends(ends))
        return;
    n = whorl_send(ends[0], buffer, sizeof buffer, 0);
    CHECK(n > 0 && n < (ssize_t)sizeof buffer);
    for (left = n; left > 0; left -= n) {
        n = whorl_recv(ends[1], buffer, sizeof buffer, 0);
        if (!CHECK(n > 0))
            break;
    }
    CHECK_EQ(left, 0);
    close_ends(ends);
}

TASK_TEST(stream, what_is_left_behind_is_received_next, 2)
{
    unsigned char sent[5000], back[5000];
    size_t sizes[] = {1, 2, 997, 1, 3000, 999}, at = 0;
    int ends[2];

    if (!connect_ends(ends))
        return;
    fill_pattern(sent, sizeof sent, 0, 9);
    for (int round = 0; round < 100; round++) {
        CHECK_EQ(whorl_send_all(ends[0], sent, sizeof sent, 0), sizeof sent);
        at = 0;
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            CHECK_EQ(whorl_recv(ends[1], back + at, sizes[i], 0), sizes[i]);
            at += sizes[i];
        }
        CHECK_EQ(at, sizeof sent);
        CHECK(memcmp(sent, back, sizeof sent) == 0);
    }
    close_ends(ends);
}

static intptr_t receive_all(void *arg)
{
    static char buffer[300];

    return whorl_recv((int)(intptr_t)arg, buffer, sizeof buffer, MSG_WAITALL);
}

TASK_TEST(stream, waitall_waits_for_all, 2)
{
    static const char text[100];
    int ends[2];
    struct whorl_task *receiver;

    if (!connect_ends(ends))
        return;
    receiver = start("receiver", receive_all, (void *)(intptr_t)ends[1]);
    for (int i = 0; i < 3; i++) {
        UNTIL(waiting("receiver", "recv"));
        CHECK_EQ(whorl_result(receiver, NULL), -EINPROGRESS);
        CHECK_EQ(whorl_send(ends[0], text, sizeof text, 0), sizeof text);
    }
    CHECK_EQ(result_of(receiver), 300);
    receiver = start("receiver", receive_all, (void *)(intptr_t)ends[1]);
    CHECK_EQ(whorl_send(ends[0], text, sizeof text, 0), sizeof text);
    CHECK_EQ(whorl_shutdown(ends[0], SHUT_WR), 0);
    CHECK_EQ(result_of(receiver), 100); /* the stream has no more */
    close_ends(ends);
}

TASK_TEST(stream, peek_leaves_the_data_where_it_is, 2)
{
    char back[8] = "";
    int ends[2];

    if (!connect_ends(ends))
        return;
    CHECK_EQ(whorl_send(ends[0], "abcdef", 6, 0), 6);
    UNTIL(readable(ends[1]) == 6);
    CHECK_EQ(whorl_recv(ends[1], back, 2, MSG_PEEK), 2);
    CHECK_EQ(whorl_recv(ends[1], back, sizeof back - 1, MSG_PEEK), 6);
    CHECK_STR(back, "abcdef");
    CHECK_EQ(whorl_recv(ends[1], back, 4, 0), 4);
    CHECK_EQ(whorl_recv(ends[1], back, sizeof back, 0), 2);
    CHECK(memcmp(back, "ef", 2) == 0);
    close_ends(ends);
}

TASK_TEST(stream, dontwait_does_not_wait, 2)
{
    char byte = 1;
    int ends[2];

    if (!connect_ends(ends))
        return;
    CHECK_EQ(whorl_recv(ends[1], &byte, 1, MSG_DONTWAIT), -EAGAIN);
    fill(ends[0]);
    CHECK_EQ(whorl_send(ends[0], &byte, 1, MSG_DONTWAIT), -EAGAIN);
    CHECK_EQ(whorl_send_all(ends[0], &byte, 1, MSG_DONTWAIT), -EAGAIN);
    close_ends(ends);
}

TASK_TEST(stream, nothing_can_be_sent_and_received, 2)
{
    char byte = 1;
    int ends[2];

    if (!connect_ends(ends))
        return;
    CHECK_EQ(whorl_send(ends[0], NULL, 0, 0), 0);
    CHECK_EQ(whorl_send_all(ends[0], NULL, 0, 0), 0);
    CHECK_EQ(whorl_send(ends[0], &byte, 1, 0), 1);
    UNTIL(readable(ends[1]) == 1);
    CHECK_EQ(whorl_recv(ends[1], NULL, 0, 0), 0);
    CHECK_EQ(readable(ends[1]), 1);
    CHECK_EQ(whorl_recv(ends[1], &byte, 1, 0), 1);
    whorl_deadline(whorl_after(WHORL_SEC(2)));
    CHECK_EQ(whorl_recv(ends[1], NULL, 0, 0), 0);
    close_ends(ends);
}

/* Ends of streams */

TASK_TEST(stream, each_direction_ends_by_itself, 2)
{
    char byte = 'x';
    int ends[2];

    if (!connect_ends(ends))
        return;
    CHECK_EQ(whorl_shutdown(ends[0], SHUT_WR), 0);
    CHECK_EQ(whorl_recv(ends[1], &byte, 1, 0), 0);
    CHECK_EQ(whorl_recv(ends[1], &byte, 1, 0), 0); /* and stays at the end */
    CHECK_EQ(whorl_send(ends[0], &byte, 1, 0), -EPIPE);
    CHECK_EQ(whorl_send(ends[1], &byte, 1, 0), 1);
    CHECK_EQ(whorl_recv(ends[0], &byte, 1, 0), 1);
    CHECK_EQ(whorl_shutdown(ends[1], SHUT_RDWR), 0);
    CHECK_EQ(whorl_recv(ends[0], &byte, 1, 0), 0);
    CHECK_EQ(whorl_recv(ends[1], &byte, 1, 0), 0);
    close_ends(ends);
}

static intptr_t receive_byte(void *arg)
{
    char byte;

    return whorl_recv((int)(intptr_t)arg, &byte, 1, 0);
}

static intptr_t send_on(void *arg)
{
    static char buffer[1 << 16];
    ssize_t n;

    do
        n = whorl_send_all((int)(intptr_t)arg, buffer, sizeof buffer, 0);
    while (n > 0);
    return n;
}

TASK_TEST(stream, a_receiver_that_waits_sees_the_end, 2)
{
    int ends[2];
    struct whorl_task *receiver;

    if (!connect_ends(ends))
        return;
    receiver = start("receiver", receive_byte, (void *)(intptr_t)ends[1]);
    UNTIL(waiting("receiver", "recv"));
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(result_of(receiver), 0);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(stream, shutdown_ends_a_receive_on_the_same_descriptor, 2)
{
    int ends[2];
    struct whorl_task *receiver;

    if (!connect_ends(ends))
        return;
    receiver = start("receiver", receive_byte, (void *)(intptr_t)ends[1]);
    UNTIL(waiting("receiver", "recv"));
    CHECK_EQ(whorl_shutdown(ends[1], SHUT_RD), 0);
    CHECK_EQ(result_of(receiver), 0);
    close_ends(ends);
}

TASK_TEST(stream, a_receiver_that_waits_sees_the_reset, 2)
{
    int ends[2];
    struct whorl_task *receiver;

    if (!connect_ends(ends))
        return;
    receiver = start("receiver", receive_byte, (void *)(intptr_t)ends[1]);
    UNTIL(waiting("receiver", "recv"));
    reset_at_close(ends[0]);
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(result_of(receiver), -ECONNRESET);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(stream, a_sender_that_waits_sees_the_reset, 2)
{
    int ends[2];
    struct whorl_task *sender;
    intptr_t result;

    if (!connect_ends(ends))
        return;
    sender = start("sender", send_on, (void *)(intptr_t)ends[1]);
    UNTIL(waiting("sender", "send"));
    reset_at_close(ends[0]);
    CHECK_EQ(whorl_close(ends[0]), 0);
    result = result_of(sender);
    CHECK(result == -ECONNRESET || result == -EPIPE);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

TASK_TEST(stream, sending_to_the_gone_raises_no_signal, 2)
{
    int ends[2];
    char byte = 0;

    signal(SIGPIPE, SIG_DFL);
    if (!connect_ends(ends))
        return;
    reset_at_close(ends[0]);
    CHECK_EQ(whorl_close(ends[0]), 0);
    CHECK_EQ(whorl_recv(ends[1], &byte, 1, 0), -ECONNRESET);
    CHECK_EQ(whorl_send(ends[1], &byte, 1, 0), -EPIPE);
    CHECK_EQ(whorl_send_all(ends[1], &byte, 1, 0), -EPIPE);
    CHECK_EQ(whorl_close(ends[1]), 0);
}

/* Several tasks on one descriptor */

enum { RECEIVERS = 16, BYTES = 4096 };

struct shared_end {
    int fd;
    unsigned seen[256];
};

static intptr_t receive_some(void *arg)
{
    struct shared_end *end = arg;
    unsigned char byte;
    intptr_t count = 0;

    for (; whorl_recv(end->fd, &byte, 1, 0) == 1; count++)
        __atomic_add_fetch(&end->seen[byte], 1, __ATOMIC_SEQ_CST);
    return count;
}

TASK_TEST(stream, several_tasks_receive_from_one_connection, 4)
{
    struct shared_end end = {.fd = -1};
    struct whorl_task *receivers[RECEIVERS];
    unsigned char bytes[BYTES];
    intptr_t total = 0;
    int ends[2];

    if (!connect_ends(ends))
        return;
    end.fd = ends[1];
    for (int i = 0; i < RECEIVERS; i++)
        receivers[i] = start("receiver", receive_some, &end);
    for (int i = 0; i < BYTES; i++)
        bytes[i] = (unsigned char)i;
    CHECK_EQ(whorl_send_all(ends[0], bytes, sizeof bytes, 0), sizeof bytes);
    CHECK_EQ(whorl_shutdown(ends[0], SHUT_WR), 0);
    for (int i = 0; i < RECEIVERS; i++)
        total += result_of(receivers[i]);
    CHECK_EQ(total, BYTES);
    for (int i = 0; i < 256; i++)
        CHECK_EQ(end.seen[i], BYTES / 256);
    close_ends(ends);
}
