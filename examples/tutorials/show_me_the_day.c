/* SPDX-License-Identifier: MIT */
/* A function that waits a second before it knows the day, and a main that waits for it: to await is to call.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/show_me_the_day
 * Installed:           cc -O2 -o show_me_the_day show_me_the_day.c $(pkg-config --cflags --libs whorl) && ./show_me_the_day */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <whorl/whorl.h>

/* Returns the day of the week, 0 for Sunday, or -errno. What it waits for is what others can do meanwhile. */
static intptr_t show_me_the_day(void)
{
    struct tm today;
    time_t now;
    int err = whorl_sleep(WHORL_SEC(1));

    if (err < 0)
        return err;
    now = time(NULL);
    localtime_r(&now, &today);
    return today.tm_wday;
}

static intptr_t print_the_day(void *arg)
{
    static const char *const names[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    intptr_t day = show_me_the_day();

    (void)arg;
    if (day < 0)
        return day;
    printf("Yo, today is  %s\n", names[day]);
    return 0;
}

static int print_usage(FILE *out, int status)
{
    fputs("usage: show_me_the_day [--outside]\n"
          "Waits a second and tells the day of the week.\n\n"
          "  --outside  call what waits outside of a task, which is a mistake: it aborts and says so\n"
          "  --help     show this\n",
          out);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return print_usage(stdout, 0);
    if (argc == 2 && strcmp(argv[1], "--outside") == 0)
        return (int)show_me_the_day();
    if (argc > 1)
        return print_usage(stderr, 2);
    return whorl_run(print_the_day, NULL, NULL) == 0 ? 0 : 1;
}
