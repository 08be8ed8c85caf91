/* SPDX-License-Identifier: MIT */
/* Read-write locks: many readers or one writer, and neither starves. */
#include "sync.h"

static bool is_free(const struct whorl_rwlock *l)
{
    return l->permits.free == 0 && !l->writer && nobody_waits(&l->permits.waiters);
}

/* Tasks that come a millisecond apart and stay for a second. */
struct book {
    struct whorl_rwlock lock;
    int readers, writers;
    int order[8], had;
    whorl_ns when[8];
};

struct person {
    struct book *book;
    int number;
    bool writes;
};

static intptr_t stay(void *arg)
{
    struct person *p = arg;
    struct book *b = p->book;
    int err = whorl_sleep(WHORL_MS(p->number));

    if (!err)
        err = p->writes ? whorl_rwlock_lock_write(&b->lock) : whorl_rwlock_lock_read(&b->lock);
    if (err)
        return err;
    b->when[b->had] = whorl_now();
    b->order[b->had++] = p->number;
    *(p->writes ? &b->writers : &b->readers) += 1;
    CHECK(b->writers == 0 || (b->writers == 1 && b->readers == 0));
    whorl_sleep(WHORL_SEC(1));
    CHECK(b->writers == 0 || (b->writers == 1 && b->readers == 0));
    *(p->writes ? &b->writers : &b->readers) -= 1;
    if (p->writes)
        whorl_rwlock_unlock_write(&b->lock);
    else
        whorl_rwlock_unlock_read(&b->lock);
    return 0;
}

static void spawn_all(struct book *b, const char *who, struct person *people, struct whorl_task **tasks)
{
    for (int i = 0; who[i]; i++) {
        people[i] = (struct person){b, i, who[i] == 'w'};
        tasks[i] = whorl_spawn(stay, &people[i]);
    }
}

