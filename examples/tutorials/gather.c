/* SPDX-License-Identifier: MIT */
/* Two tasks at once, of one second and of two: together they take two, not three.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/gather
 * Installed:           cc -O2 -o gather gather.c $(pkg-config --cflags --libs whorl) && ./gather */
#include <stdio.h>
#include <string.h>

#include <whorl/whorl.h>

static intptr_t task_1(void *arg)
{
    (void)arg;
    whorl_sleep(WHORL_SEC(1));
    return (intptr_t) "Result from task 1";
}

static intptr_t task_2(void *arg)
{
    (void)arg;
    whorl_sleep(WHORL_SEC(2));
    return (intptr_t) "Result from task 2";
}

static intptr_t gather(void *arg)
{
    static const struct whorl_call calls[] = {{task_1, NULL}, {task_2, NULL}};
    whorl_ns begun = whorl_now();
    intptr_t results[2];
    int err = whorl_gather(results, calls, 2);

    (void)arg;
    if (err < 0)
        return err;
    printf("['%s', '%s']\n", (const char *)results[0], (const char *)results[1]);
    printf("after %.3f s\n", (double)(whorl_now() - begun) / 1e9);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(strcmp(argv[1], "--help") == 0 ? stdout : stderr,
                "usage: gather\nRuns two tasks at once and prints their results.\n");
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    return whorl_run(gather, NULL, NULL) == 0 ? 0 : 1;
}
