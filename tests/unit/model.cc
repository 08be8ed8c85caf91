/* SPDX-License-Identifier: MIT */
/* The checker behind model.h, on Relacy. Reports in the Test Anything Protocol: one line for the code as it is, one for each order
 * weakened. */
#include "model.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <getopt.h>
#include <iostream>

#include <relacy/relacy.hpp>
/* Relacy's own names for the ways to allocate; here nothing is allocated during a run. */
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free

namespace
{

enum { WORDS_MAX = 64, DATA_MAX = 64, SLEEPERS_MAX = 8, SLOTS = 256 };

/* What stands behind the words of one run. Relacy wants it made inside of the run. */
struct memory {
    rl::atomic<uint64_t> words[WORDS_MAX];
    rl::var<int> data[DATA_MAX];
    rl::semaphore<memory> sleepers[SLEEPERS_MAX];
};

/* From addresses to places in the memory, for each run anew; a table of its own, since a run must not allocate. */
class address_table
{
  public:
    void clear()
    {
        std::memset(addresses_, 0, sizeof addresses_);
        count_ = 0;
    }

    int add(const void *p, int max)
    {
        if (count_ == max || find(p) >= 0) {
            std::fprintf(stderr, "model: too many words, or one of them twice\n");
            std::abort();
        }
        size_t slot = first_slot(p);
        while (addresses_[slot])
            slot = (slot + 1) % SLOTS;
        addresses_[slot] = p;
        places_[slot] = count_;
        return count_++;
    }

    int find(const void *p) const
    {
        for (size_t slot = first_slot(p); addresses_[slot]; slot = (slot + 1) % SLOTS)
            if (addresses_[slot] == p)
                return places_[slot];
        return -1;
    }

  private:
    static size_t first_slot(const void *p)
    {
        return reinterpret_cast<uintptr_t>(p) * 0x9e3779b97f4a7c15u >> 56;
    }

