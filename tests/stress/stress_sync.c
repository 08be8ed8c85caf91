/* SPDX-License-Identifier: MIT */
/* Locks, permits, conditions, events and barriers between tasks on real workers and OS threads, doing whatever the seed says, while
 * tasks are cancelled at whatever point: what they guard is guarded, nothing is lost, and what may be freed is not touched any
 * more. */
#include "tests/io/loopback.h"

#include <pthread.h>

enum { WORKERS = 4, TASKS = 8, THREADS = 2, PEOPLE = TASKS + THREADS };

/* One who acts again and again. */
struct person {
    struct play *play;
    uint64_t seed;
    int number;
    bool task; /* not a thread */
};

struct play {
    void (*act)(struct person *p);
    unsigned acts;  /* of each */
    bool cancelled; /* tasks are, now and then */
    struct person people[PEOPLE];
    struct whorl_wait_group threads;
    uint32_t ended; /* tasks, atomic */
};

static uint64_t draw(struct person *p, uint64_t n)
{
    return test_random(&p->seed) % n;
}

/* Lets others in between: what a task may do while it holds something. */
static void dawdle(struct person *p)
{
    if (!p->task || draw(p, 4))
        return;
    if (draw(p, 8) == 0)
        whorl_sleep((whorl_ns)draw(p, 50000)); /* which may be cancelled */
    else
        whorl_yield();
}

static bool gave_up(const struct person *p, int err)
{
    CHECK(err == 0 || (p->task && p->play->cancelled && err == -ECANCELED));
    return err != 0;
}

static void act_often(struct person *p)
{
    for (unsigned i = 0; i < p->play->acts && test_failures() == 0; i++)
        p->play->act(p);
}

static intptr_t be_task(void *arg)
{
    struct person *p = arg;

    act_often(p);
    __atomic_fetch_add(&p->play->ended, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void *be_thread(void *arg)
{
    struct person *p = arg;

    act_often(p);
    whorl_wait_group_done(&p->play->threads);
    return NULL;
}

static void cancel_some(struct play *play, struct whorl_task **tasks)
{
    uint64_t seed = test_seed();

    while (__atomic_load_n(&play->ended, __ATOMIC_SEQ_CST) < TASKS) {
        if (play->cancelled)
            whorl_cancel(tasks[test_random(&seed) % TASKS]);
        CHECK_EQ(whorl_sleep((whorl_ns)(test_random(&seed) % 20000)), 0);
    }
}

/* All act at once, until each has acted often enough. */
static void perform(struct play *play)
{
    struct whorl_task *tasks[TASKS];
    pthread_t threads[THREADS];

    play->acts *= test_seconds(1);
    for (int i = 0; i < PEOPLE; i++)
        play->people[i] = (struct person){play, test_seed() + (uint64_t)i, i, i < TASKS};
    whorl_wait_group_add(&play->threads, THREADS);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, be_thread, &play->people[TASKS + i]), 0);
    for (int i = 0; i < TASKS; i++)
        tasks[i] = start("person", be_task, &play->people[i]);
    cancel_some(play, tasks);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(result_of(tasks[i]), 0);
    CHECK_EQ(whorl_wait_group_wait(&play->threads), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL); /* they have nothing left to do but to end */
}

/* A mutex, and what it guards. */

static struct whorl_mutex mutex;
static struct {
    int holders;
    unsigned long sum, sum_again;
} guarded;
static unsigned long additions; /* atomic */

static void lock_and_add(struct person *p)
{
    bool try = draw(p, 4) == 0;
    int err = try ? whorl_mutex_try_lock(&mutex) : whorl_mutex_lock(&mutex);

    if (try ? err == -EBUSY : gave_up(p, err))
        return;
    CHECK_EQ(++guarded.holders, 1);
    guarded.sum++;
    dawdle(p);
    guarded.sum_again++;
    CHECK_EQ(guarded.sum, guarded.sum_again);
    guarded.holders--;
    whorl_mutex_unlock(&mutex);
    __atomic_fetch_add(&additions, 1, __ATOMIC_RELAXED);
}

static void lock_everywhere(void)
{
    struct play play = {.act = lock_and_add, .acts = rounds(20000), .cancelled = true};

    guarded.sum = guarded.sum_again = additions = 0;
    perform(&play);
    CHECK_EQ(guarded.sum, additions);
    CHECK_EQ(mutex.word, 0);
}

TEST(sync, a_mutex_has_one_holder, .timeout = 120)
{
    in_runtime(WORKERS, lock_everywhere);
}

