/* SPDX-License-Identifier: MIT */
/* A program that uses a little of everything, run again and again: each time another one of the calls for memory, mappings, threads and
 * rings that the library makes is refused, alone or with all that follow. What can be done is done and right, the rest ends with
 * an error that says so; no task is lost, no descriptor or mapping left. (Under AddressSanitizer: no memory either.) */
#include "loopback.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "runtime/scheduler.h"
#include "tests/support/scarce.h"

/* Bytes of stack that are enough to go on with, and fewer than a sync is content with. */
enum { ENOUGH = 24 << 10 };

/* More tasks than a slab has records or stacks, or a heap of timers has room at first; more forks than a deque has. */
enum { TASKS = 100, FORKS = 600, NUMBERS = 3000 };

/* Of the run under way; the counters are atomic. */
static struct {
    unsigned n;
    bool lasting, ran;
    int begun, ended; /* tasks */
} now;

static void count(int *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

/* A result may be that there is no memory, when there was none. */
static bool scarcity(intptr_t result)
{
    return scarce_refused() && (result == -ENOMEM || result == -EAGAIN);
}

static bool is(intptr_t result, intptr_t expected)
{
    return scarcity(result) || CHECK_EQ(result, expected);
}

static struct whorl_task *begin(whorl_fn fn, void *arg)
{
    struct whorl_task *t = whorl_spawn(fn, arg);

    CHECK(t || scarce_refused());
    return t;
}

/* Joins it, and it has ended once, or never begun for want of a stack. */
static void end_with(struct whorl_task *t, intptr_t expected)
{
    if (t)
        is(result_of(t), expected);
}

/* Tasks that sleep; one that is cancelled; deadlines. */

static intptr_t sleep_and_return(void *arg)
{
    int result;

    count(&now.begun);
    result = whorl_sleep((intptr_t)arg * 1000);
    count(&now.ended);
    return result ? result : (intptr_t)arg;
}

static intptr_t sleep_for_ever(void *arg)
{
    int result;

    count(&now.begun);
    result = whorl_sleep(WHORL_SEC(1000));
    count(&now.ended);
    return result ? result : (intptr_t)arg;
}

static void sleep_and_cancel(void)
{
    struct whorl_task *tasks[TASKS], *sleeper = begin(sleep_for_ever, NULL);

    for (intptr_t i = 0; i < TASKS; i++)
        tasks[i] = begin(sleep_and_return, (void *)i);
    for (intptr_t i = 0; i < TASKS; i++)
        end_with(tasks[i], i);
    whorl_deadline(whorl_after(WHORL_SEC(1000)));
    is(whorl_sleep(1000), 0);
    whorl_deadline(WHORL_NEVER);
    is(whorl_sleep(1000), 0);
    if (sleeper)
        whorl_cancel(sleeper);
    end_with(sleeper, -ECANCELED);
}

/* Forks cannot fail. */

struct leaf {
    struct whorl_fork fork;
    int sleep, ran;
};

static void run_leaf(struct whorl_fork *self)
{
    struct leaf *leaf = whorl_fork_of(self, struct leaf, fork);

    leaf->ran++;
    if (leaf->sleep)
        is(whorl_sleep(leaf->sleep), 0);
}

static void fork_many(void)
{
    static struct leaf leaves[FORKS];

    for (int i = 0; i < FORKS; i++) {
        leaves[i] = (struct leaf){.sleep = i % 100 ? 0 : 1000};
        whorl_fork(&leaves[i].fork, run_leaf);
    }
    for (int i = FORKS - 1; i >= 0; i--) {
        whorl_sync(&leaves[i].fork);
        CHECK_EQ(leaves[i].ran, 1);
    }
}

/* Forks down to where a sync wants another stack, and a little further on this one when there is none. */

struct deep {
    struct whorl_fork fork;
    const struct whorl__stack *stack; /* the one that is used up */
    int depth, reached;
};

static void dig(struct whorl_fork *self)
{
    struct deep *d = whorl_fork_of(self, struct deep, fork);
    struct deep next = {.stack = d->stack, .depth = d->depth + 1};
    volatile char bytes[1000] = {0};

    d->reached = d->depth + bytes[0];
    if (whorl__worker()->current->stack != d->stack || (const char *)__builtin_frame_address(0) < d->stack->base + ENOUGH)
        return;
    whorl_fork(&next.fork, dig);
    whorl_sync(&next.fork);
    d->reached = next.reached;
}

static void dig_deep(void)
{
    struct deep root = {.stack = whorl__worker()->current->stack};

    dig(&root.fork);
    CHECK(root.reached > 0);
}

static void add_indices(size_t first, size_t last, void *into, void *arg)
{
    (void)arg;
    for (size_t i = first; i < last; i++)
        *(uint64_t *)into += i;
}

static void add_sums(void *into, const void *from, void *arg)
{
    (void)arg;
    *(uint64_t *)into += *(const uint64_t *)from;
}

static int compare_numbers(const void *a, const void *b, void *arg)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    (void)arg;
    return x < y ? -1 : x > y;
}