    const void *addresses_[SLOTS];
    int places_[SLOTS];
    int count_;
};

memory *now; /* of the run under way */
address_table words, data;
const model_scenario *scenario;

/* Sites, and what is done to those that are alike. */
struct mutation {
    const model_site *site; /* any of that name; NULL: none is weakened */
    model_order order;
};

model_site *sites;
mutation active;

bool alike(const model_site &a, const model_site &b)
{
    return a.order == b.order && !std::strcmp(a.function, b.function) && !std::strcmp(a.operation, b.operation) &&
           !std::strcmp(a.target, b.target);
}

void apply(model_site &site)
{
    site.now = active.site && alike(site, *active.site) ? active.order : site.order;
}

void activate(const mutation &m)
{
    active = m;
    for (model_site *s = sites; s; s = s->next)
        apply(*s);
}

rl::memory_order order_of(model_site *site)
{
    static const rl::memory_order orders[] = {rl::mo_relaxed, rl::mo_acquire, rl::mo_release,
                                              rl::mo_acq_rel, rl::mo_seq_cst, rl::mo_relaxed};

    if (!site->known) {
        site->known = true;
        site->next = sites;
        sites = site;
        apply(*site);
    }
    return orders[site->now];
}

/* For the steps that are shown of a run that failed: the place in the runtime's code, not the one here. */
rl::debug_info place(const model_site *site)
{
    return rl::debug_info(site->function, site->target, 0);
}

uint64_t read_plain(const void *p, size_t size)
{
    uint64_t value = 0;

    std::memcpy(&value, p, size); /* little-endian */
    return value;
}

void write_plain(void *p, size_t size, uint64_t value)
{
    std::memcpy(p, &value, size);
}

/* The word at `p`, or NULL when it is not one of the model. */
rl::atomic<uint64_t> *word_at(const void *p)
{
    int i = words.find(p);

    return i < 0 ? nullptr : &now->words[i];
}

uint64_t cut(uint64_t value, size_t size)
{
    return size < sizeof value ? value & ((UINT64_C(1) << size * 8) - 1) : value;
}

/* Read-modify-write: `change` of the old value. As a loop of compare-and-exchange, so that one word's width is like another's. */
template <typename F> uint64_t change_word(void *p, size_t size, model_site *site, F change)
{
    rl::atomic<uint64_t> *word = word_at(p);
    uint64_t old;

    if (!word) {
        old = read_plain(p, size);
        write_plain(p, size, cut(change(old), size));
        return old;
    }
    rl::memory_order order = order_of(site);
    old = word->load(rl::mo_relaxed, place(site));
    while (!word->compare_exchange_strong(old, cut(change(old), size), order, place(site)))
        ;
    write_plain(p, size, cut(change(old), size));
    return old;
}

/* One run of the scenario. Relacy fixes the number of threads when it is compiled. */
template <int N> struct run : rl::test_suite<run<N>, N> {
    memory memory_;

    void before()
    {
        now = &memory_;
        words.clear();
        data.clear();
        for (auto &sleeper : memory_.sleepers)
            sleeper.init(false, 0, 1, $);
        scenario->before();
    }

    void thread(unsigned index)
    {
        scenario->thread(static_cast<int>(index));
    }

    void after()
    {
        scenario->after();
        for (auto &sleeper : memory_.sleepers)
            sleeper.deinit($);
    }
};

/* Long enough for any run that comes to an end. */
const unsigned STEPS_MAX = 20000;

/* With `telling`, the steps of a run that fails are shown on standard error. */
template <int N> bool passes_with(unsigned iterations, bool telling)
{
    std::ostream nowhere(nullptr); /* not one that allocates: during a run Relacy takes that for the run's doing */
    rl::ostringstream state;
    rl::test_params params;

    params.iteration_count = iterations;
    params.execution_depth_limit = STEPS_MAX;
    params.progress_stream = &nowhere;
    params.output_stream = telling ? &std::cerr : &nowhere;
    if (rl::run_test<run<N>, rl::random_scheduler<N>>(params, state, false) == rl::test_result_success)
        return true;
    if (telling) {
        params.initial_state = state.str();
        params.collect_history = true;
        rl::run_test<run<N>, rl::random_scheduler<N>>(params, state, true);
    }
    return false;
}

bool passes(unsigned iterations, bool telling)
{
    return scenario->threads == 2 ? passes_with<2>(iterations, telling) : passes_with<3>(iterations, telling);
}

/* All scenarios; the name of the first that fails, or NULL. */
const char *first_failing(unsigned iterations)
{
    for (scenario = model_scenarios; scenario->name; scenario++)
        if (!passes(iterations, false))
            return scenario->name;
    return nullptr;
}

const char *const order_names[] = {"relaxed", "acquire", "release", "acq_rel", "seq_cst", "none"};

/* The next weaker orders that mean something for this kind, each of them once. */
int weaker_orders(const model_site &site, model_order *out)
{
    int n = 0;

    if (site.kind == MODEL_FENCE) {
        out[n++] = MODEL_ACQ_REL;
        out[n++] = MODEL_NONE;
        return n;
    }
    if (site.order == MODEL_SEQ_CST)
        out[n++] = site.kind == MODEL_LOAD ? MODEL_ACQUIRE : site.kind == MODEL_STORE ? MODEL_RELEASE : MODEL_ACQ_REL;
    if (site.kind == MODEL_CHANGE && site.order >= MODEL_ACQ_REL) {
        out[n++] = MODEL_ACQUIRE;
        out[n++] = MODEL_RELEASE;
    }
    if (site.order != MODEL_RELAXED)
        out[n++] = MODEL_RELAXED;
    return n;
}

const model_excuse *excuse_for(const char *site, const char *order)
{
    for (const model_excuse *e = model_excuses; e->site; e++)
        if (!std::strcmp(e->site, site) && (!e->order || !std::strcmp(e->order, order)))
            return e;
    return nullptr;
}

/* Of sites that are alike one, in the order in which they were met first. */
int list_sites(const model_site **out, int max)
{
    int n = 0;

    for (const model_site *s = sites; s; s = s->next) {
        bool seen = false;

        if (model_elsewhere && !std::strncmp(s->function, model_elsewhere, std::strlen(model_elsewhere)))
            continue;
        for (int i = 0; i < n; i++)
            seen |= alike(*s, *out[i]);
        if (!seen && n < max)
            out[n++] = s;
    }
    return n;
}

int tests, failed;

void report(bool ok, const char *what, const char *comment)
{
    std::printf("%sok %d - %s%s%s\n", ok ? "" : "not ", ++tests, what, *comment ? " # " : "", comment);
    std::fflush(stdout);
    failed += !ok;
}

void check_as_it_is(unsigned iterations)
{
    for (scenario = model_scenarios; scenario->name; scenario++)
        report(passes(iterations, true), scenario->name, "");
}

void check_mistakes(unsigned iterations)
{
    for (scenario = model_mistakes; scenario->name; scenario++)
        report(!passes(iterations, false), scenario->name, "a mistake, and noticed");
}

struct site_name {
    char text[256];

    explicit site_name(const model_site &site)
    {
        std::snprintf(text, sizeof text, "%s: %s %s", site.function, site.operation, site.target);
    }
};

void check_weakened(const model_site &site, model_order order, unsigned iterations)
{
    const site_name named(site);
    const char *name = named.text;
    char text[320];
    const model_excuse *excuse;
    const char *caught;

    std::snprintf(text, sizeof text, "%s, %s instead of %s", name, order_names[order], order_names[site.order]);
    excuse = excuse_for(name, order_names[order]);
    activate({&site, order});
    caught = first_failing(iterations);
    activate({nullptr, MODEL_NONE});
    if (caught)
        report(!excuse, text, excuse ? "an excuse that is none: it is caught" : caught);
    else
        report(excuse != nullptr, text, excuse ? excuse->reason : "not caught");
}

/* Excuses for what is no longer there. */
void check_excuses(const model_site *const *known, int count)
{
    for (const model_excuse *e = model_excuses; e->site; e++) {
        bool found = false;

        for (int i = 0; i < count; i++)
            found |= !std::strcmp(site_name(*known[i]).text, e->site);
        if (!found)
            report(false, e->site, "an excuse for a place that is not there");
    }
}

void check_all_weakened(unsigned iterations)
{
    const model_site *known[256];
    int count = list_sites(known, 256);

    for (int i = 0; i < count; i++) {
        model_order orders[4];
        int n = weaker_orders(*known[i], orders);
        const model_excuse *excuse = excuse_for(site_name(*known[i]).text, "");

        /* Where any order will do, the weakest shows it. */
        for (int j = excuse ? n - 1 : 0; j < n; j++)
            check_weakened(*known[i], orders[j], iterations);
    }
    check_excuses(known, count);
}

} // namespace