/* Objects that are freed by the last who unlocks them, while the one before may still be on its way out. Each of two slots has one
 * that all use; `slots` has a mutex of its own. */

struct object {
    struct whorl_mutex mutex;
    int users;
    unsigned long used;
};

static struct {
    struct whorl_mutex mutex;
    struct object *object;
} slot;

static struct object *take_object(struct person *p)
{
    struct object *o;

    if (gave_up(p, whorl_mutex_lock(&slot.mutex)))
        return NULL;
    if (!slot.object && CHECK((slot.object = calloc(1, sizeof *slot.object)) != NULL))
        slot.object->users = 3;
    o = slot.object;
    if (o && --o->users == 0) { /* the third takes it away: who has it is in its own list of users then */
        o->users = 3;
        slot.object = NULL;
    }
    whorl_mutex_unlock(&slot.mutex);
    return o;
}

static void use_object(struct person *p)
{
    struct object *o = take_object(p);
    bool last;

    if (!o)
        return;
    while (whorl_mutex_lock(&o->mutex) < 0)
        continue; /* its user it is all the same */
    dawdle(p);
    last = ++o->used == 3;
    whorl_mutex_unlock(&o->mutex);
    if (last)
        free(o);
}

static void use_objects(void)
{
    struct play play = {.act = use_object, .acts = rounds(10000), .cancelled = true};

    perform(&play);
    free(slot.object);
    slot.object = NULL;
}

TEST(sync, a_mutex_may_be_freed_by_the_last_who_has_unlocked_it, .timeout = 120)
{
    in_runtime(WORKERS, use_objects);
}

/* One who waits is cancelled while the mutex is unlocked: it has it, or nobody has. */

static intptr_t lock_and_unlock(void *arg)
{
    int err = whorl_mutex_lock(arg);

    if (!err)
        whorl_mutex_unlock(arg);
    return err;
}

static void unlock_and_cancel(struct person *p)
{
    struct whorl_mutex *m = calloc(1, sizeof *m);
    struct whorl_task *t;
    intptr_t result;

    if (!p->task || !CHECK(m)) {
        free(m);
        return;
    }
    CHECK_EQ(whorl_mutex_lock(m), 0);
    t = start("next", lock_and_unlock, m);
    for (uint64_t n = draw(p, 4); n > 0; n--)
        whorl_yield();
    whorl_cancel(t);
    if (draw(p, 2))
        whorl_yield();
    whorl_mutex_unlock(m);
    result = result_of(t);
    CHECK(result == 0 || result == -ECANCELED);
    CHECK_EQ(m->word, 0);
    CHECK(!m->waiters.first);
    free(m);
}

static void unlock_and_cancel_everywhere(void)
{
    struct play play = {.act = unlock_and_cancel, .acts = rounds(4000)};

    perform(&play);
}

TEST(sync, a_mutex_is_had_or_free_when_who_waits_for_it_is_cancelled, .timeout = 120)
{
    in_runtime(WORKERS, unlock_and_cancel_everywhere);
}

/* Readers and writers. */

static struct whorl_rwlock book;
static struct {
    unsigned long left, right; /* the same, but for who writes */
    uint32_t readers;          /* atomic */
    int writers;
} pages;

static void write_page(struct person *p)
{
    if (gave_up(p, whorl_rwlock_lock_write(&book)))
        return;
    CHECK_EQ(++pages.writers, 1);
    CHECK_EQ(__atomic_load_n(&pages.readers, __ATOMIC_RELAXED), 0);
    pages.left++;
    dawdle(p);
    pages.right++;
    pages.writers--;
    whorl_rwlock_unlock_write(&book);
}

static void read_or_write(struct person *p)
{
    if (draw(p, 4) == 0) {
        write_page(p);
        return;
    }
    if (gave_up(p, whorl_rwlock_lock_read(&book)))
        return;
    __atomic_fetch_add(&pages.readers, 1, __ATOMIC_RELAXED);
    CHECK_EQ(pages.writers, 0);
    CHECK_EQ(pages.left, pages.right);
    dawdle(p);
    CHECK_EQ(pages.left, pages.right);
    __atomic_fetch_sub(&pages.readers, 1, __ATOMIC_RELAXED);
    whorl_rwlock_unlock_read(&book);
}

static void read_and_write(void)
{
    struct play play = {.act = read_or_write, .acts = rounds(20000), .cancelled = true};

    perform(&play);
    CHECK_EQ(book.permits.free, 0);
    CHECK_EQ(pages.left, pages.right);
}

