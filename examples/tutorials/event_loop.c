/* SPDX-License-Identifier: MIT */
/* A loop of one's own, which the thread that made it runs until a task is done, as often as it likes: what was left by one run goes on
 * until the next.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/tutorials/event_loop
 * Installed:           cc -O2 -o event_loop event_loop.c $(pkg-config --cflags --libs whorl) && ./event_loop */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <whorl/whorl.h>

struct background {
    struct whorl_task *task;
    whorl_ns begun;
};

static intptr_t think(void *arg)
{
    int err = whorl_sleep(WHORL_SEC(3));

    (void)arg;
    return err < 0 ? err : 42;
}

static intptr_t start(void *arg)
{
    struct background *background = arg;

    background->begun = whorl_now();
    background->task = whorl_spawn(think, NULL);
    return background->task != NULL ? 0 : -ENOMEM;
}

static intptr_t finish(void *arg)
{
    const struct background *background = arg;
    intptr_t answer;
    int err = whorl_join(background->task, &answer);

    if (err == 0)
        printf("the second run ends after %.3f s, with %ld\n", (double)(whorl_now() - background->begun) / 1e9, (long)answer);
    return err;
}

int main(int argc, char **argv)
{
    struct background background;
    struct whorl_runtime *loop;
    intptr_t result = 0;
    int err;

    if (argc > 1) {
        fprintf(strcmp(argv[1], "--help") == 0 ? stdout : stderr,
                "usage: event_loop\nRuns a loop until a task is done, twice; another goes on in between.\n");
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    if (whorl_runtime_create(NULL, &loop) < 0)
        return 1; /* why, has been said */
    err = whorl_runtime_run(loop, start, &background, &result);
    if (err == 0 && result == 0) {
        puts("the first run is over, its task is not");
        err = whorl_runtime_run(loop, finish, &background, &result);
    }
    whorl_runtime_close(loop);
    return err == 0 && result == 0 ? 0 : 1;
}