void model_word(const void *p, size_t size)
{
    now->words[words.add(p, WORDS_MAX)].store(read_plain(p, size), rl::mo_relaxed, $);
}

void model_lock(const void *lock)
{
    model_word(lock, sizeof(uint32_t));
    model_data(lock);
}

void model_data(const void *p)
{
    now->data[data.add(p, DATA_MAX)]($) = 0;
}

void model_data_write(const void *p)
{
    now->data[data.find(p)]($) = 1;
}

void model_data_read(const void *p)
{
    now->data[data.find(p)]($).load();
}

void model_guarded(const void *lock)
{
    if (data.find(lock) >= 0)
        model_data_write(lock);
}

int model_thread(void)
{
    return static_cast<int>(rl::thread_index());
}

void model_sleep(int n)
{
    now->sleepers[n].wait(false, false, $);
}

void model_wake(int n)
{
    unsigned before;

    now->sleepers[n].post(1, before, $);
}

unsigned model_choose(unsigned n)
{
    return rl::rand(n);
}

void model_expect(bool condition, const char *what)
{
    if (!condition)
        rl::ctx().fail_test(what, rl::test_result_user_assert_failed, $);
}

uint64_t model_load(const void *p, size_t size, model_site *site)
{
    rl::atomic<uint64_t> *word = word_at(p);

    return word ? word->load(order_of(site), place(site)) : read_plain(p, size);
}

void model_store(void *p, size_t size, uint64_t value, model_site *site)
{
    rl::atomic<uint64_t> *word = word_at(p);

    value = cut(value, size);
    if (word)
        word->store(value, order_of(site), place(site));
    write_plain(p, size, value); /* for those who hold the lock that guards it, and look without ceremony */
}

uint64_t model_exchange(void *p, size_t size, uint64_t value, model_site *site)
{
    return change_word(p, size, site, [value](uint64_t) { return value; });
}

uint64_t model_add(void *p, size_t size, uint64_t value, model_site *site)
{
    return change_word(p, size, site, [value](uint64_t old) { return old + value; });
}

uint64_t model_or(void *p, size_t size, uint64_t value, model_site *site)
{
    return change_word(p, size, site, [value](uint64_t old) { return old | value; });
}

uint64_t model_and(void *p, size_t size, uint64_t value, model_site *site)
{
    return change_word(p, size, site, [value](uint64_t old) { return old & value; });
}

bool model_cas(void *p, size_t size, void *expected, uint64_t value, model_site *site)
{
    rl::atomic<uint64_t> *word = word_at(p);
    uint64_t old = read_plain(expected, size);
    bool done;

    value = cut(value, size);
    if (word) {
        done = word->compare_exchange_strong(old, value, order_of(site), place(site));
    } else {
        done = read_plain(p, size) == old;
        old = read_plain(p, size);
    }
    if (done)
        write_plain(p, size, value);
    else
        write_plain(expected, size, old);
    return done;
}

void model_fence(model_site *site)
{
    rl::memory_order order = order_of(site);

    if (site->now != MODEL_NONE)
        rl::atomic_thread_fence(order, place(site));
}

void model_pause(void)
{
    rl::yield(1, $);
}

static const char usage[] = "usage: %s [--iterations N] [--as-it-is]\n"
                            "  --iterations N  runs of each scenario, as the code is and for each order weakened\n"
                            "  --as-it-is      no order is weakened\n";

int main(int argc, char **argv)
{
    static const option options[] = {{"iterations", required_argument, nullptr, 'i'},
                                     {"as-it-is", no_argument, nullptr, 'a'},
                                     {"help", no_argument, nullptr, 'h'},
                                     {nullptr, 0, nullptr, 0}};
    int iterations = 4000, letter;
    bool weakening = true, misused = false;

    while ((letter = getopt_long(argc, argv, "i:ah", options, nullptr)) != -1) {
        if (letter == 'i')
            misused |= (iterations = std::atoi(optarg)) <= 0;
        else if (letter == 'a')
            weakening = false;
        else if (letter == 'h')
            return std::printf(usage, argv[0]) < 0;
        else
            misused = true;
    }
    if (misused || optind < argc) {
        std::fprintf(stderr, usage, argv[0]);
        return 2;
    }
    check_as_it_is(static_cast<unsigned>(iterations));
    check_mistakes(static_cast<unsigned>(iterations));
    if (!failed && weakening)
        check_all_weakened(static_cast<unsigned>(iterations));
    std::printf("1..%d\n", tests);
    return failed > 0;
}