/* Without memory the numbers are as they were. */
static void add_and_sort(void)
{
    static uint32_t numbers[NUMBERS], before[NUMBERS];
    uint64_t seed = test_seed(), sum = 0;
    int result;

    CHECK_EQ(whorl_reduce(0, NUMBERS, add_indices, add_sums, NULL, &sum, sizeof sum), 0);
    CHECK_EQ(sum, NUMBERS * (NUMBERS - 1) / 2);
    for (int i = 0; i < NUMBERS; i++)
        numbers[i] = before[i] = (uint32_t)test_random(&seed);
    result = whorl_sort(numbers, NUMBERS, sizeof *numbers, compare_numbers, NULL);
    if (result)
        CHECK(scarcity(result) && memcmp(numbers, before, sizeof numbers) == 0);
    for (int i = 1; result == 0 && i < NUMBERS; i++)
        CHECK(numbers[i - 1] <= numbers[i]);
}

/* Blocking functions and generators. */

static intptr_t add_seven(void *arg)
{
    return (intptr_t)arg + 7;
}

static intptr_t block(void *arg)
{
    intptr_t result = 0;
    int err;

    count(&now.begun);
    err = whorl_pool_run((struct whorl_pool *)arg, add_seven, (void *)1, &result);
    count(&now.ended);
    return err ? err : result;
}

static intptr_t block_with_own(void *arg)
{
    intptr_t result = 0;
    void *own = malloc(1);
    int err;

    count(&now.begun);
    err = whorl_pool_run_owned((struct whorl_pool *)arg, add_seven, own, free, &result);
    if (!err) {
        CHECK_EQ(result, (intptr_t)own + 7);
        free(own);
    }
    count(&now.ended);
    return err ? err : 8;
}

static void block_some(void)
{
    struct whorl_pool *pool = whorl_pool_create(NULL);
    struct whorl_task *tasks[6];

    CHECK(pool || scarce_refused());
    if (!pool)
        return;
    for (int i = 0; i < 6; i++)
        tasks[i] = begin(i % 2 ? block_with_own : block, pool);
    for (int i = 0; i < 6; i++)
        end_with(tasks[i], 8);
    CHECK_EQ(whorl_pool_destroy(pool), 0);
}

static int generate_some(struct whorl_generator *g, void *arg)
{
    int err = whorl_sleep(1000);

    for (int i = 0; !err && i < 5; i++)
        err = whorl_generate(g, arg);
    return err;
}

static void ask_some(void)
{
    struct whorl_generator g;
    int item = 3, got = 0, items = 0, err = whorl_generator_open(&g, generate_some, &item, sizeof item);

    is(err, 0);
    if (err)
        return;
    while ((got = whorl_generator_next(&g, &item)) > 0)
        items++;
    is(got, 0);
    CHECK(items == 5 || got < 0);
    is(whorl_generator_close(&g), got);
}

/* Another thread, which the test itself is given in any case. */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg);

struct visit {
    struct whorl_runtime *runtime;
    int over; /* atomic */
};

/* Sleeps not: the null reactor's clock stands still while somebody yields. */
static intptr_t answer(void *arg)
{
    count(&now.begun);
    count(&now.ended);
    return (intptr_t)arg;
}