TEST(sync, a_writer_is_alone, .timeout = 120)
{
    in_runtime(WORKERS, read_and_write);
}

/* Permits. */

enum { PERMITS = 5 };

static struct whorl_semaphore semaphore;
static int32_t out; /* atomic */

static void take_permits(struct person *p)
{
    size_t count = 1 + draw(p, 3);

    if (gave_up(p, whorl_semaphore_acquire_many(&semaphore, count)))
        return;
    CHECK(__atomic_add_fetch(&out, (int32_t)count, __ATOMIC_RELAXED) <= PERMITS);
    dawdle(p);
    __atomic_sub_fetch(&out, (int32_t)count, __ATOMIC_RELAXED);
    CHECK_EQ(whorl_semaphore_release_many(&semaphore, count), 0);
}

static void share_permits(void)
{
    struct play play = {.act = take_permits, .acts = rounds(20000), .cancelled = true};

    whorl_semaphore_init_bounded(&semaphore, PERMITS);
    perform(&play);
    CHECK_EQ(semaphore.permits.free, PERMITS);
    CHECK_EQ(whorl_semaphore_release(&semaphore), -EOVERFLOW);
}

TEST(sync, no_permit_is_lost_or_made, .timeout = 120)
{
    in_runtime(WORKERS, share_permits);
}

/* A store with few places. Whoever is cancelled has not put, or taken, anything. */

enum { PLACES = 3 };

static struct {
    struct whorl_mutex mutex;
    struct whorl_condition not_full, not_empty;
    int things, put, taken;
} store;

/* With the mutex. */
static int wait_until(bool (*can)(void), struct whorl_condition *condition)
{
    int err = 0;

    while (!err && !can())
        err = whorl_condition_wait(condition, &store.mutex);
    return err;
}

static bool has_room(void)
{
    return store.things < PLACES;
}

static bool has_thing(void)
{
    return store.things > 0;
}

static int move_thing(bool put)
{
    int err = whorl_mutex_lock(&store.mutex);

    if (err)
        return err;
    err = put ? wait_until(has_room, &store.not_full) : wait_until(has_thing, &store.not_empty);
    if (!err) {
        store.things += put ? 1 : -1;
        *(put ? &store.put : &store.taken) += 1;
        whorl_condition_notify(put ? &store.not_empty : &store.not_full);
    }
    whorl_mutex_unlock(&store.mutex);
    return err;
}

/* Half of them put, half of them take, all as often: so all come to an end. */
static void put_or_take(struct person *p)
{
    while (gave_up(p, move_thing(p->number % 2)))
        continue;
    dawdle(p);
}

static void trade(void)
{
    struct play play = {.act = put_or_take, .acts = rounds(5000), .cancelled = true};

    memset(&store, 0, sizeof store);
    perform(&play);
    CHECK_EQ(store.things, 0);
    CHECK_EQ(store.put, store.taken);
    CHECK_EQ(store.put, (int)play.acts * PEOPLE / 2);
}

TEST(sync, no_notification_is_lost, .timeout = 120)
{
    in_runtime(WORKERS, trade);
}

/* Events, wait groups and onces that are freed by who was let go, at once. */

struct errand {
    struct whorl_event done;
    struct whorl_wait_group group;
    struct whorl_once once;
    int things; /* done in it */
    bool event_first;
};

static intptr_t count_thing(void *arg)
{
    return ++((struct errand *)arg)->things;
}

static intptr_t run_errand(void *arg)
{
    struct errand *e = arg;

    CHECK_EQ(whorl_once(&e->once, count_thing, e), 1);
    if (e->event_first) {
        whorl_event_set(&e->done);
        whorl_wait_group_done(&e->group);
    } else {
        whorl_wait_group_done(&e->group);
        whorl_event_set(&e->done);
    }
    return 0;
}

static void *run_errand_outside(void *arg)
{
    run_errand(arg);
    return NULL;
}

/* By a task, or for a task now and then by a thread. True: it was begun. */
static bool send_out(struct person *p, struct errand *e)
{
    pthread_t thread;
    struct whorl_task *t;

    if (!p->task || draw(p, 16) == 0) {
        if (!CHECK_EQ(pthread_create(&thread, NULL, run_errand_outside, e), 0))
            return false;
        pthread_detach(thread);
        return true;
    }
    t = whorl_spawn(run_errand, e);
    if (!CHECK(t))
        return false;
    whorl_detach(t);
    return true;
}

