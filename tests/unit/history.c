/* SPDX-License-Identifier: MIT */
#include "history.h"

#include "seeds.h"
#include "test.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <whorl/run.h>

enum { RUNS = 100, SHORT = 30 };

/* FNV-1a, by words. */
void history_begin(struct history *h)
{
    *h = (struct history){.hash = 0xcbf29ce484222325};
}

void history_note(struct history *h, int id, int event, int64_t detail, int64_t when)
{
    uint64_t words[] = {(uint64_t)id, (uint64_t)event, (uint64_t)detail, (uint64_t)when, (uint64_t)whorl_worker()};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        h->hash = (h->hash ^ words[i]) * 0x100000001b3;
    h->events++;
}

bool history_passed(unsigned before, uint64_t seed, int workers)
{
    if (test_failures() == before)
        return true;
    fprintf(stderr, "that was with WHORL_SEED=%" PRIu64 ", %d workers\n", seed, workers);
    return false;
}

void history_check(bool (*run)(uint64_t seed), const struct history *h)
{
    uint64_t hashes[RUNS];

    for (unsigned i = 0; i < RUNS; i++) {
        uint64_t events;

        run(test_seed() + i);
        hashes[i] = h->hash;
        events = h->events;
        run(test_seed() + i);
        CHECK_EQ(h->hash, hashes[i]);
        CHECK_EQ(h->events, events);
        /* The shortest programs may well be the same. */
        for (unsigned j = 0; j < i && events > SHORT; j++)
            CHECK(hashes[i] != hashes[j]);
    }
}