static void *visit(void *arg)
{
    struct visit *v = arg;
    struct whorl_task *t = whorl_runtime_spawn(v->runtime, answer, (void *)5, NULL);
    intptr_t result = 0;

    CHECK(t || scarce_refused());
    if (t && CHECK_EQ(whorl_runtime_join(t, &result), 0))
        is(result, 5);
    __atomic_store_n(&v->over, 1, __ATOMIC_RELEASE);
    return NULL;
}

/* Is there a stack but for ours? If not, a task would wait for one as long as we yield. */
static bool there_is_a_stack(void)
{
    struct whorl_task *t = whorl_spawn(answer, (void *)5);
    intptr_t result = 0;

    CHECK(t || scarce_refused());
    return t && CHECK_EQ(whorl_join(t, &result), 0) && is(result, 5) && result == 5;
}

static void be_visited(void)
{
    struct visit v = {.runtime = whorl_runtime()};
    pthread_t thread;

    if (!there_is_a_stack())
        return;
    if (!CHECK_EQ(__real_pthread_create(&thread, NULL, visit, &v), 0))
        return;
    while (!__atomic_load_n(&v.over, __ATOMIC_ACQUIRE))
        whorl_yield();
    pthread_join(thread, NULL);
}

/* Channels, queues, selects. */

static intptr_t send_three(void *arg)
{
    for (long i = 0; i < 3; i++)
        is(whorl_channel_send(arg, &i), 0);
    return 3;
}

static void send_and_select(void)
{
    struct whorl_channel *c = whorl_channel_create(sizeof(long), 1);
    struct whorl_task *sender;
    long item = 0, received = 0;

    CHECK(c || scarce_refused());
    if (!c || !there_is_a_stack()) { /* while a timer runs the sender would wait for one */
        whorl_channel_destroy(c);
        return;
    }
    sender = begin(send_three, c);
    while (sender && received < 3) {
        struct whorl_case cases[] = {whorl_case_recv(c, &item), whorl_case_at(whorl_after(WHORL_SEC(1000)))};
        int chosen = whorl_select(cases, 2);
        intptr_t sent;

        if (chosen == 0)
            CHECK_EQ(item, received++);
        else if (!CHECK(scarcity(chosen)) || (whorl_result(sender, &sent) == 0 && scarcity(sent)))
            break;
        else
            whorl_yield();
    }
    end_with(sender, 3);
    whorl_channel_destroy(c);
}

static void put_and_get(void)
{
    struct whorl_queue *q = whorl_queue_create(sizeof(long), 0, WHORL_QUEUE_FIFO);
    long put = 0, got = 0, item;

    CHECK(q || scarce_refused());
    if (!q)
        return;
    for (long i = 0; i < NUMBERS; i++) {
        int err = whorl_queue_put(q, &put);

        is(err, 0);
        put += err == 0;
    }
    while (whorl_queue_try_get(q, &item) == 0)
        CHECK_EQ(item, got++);
    CHECK_EQ(got, put);
    whorl_queue_destroy(q);
}

/* Values that tasks inherit, what they defer, and what is said of a call that failed. */

static int values[2], dropped; /* atomic */

static void drop_value(void *value)
{
    (void)value;
    count(&dropped);
}

static const struct whorl_local value_key = {drop_value};

static void end_one(void *counter)
{
    is(whorl_sleep(1000), 0);
    count(counter);
}

static intptr_t inherit(void *arg)
{
    int err = whorl_defer(end_one, &now.ended);

    CHECK(whorl_local_get(&value_key) == arg);
    if (is(err, 0) && !err)
        count(&now.begun);
    err = whorl_recv(-1, NULL, 1, 0);
    if (CHECK(err == -EBADF || scarcity(err))) {
        CHECK_EQ(whorl_error(), err);
        CHECK_HAS(whorl_error_text(), whorl_strerror(err));
    }
    return 0;
}