static void wait_for_errand(struct person *p)
{
    struct errand *e = calloc(1, sizeof *e);

    if (!CHECK(e))
        return;
    e->event_first = draw(p, 2);
    whorl_wait_group_add(&e->group, 1);
    if (!p->task && draw(p, 8))
        run_errand(e);
    else if (!send_out(p, e))
        goto out;
    CHECK_EQ(whorl_once(&e->once, count_thing, e), 1);
    dawdle(p);
    while (gave_up(p, whorl_wait_group_wait(&e->group)) || gave_up(p, whorl_event_wait(&e->done)))
        continue; /* it is still on its way */
    CHECK_EQ(e->things, 1);
out:
    free(e);
}

static void run_errands(void)
{
    struct play play = {.act = wait_for_errand, .acts = rounds(3000)};

    perform(&play);
}

TEST(sync, events_and_wait_groups_may_be_freed_by_who_was_let_go, .timeout = 120)
{
    in_runtime(WORKERS, run_errands);
}

/* A march of all, in which one gives up in the end. */

static struct whorl_barrier barrier;
static uint32_t steps[PEOPLE]; /* atomic */

static void step(struct person *p)
{
    uint32_t mine = __atomic_add_fetch(&steps[p->number], 1, __ATOMIC_RELAXED);
    int place = whorl_barrier_wait(&barrier);

    CHECK(place >= 0 && place < PEOPLE);
    for (int i = 0; i < PEOPLE; i++) {
        uint32_t others = __atomic_load_n(&steps[i], __ATOMIC_RELAXED);

        CHECK(others == mine || others == mine + 1);
    }
    if (draw(p, 64) == 0)
        dawdle(p);
}

static void march(void)
{
    struct play play = {.act = step, .acts = rounds(1000)};

    memset(steps, 0, sizeof steps);
    whorl_barrier_init(&barrier, PEOPLE);
    perform(&play);
    CHECK_EQ(barrier.waiting, 0);
}

TEST(sync, a_barrier_keeps_all_in_step, .timeout = 120)
{
    in_runtime(WORKERS, march);
}

static intptr_t wait_at_barrier(void *arg)
{
    return whorl_barrier_wait(arg);
}

static void *wait_outside(void *arg)
{
    return (void *)(intptr_t)whorl_barrier_wait(arg);
}

static void break_barriers(void)
{
    for (unsigned i = rounds(2000) * test_seconds(1); i > 0; i--) {
        struct whorl_barrier b;
        struct whorl_task *tasks[3];
        bool thread = i % 16 == 0;
        pthread_t outside;
        void *result = NULL;
        int broken = 0;

        whorl_barrier_init(&b, thread ? 4 : 3);
        if (thread)
            CHECK_EQ(pthread_create(&outside, NULL, wait_outside, &b), 0);
        for (int k = 0; k < 3; k++)
            tasks[k] = start("party", wait_at_barrier, &b);
        if (i % 2)
            whorl_yield();
        whorl_cancel(tasks[i % 3]);
        for (int k = 0; k < 3; k++) {
            intptr_t place = result_of(tasks[k]);

            CHECK(place >= 0 || place == -EPIPE || (place == -ECANCELED && k == (int)(i % 3)));
            broken += place < 0;
        }
        if (thread) {
            pthread_join(outside, &result);
            broken += (intptr_t)result < 0;
        }
        CHECK(broken == 0 || broken == (thread ? 4 : 3));
    }
}

TEST(sync, nobody_hangs_at_a_barrier_that_breaks, .timeout = 120)
{
    in_runtime(WORKERS, break_barriers);
}

/* No more pass than the rate allows, however many ask. */

static struct whorl_limiter limiter;
static uint32_t passed; /* atomic */

static void pass(struct person *p)
{
    if (p->task && !gave_up(p, whorl_limiter_acquire(&limiter)))
        __atomic_fetch_add(&passed, 1, __ATOMIC_RELAXED);
}

static void keep_the_rate(void)
{
    struct play play = {.act = pass, .acts = rounds(1000), .cancelled = true};
    whorl_ns begin;

    passed = 0;
    CHECK_EQ(whorl_limiter_init(&limiter, 20, WHORL_MS(1), 10), 0);
    begin = whorl_now();
    perform(&play);
    CHECK(passed <= 10 + 20 * (uint64_t)(whorl_now() - begin + WHORL_MS(1)) / (uint64_t)WHORL_MS(1));
    CHECK_EQ(limiter.line.word, 0);
}

TEST(sync, a_limiter_keeps_its_rate, .timeout = 120)
{
    in_runtime(WORKERS, keep_the_rate);
}
