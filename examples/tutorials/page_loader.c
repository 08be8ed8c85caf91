/* SPDX-License-Identifier: MIT */
/* Loads what a page is made of, from several hosts, one of which does not answer: the page has to do without that image, and loses
 * no time but what it was willing to wait.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/page_loader
 * Installed:           cc -O2 -o page_loader page_loader.c $(pkg-config --cflags --libs whorl) && ./page_loader */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <whorl/whorl.h>

#define PATIENCE WHORL_SEC(3)
#define PARTS    5

struct part {
    const char *name;
    whorl_ns latency; /* of its host; WHORL_NEVER: it is dead */
    whorl_ns begun;   /* the page */
};

/* Stands for a request to the part's host, which is all waiting. */
static intptr_t load(void *arg)
{
    const struct part *part = arg;

    return whorl_sleep_until(whorl_after(part->latency));
}

static void say(const struct part *part, const char *what)
{
    printf("%.3f s: %-10s %s\n", (double)(whorl_now() - part->begun) / 1e9, part->name, what);
}

static intptr_t load_or_give_up(void *arg)
{
    struct part *part = arg;
    intptr_t status = 0;
    int err = whorl_wait_for(load, part, PATIENCE, &status);

    if (err == 0 && status < 0)
        err = (int)status;
    if (err < 0 && err != -ETIMEDOUT)
        return err;
    say(part, err == 0 ? "loaded" : "given up");
    return 0; /* a page without an image is still a page */
}

static int load_one_after_the_other(struct part parts[])
{
    intptr_t err = 0;

    for (int i = 0; i < PARTS && err == 0; i++)
        err = load_or_give_up(&parts[i]);
    return (int)err;
}

static intptr_t load_page(void *arg)
{
    const int *one_by_one = arg;
    whorl_ns begun = whorl_now();
    struct part page = {"page", 0, begun};
    struct part parts[PARTS] = {
        {"style.css", WHORL_MS(80), begun},  {"hero.jpg", WHORL_MS(450), begun},  {"dead.png", WHORL_NEVER, begun},
        {"script.js", WHORL_MS(120), begun}, {"footer.svg", WHORL_MS(60), begun},
    };
    int err;

    if (*one_by_one)
        err = load_one_after_the_other(parts);
    else
        err = whorl_map(load_or_give_up, parts, sizeof parts[0], PARTS, PARTS, NULL);
    if (err == 0)
        say(&page, "shown");
    return err;
}

static int print_usage(FILE *out, int status)
{
    fputs("usage: page_loader [--one-by-one]\n"
          "Loads the five parts of a page, of which one never comes. Each is given three seconds.\n\n"
          "  --one-by-one  one after the other\n"
          "  --help        show this\n",
          out);
    return status;
}

int main(int argc, char **argv)
{
    int one_by_one = argc == 2 && strcmp(argv[1], "--one-by-one") == 0;

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout, 0);
    if (argc > 1 && !one_by_one)
        return print_usage(stderr, 2);
    return whorl_run(load_page, &one_by_one, NULL) == 0 ? 0 : 1;
}