static void hand_values_down(void)
{
    struct whorl_scope s;
    int set = 0, before = dropped, err;

    for (int i = 0; i < 2; i++) {
        err = whorl_local_set(&value_key, &values[i]);
        set += is(err, 0) && !err;
        whorl_scope_open(&s);
        for (int j = 0; j < TASKS / 10; j++)
            is(whorl_scope_spawn(&s, inherit, whorl_local_get(&value_key)), 0);
        is(whorl_scope_close(&s), 0);
    }
    CHECK_EQ(whorl_local_set(&value_key, NULL), 0); /* there is only this one, so it needs no memory */
    CHECK_EQ(dropped - before, set);
}

/* What needs a kernel. */

static void speak(int from, int to)
{
    char text[6] = "hello", back[6];

    if (is(whorl_send(from, text, sizeof text, 0), sizeof text) && is(whorl_recv(to, back, sizeof back, MSG_DONTWAIT), sizeof back))
        CHECK_STR(back, text);
}

/* By a name, so that a thread has to look it up. */
static void connect_and_speak(void)
{
    int listener = whorl_tcp_listen(LOOPBACK, 0, NULL), one, other;

    if (listener < 0) {
        CHECK(scarcity(listener));
        return;
    }
    one = whorl_tcp_connect("localhost", (uint16_t)whorl_tcp_port(listener));
    CHECK(one >= 0 || scarcity(one));
    if (one >= 0) {
        other = whorl_accept(listener);
        CHECK(other >= 0 || scarcity(other));
        if (other >= 0) {
            speak(one, other);
            speak(other, one);
            CHECK_EQ(whorl_close(other), 0);
        }
        CHECK_EQ(whorl_close(one), 0);
    }
    CHECK_EQ(whorl_close(listener), 0);
}

static intptr_t receive(void *arg)
{
    char byte;

    return whorl_recv((int)(intptr_t)arg, &byte, 1, 0);
}

/* Somebody waits for what is sent. */
static void send_and_receive(void)
{
    int ends[2];
    struct whorl_task *receiver;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    receiver = begin(receive, (void *)(intptr_t)ends[0]);
    whorl_yield();
    if (!is(whorl_send(ends[1], "x", 1, 0), 1) || scarce_refused())
        CHECK_EQ(whorl_shutdown(ends[1], SHUT_RDWR), 0); /* the receiver may wait for a byte that could not be sent */
    if (receiver) {
        intptr_t got = result_of(receiver);

        CHECK(got == 1 || (got == 0 && scarce_refused()) || scarcity(got));
    }
    close_ends(ends);
}

static void read_a_file(void)
{
    char bytes[4];
    ssize_t n;
    int fd = whorl_open("/proc/self/exe", O_RDONLY, 0);

    CHECK(fd >= 0 || scarcity(fd));
    if (fd < 0)
        return;
    n = whorl_read_at(fd, bytes, sizeof bytes, 0);
    if (is(n, sizeof bytes) && n > 0)
        CHECK(memcmp(bytes, "\177ELF", sizeof bytes) == 0);
    CHECK_EQ(whorl_close(fd), 0);
}

/* A thread: a task could be left without a stack, while what waits for it has the last one. */
static void *write_later(void *arg)
{
    const struct timespec a_while = {.tv_nsec = WHORL_US(100)};

    nanosleep(&a_while, NULL);
    CHECK_EQ(plain_send((int)(intptr_t)arg, "x", 1), 1);
    return NULL;
}

static void select_a_descriptor(void)
{
    int ends[2], chosen;
    struct whorl_case fd;
    pthread_t writer;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fd = whorl_case_fd(ends[0], POLLIN);
    if (CHECK_EQ(__real_pthread_create(&writer, NULL, write_later, (void *)(intptr_t)ends[1]), 0)) {
        chosen = whorl_select(&fd, 1);
        CHECK((chosen == 0 && (fd.result == POLLIN || scarcity(fd.result))) || scarcity(chosen));
        pthread_join(writer, NULL);
    }
    close_ends(ends);
}