static intptr_t in_turn(void *arg)
{
    struct book b = {.had = 0};
    struct person people[8];
    struct whorl_task *tasks[8];
    static const int starts[] = {0, 0, 1, 2, 2, 3, 4}; /* seconds: r r w r r w w */

    (void)arg;
    spawn_all(&b, "rrwrrww", people, tasks);
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    CHECK_EQ(whorl_rwlock_try_lock_read(&b.lock), -EBUSY); /* a writer waits */
    CHECK_EQ(whorl_rwlock_try_lock_write(&b.lock), -EBUSY);
    for (int i = 0; i < 7; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK_EQ(b.had, 7);
    for (int i = 0; i < 7; i++) {
        CHECK(b.order[i] == i || (i == 3 && b.order[i] == 4) || (i == 4 && b.order[i] == 3));
        CHECK(b.when[i] >= WHORL_SEC(starts[i]) && b.when[i] < WHORL_SEC(starts[i]) + WHORL_MS(10));
    }
    CHECK(is_free(&b.lock));
    return 0;
}

TEST(rwlock, readers_go_together_and_nobody_passes)
{
    run_everywhere(in_turn, NULL);
}

static intptr_t cancel_the_writer(void *arg)
{
    struct book b = {.had = 0};
    struct person people[8];
    struct whorl_task *tasks[8];
    intptr_t result;

    (void)arg;
    spawn_all(&b, "rwrr", people, tasks);
    CHECK_EQ(whorl_sleep(WHORL_MS(500)), 0);
    CHECK_EQ(b.readers, 1);
    whorl_cancel(tasks[1]);
    CHECK_EQ(whorl_join(tasks[1], &result), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(whorl_sleep(WHORL_MS(1)), 0);
    CHECK_EQ(b.readers, 3); /* those behind it need not wait for the first */
    for (int i = 0; i < 4; i++)
        if (i != 1)
            CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK(whorl_now() < WHORL_MS(1600));
    CHECK(is_free(&b.lock));
    return 0;
}

TEST(rwlock, a_writer_that_is_cancelled_lets_the_readers_in_that_wait_for_it)
{
    run_everywhere(cancel_the_writer, NULL);
}

/* Readers come without end, overlapping, until a writer has been served. */
struct flood {
    struct whorl_rwlock lock;
    bool written;
    int came_after;
};

static intptr_t read_on(void *arg)
{
    struct flood *f = arg;

    while (!f->written) {
        CHECK_EQ(whorl_rwlock_lock_read(&f->lock), 0);
        f->came_after++;
        CHECK_EQ(whorl_sleep(WHORL_MS(10)), 0);
        whorl_rwlock_unlock_read(&f->lock);
    }
    return 0;
}

static intptr_t write_among_readers(void *arg)
{
    struct flood f = {.written = false};
    struct whorl_task *readers[5];
    whorl_ns before;

    (void)arg;
    for (int i = 0; i < 5; i++) {
        readers[i] = whorl_spawn(read_on, &f);
        CHECK_EQ(whorl_sleep(WHORL_MS(2)), 0);
    }
    before = whorl_now();
    f.came_after = 0;
    CHECK_EQ(whorl_rwlock_lock_write(&f.lock), 0);
    CHECK_EQ(f.came_after, 0);
    CHECK(whorl_now() - before <= WHORL_MS(10) + 1000 * NULL_TICK);
    f.written = true;
    whorl_rwlock_unlock_write(&f.lock);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(whorl_join(readers[i], NULL), 0);
    return 0;
}

TEST(rwlock, a_writer_does_not_starve_among_readers)
{
    run_everywhere(write_among_readers, NULL);
}

static intptr_t lock_read(void *arg)
{
    int err = whorl_rwlock_lock_read(arg);

    if (!err)
        whorl_rwlock_unlock_read(arg);
    return err;
}

static intptr_t wait_too_long(void *arg)
{
    struct whorl_rwlock l = {0};
    intptr_t result;

    (void)arg;
    CHECK_EQ(whorl_rwlock_try_lock_write(&l), 0);
    CHECK_EQ(whorl_join(whorl_spawn(lock_read, &(struct whorl_rwlock){.writer = 0}), &result), 0);
    CHECK_EQ(result, 0);
    {
        struct whorl_task *t = whorl_spawn(lock_read, &l);

        CHECK_EQ(whorl_sleep(WHORL_SEC(1)), 0);
        whorl_rwlock_unlock_write(&l); /* it is the task's */
        whorl_cancel(t);
        CHECK_EQ(whorl_join(t, &result), 0);
        CHECK_EQ(result, 0);
    }
    CHECK(is_free(&l));
    CHECK_EQ(whorl_rwlock_try_lock_read(&l), 0);
    CHECK_EQ(whorl_rwlock_try_lock_read(&l), 0);
    CHECK_EQ(whorl_rwlock_try_lock_write(&l), -EBUSY);
    whorl_rwlock_unlock_read(&l);
    whorl_rwlock_unlock_read(&l);
    CHECK(is_free(&l));
    return 0;
}

TEST(rwlock, what_was_handed_over_is_kept_and_trying_waits_for_nothing)
{
    run_everywhere(wait_too_long, NULL);
}

/* Mistakes. */

static struct whorl_rwlock clumsy_lock;

static intptr_t write_at_home(void *arg)
{
    (void)arg;
    return whorl_rwlock_lock_write_at(&clumsy_lock, "home.c:1");
}

static intptr_t write_twice(void *arg)
{
    write_at_home(arg);
    return whorl_rwlock_lock_write(&clumsy_lock);
}

static intptr_t write_and_read(void *arg)
{
    write_at_home(arg);
    return whorl_rwlock_lock_read(&clumsy_lock);
}

static intptr_t unlock_read_free(void *arg)
{
    (void)arg;
    whorl_rwlock_unlock_read(&clumsy_lock);
    return 0;
}

static intptr_t unlock_read_written(void *arg)
{
    write_at_home(arg);
    return unlock_read_free(arg);
}

static intptr_t unlock_write_free(void *arg)
{
    (void)arg;
    whorl_rwlock_unlock_write(&clumsy_lock);
    return 0;
}

static intptr_t unlock_write_anothers(void *arg)
{
    CHECK_EQ(whorl_join(whorl_spawn(write_at_home, arg), NULL), 0);
    return unlock_write_free(arg);
}

TEST(rwlock, mistakes_abort_and_say_where_it_was_locked)
{
    static const struct mistake mistakes[] = {
        {write_twice, "whorl: whorl_rwlock_lock_write was given a lock that the caller has locked to write already, at home.c:1"},
        {write_and_read, "whorl: whorl_rwlock_lock_read was given a lock that the caller has locked to write already, at home.c:1"},
        {unlock_read_free, "whorl: whorl_rwlock_unlock_read was given a lock that nobody has locked to read"},
        {unlock_read_written, "whorl: whorl_rwlock_unlock_read was given a lock that nobody has locked to read"},
        {unlock_write_free, "whorl: whorl_rwlock_unlock_write was given a lock that nobody has locked to write"},
        {unlock_write_anothers, "whorl: whorl_rwlock_unlock_write was given a lock that another task has locked, at home.c:1"},
    };

    check_mistakes(mistakes, sizeof mistakes / sizeof *mistakes);
}

/* Seeds. */

enum { RACERS = 5, TIMES = 4 };

struct race {
    struct whorl_rwlock lock;
    uint64_t random;
    int readers, writers;
    unsigned requests, cancelled;
};

static uint64_t draw(struct race *r, uint64_t n)
{
    return test_random(&r->random) % n;
}

static int lock_some_way(struct race *r, bool write, bool try)
{
    if (try)
        return write ? whorl_rwlock_try_lock_write(&r->lock) : whorl_rwlock_try_lock_read(&r->lock);
    return write ? whorl_rwlock_lock_write(&r->lock) : whorl_rwlock_lock_read(&r->lock);
}

static void hold(struct race *r, bool write)
{
    *(write ? &r->writers : &r->readers) += 1;
    if (draw(r, 2))
        r->cancelled += whorl_sleep((whorl_ns)draw(r, 3)) != 0;
    CHECK(r->writers == 0 || (r->writers == 1 && r->readers == 0));
    *(write ? &r->writers : &r->readers) -= 1;
    if (write)
        whorl_rwlock_unlock_write(&r->lock);
    else
        whorl_rwlock_unlock_read(&r->lock);
}

static intptr_t lock_often(void *arg)
{
    struct race *r = arg;

    for (int i = 0; i < TIMES; i++) {
        bool write = draw(r, 3) == 0, try = draw(r, 4) == 0;
        int err = lock_some_way(r, write, try);

        CHECK(err == 0 || err == (try ? -EBUSY : -ECANCELED));
        r->cancelled += err == -ECANCELED;
        if (err == 0)
            hold(r, write);
    }
    return 0;
}

static intptr_t race(void *arg)
{
    struct race *r = arg;
    struct whorl_task *tasks[RACERS];

    for (int i = 0; i < RACERS; i++)
        tasks[i] = whorl_spawn(lock_often, r);
    for (uint64_t n = draw(r, 20); n > 0; n--) {
        struct whorl_task *t = tasks[draw(r, RACERS)];

        if (draw(r, 2))
            whorl_sleep((whorl_ns)draw(r, 3));
        if (whorl_result(t, NULL) == -EINPROGRESS) {
            r->requests++;
            whorl_cancel(t);
        }
    }
    for (int i = 0; i < RACERS; i++)
        CHECK_EQ(whorl_join(tasks[i], NULL), 0);
    CHECK(is_free(&r->lock));
    CHECK(r->cancelled <= r->requests);
    return 0;
}

TEST(rwlock, races_of_locking_and_cancelling_lose_nothing, .timeout = 100)
{
    for (unsigned i = 0; i < test_seeds(MANY(5000, 500)); i++) {
        struct race r = {.random = test_seed() + i};

        if (!CHECK_EQ(null_run(race, &r, &(struct whorl_options){.workers = 1 + (int)(i % 4), .seed = test_seed() + i}), 0))
            return;
    }
}

static void read_a_while(void *l)
{
    CHECK_EQ(whorl_rwlock_lock_read(l), 0);
    whorl_rwlock_unlock_read(l);
}

TEST(rwlock, who_never_waits_for_it_lets_others_run)
{
    check_lets_others_run(read_a_while, &(struct whorl_rwlock){.writer = 0});
}
