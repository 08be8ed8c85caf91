/* SPDX-License-Identifier: MIT */
/* The smallest program: one task that sleeps a tenth of a second, then says hello.
 *
 * From the build tree: meson setup build && meson compile -C build && ./build/examples/hello
 * Installed:           cc -O2 -o hello hello.c $(pkg-config --cflags --libs whorl) && ./hello */
#include <stdio.h>
#include <string.h>

#include <whorl/whorl.h>

static intptr_t hello(void *arg)
{
    int err = whorl_sleep(WHORL_MS(100));

    if (err < 0)
        return err;
    puts(arg);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        fprintf(strcmp(argv[1], "--help") == 0 ? stdout : stderr, "usage: hello\nSays hello, after a tenth of a second.\n");
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    return whorl_run(hello, "hello", NULL) == 0 ? 0 : 1;
}