static intptr_t do_everything(void *arg)
{
    struct whorl_stats stats = {.size = sizeof stats};

    now.ran = true;
    sleep_and_cancel();
    fork_many();
    dig_deep();
    add_and_sort();
    block_some();
    ask_some();
    be_visited();
    send_and_select();
    put_and_get();
    hand_values_down();
    if (strcmp(whorl_reactor(), "uring") == 0) {
        connect_and_speak();
        send_and_receive();
        read_a_file();
        select_a_descriptor();
    }
    CHECK_EQ(whorl_stats(-1, &stats), 0);
    CHECK_EQ(stats.submitted, stats.completed);
    return (intptr_t)arg;
}

/* As whorl_run, by the steps of an explicit runtime. */
static intptr_t run_explicitly(whorl_fn fn, void *arg, const struct whorl_options *options)
{
    struct whorl_runtime *rt;
    intptr_t result = 0;
    int err = whorl_runtime_create(options, &rt);

    if (err)
        return err;
    err = whorl_runtime_run(rt, fn, arg, &result);
    whorl_runtime_close(rt);
    return err ? err : result;
}

typedef intptr_t (*run_fn)(whorl_fn fn, void *arg, const struct whorl_options *options);

/* Runs it. Returns how many calls there were. */
static unsigned run_once(run_fn run, const struct whorl_options *options)
{
    int before = open_descriptors();
    unsigned calls;
    intptr_t result;

    now.ran = false;
    now.begun = now.ended = 0;
    scarce_begin(now.n, now.lasting);
    result = run(do_everything, (void *)7, options);
    calls = scarce_end();
    if (now.ran)
        CHECK_EQ(result, 7);
    else
        CHECK(scarcity(result));
    CHECK_EQ(now.ended, now.begun);
    CHECK_EQ(open_descriptors(), before);
    CHECK_EQ(scarce_mapped(), 0);
    return calls;
}

/* Before a run that hangs is killed. */
static void name_the_run(int signal)
{
    dprintf(STDERR_FILENO, "signal %d while call %u is refused, %s (%s)\n", signal, now.n,
            now.lasting ? "and all after it" : "alone", scarce_what());
    whorl_dump(STDERR_FILENO);
}

/* The n-th, from the first to the last there is. A sanitizer slows all that down: there it is some of them, others each time. */
static void refuse_each_of(run_fn run, const char *reactor, int workers, bool lasting)
{
    struct whorl_options options = {.size = sizeof options,
                                    .reactor = reactor,
                                    .workers = workers,
                                    .stack_size = 1 << 20,
                                    .cancel_on_sigint = 1,
                                    .debug = workers > 1};
    uint64_t seed = test_seed();

    signal(SIGQUIT, name_the_run);
    now.lasting = lasting;
    now.n = 1;
    while (run_once(run, &options) >= now.n && test_failures() == 0)
        now.n += SANITIZED ? 1 + (unsigned)(test_random(&seed) % 8) : 1;
    if (test_failures())
        name_the_run(0);
    CHECK(now.n > 50); /* there were some */
}

static void refuse_each(const char *reactor, int workers, bool lasting)
{
    refuse_each_of(whorl_run, reactor, workers, lasting);
}

TEST(scarce, one_call_is_refused_on_the_null_reactor, .timeout = 60)
{
    refuse_each("null", 1, false);
    refuse_each("null", 3, false);
}

TEST(scarce, all_calls_are_refused_from_one_on_on_the_null_reactor, .timeout = 60)
{
    refuse_each("null", 1, true);
    refuse_each("null", 3, true);
}

TEST(scarce, one_call_is_refused, .timeout = 60)
{
    NEED_URING();
    refuse_each("uring", 1, false);
    refuse_each("uring", 4, false);
}

TEST(scarce, all_calls_are_refused_from_one_on, .timeout = 60)
{
    NEED_URING();
    refuse_each("uring", 1, true);
    refuse_each("uring", 4, true);
}

TEST(scarce, explicit_runtimes_do_without_as_well, .timeout = 120)
{
    refuse_each_of(run_explicitly, "null", 2, false);
    refuse_each_of(run_explicitly, "null", 2, true);
    NEED_URING();
    refuse_each_of(run_explicitly, "uring", 2, false);
    refuse_each_of(run_explicitly, "uring", 2, true);
}
