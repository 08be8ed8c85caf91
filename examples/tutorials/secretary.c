/* SPDX-License-Identifier: MIT */
/* The ideal secretary: one person, that is one worker, who sends off a letter and does not wait at the letter box for the answer.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/secretary
 * Installed:           cc -O2 -o secretary secretary.c $(pkg-config --cflags --libs whorl) && ./secretary */
#include <stdio.h>
#include <string.h>

#include <whorl/whorl.h>

struct errand {
    const char *begin, *end;
    whorl_ns takes;
    whorl_ns morning; /* when the day began */
};

#define ERRANDS 3

static void say(whorl_ns morning, const char *what)
{
    printf("%.3f s: %s\n", (double)(whorl_now() - morning) / 1e9, what);
}

static intptr_t do_errand(void *arg)
{
    const struct errand *errand = arg;
    int err;

    say(errand->morning, errand->begin);
    err = whorl_sleep(errand->takes); /* others are at work on it, not the secretary */
    if (err < 0)
        return err;
    say(errand->morning, errand->end);
    return 0;
}

static int one_after_the_other(struct errand errands[])
{
    intptr_t err = 0;

    for (int i = 0; i < ERRANDS && err == 0; i++)
        err = do_errand(&errands[i]);
    return (int)err;
}

static int all_at_once(struct errand errands[])
{
    struct whorl_scope scope;
    int err = 0;

    whorl_scope_open(&scope);
    for (int i = 0; i < ERRANDS && err == 0; i++)
        err = whorl_scope_spawn(&scope, do_errand, &errands[i]);
    if (err < 0)
        whorl_scope_fail(&scope, err);
    return whorl_scope_close(&scope);
}

static intptr_t work_a_day(void *arg)
{
    const int *simple = arg;
    whorl_ns morning = whorl_now();
    struct errand errands[ERRANDS] = {
        {"sends a letter", "has the answer to the letter", WHORL_SEC(3), morning},
        {"calls back a client", "has spoken to the client", WHORL_SEC(2), morning},
        {"makes coffee", "brings the coffee", WHORL_SEC(1), morning},
    };
    int err = *simple ? one_after_the_other(errands) : all_at_once(errands);

    say(morning, "goes home");
    return err;
}

static int print_usage(FILE *out, int status)
{
    fputs("usage: secretary [--simple]\n"
          "Does three errands of three, two and one seconds, with one worker.\n\n"
          "  --simple  wait for each before the next\n"
          "  --help    show this\n",
          out);
    return status;
}

int main(int argc, char **argv)
{
    struct whorl_options options = {.size = sizeof options, .workers = 1};
    int simple = argc == 2 && strcmp(argv[1], "--simple") == 0;

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout, 0);
    if (argc > 1 && !simple)
        return print_usage(stderr, 2);
    return whorl_run(work_a_day, &simple, &options) == 0 ? 0 : 1;
}
