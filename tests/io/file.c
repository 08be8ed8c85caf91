/* SPDX-License-Identifier: MIT */
/* Files: opening them, and not those elsewhere; what is known of them; reading at an offset. */
#include "loopback.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

enum { FILE_SIZE = 1 << 20, PAGE = 4096 };

/* A folder of its own for each test: `data` has FILE_SIZE bytes; `inside` leads to it, `outside` and `up` out of the folder. */
static char folder[] = "/tmp/whorl-file-XXXXXX";
static char data_path[64];

static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)((offset * 0x9e3779b97f4a7c15) >> 56);
}

static void write_data(void)
{
    unsigned char *bytes = malloc(FILE_SIZE);
    int fd = open(data_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    for (size_t i = 0; bytes && i < FILE_SIZE; i++)
        bytes[i] = byte_at(i);
    CHECK(bytes && fd >= 0 && write(fd, bytes, FILE_SIZE) == FILE_SIZE && fsync(fd) == 0);
    close(fd);
    free(bytes);
}

static int in_folder(const char *command)
{
    char line[256];

    snprintf(line, sizeof line, "cd %s && %s", folder, command);
    return system(line);
}

static void with_folder(int workers, void (*fn)(void))
{
    NEED_URING();
    if (!CHECK(mkdtemp(folder)))
        return;
    snprintf(data_path, sizeof data_path, "%s/data", folder);
    write_data();
    CHECK_EQ(in_folder("ln -s data inside && ln -s /etc/passwd outside && ln -s .. up && mkdir sub && ln -s ../data sub/back"), 0);
    in_runtime(workers, fn);
    CHECK_EQ(in_folder("rm -r \"$PWD\""), 0);
}

#define FOLDER_TEST(name)                                                                                                          \
    static void name(void);                                                                                                        \
    TEST(file, name)                                                                                                               \
    {                                                                                                                              \
        with_folder(2, name);                                                                                                      \
    }                                                                                                                              \
    static void name(void)

static int open_data(void)
{
    int fd = whorl_open(data_path, O_RDONLY, 0);

    CHECK(fd >= 0);
    return fd;
}

/* How many bytes differ from what the file has there. */
static size_t differences(const unsigned char *bytes, size_t size, uint64_t offset)
{
    size_t wrong = 0;

    for (size_t i = 0; i < size; i++)
        wrong += bytes[i] != byte_at(offset + i);
    return wrong;
}

/* Opening */

FOLDER_TEST(open_finds_creates_and_refuses)
{
    char path[64];
    struct stat st;
    int fd = open_data();

    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(whorl_close(fd), 0);
    snprintf(path, sizeof path, "%s/new", folder);
    CHECK_EQ(whorl_open(path, O_RDONLY, 0), -ENOENT);
    fd = whorl_open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
    CHECK(fd >= 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode & 0777 & ~040u, 0600); /* whatever the umask leaves of it */
    CHECK_EQ(whorl_close(fd), 0);
    CHECK_EQ(whorl_open(path, O_WRONLY | O_CREAT | O_EXCL, 0640), -EEXIST);
    CHECK_EQ(whorl_open(folder, O_WRONLY, 0), -EISDIR);
    snprintf(path, sizeof path, "%s/data/below", folder);
    CHECK_EQ(whorl_open(path, O_RDONLY, 0), -ENOTDIR);
    CHECK_EQ(whorl_open("", O_RDONLY, 0), -ENOENT);
    fd = whorl_open(folder, O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 || fd == -EOPNOTSUPP);
    if (fd >= 0)
        CHECK_EQ(whorl_close(fd), 0);
}

FOLDER_TEST(beneath_does_not_lead_out_of_the_folder)
{
    static const char *const out[] = {"../data", "outside", "up/etc", "/etc/passwd", "sub/../../x", ".."};
    static const char *const in[] = {"data", "inside", "sub/back", "sub/../data", "./data"};
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    int dir = whorl_open(folder, O_PATH | O_DIRECTORY, 0);

    CHECK(dir >= 0);
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        CHECK_EQ(whorl_open_at(dir, out[i], &how), -EXDEV);
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        int fd = whorl_open_at(dir, in[i], &how);

        if (CHECK(fd >= 0)) {
            CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            CHECK_EQ(whorl_close(fd), 0);
        }
    }
    CHECK_EQ(how.flags, O_RDONLY); /* the caller's is left as it was */
    CHECK_EQ(whorl_open_at(dir, "missing", &how), -ENOENT);
    how.flags = UINT64_MAX;
    CHECK_EQ(whorl_open_at(dir, "data", &how), -EINVAL);
    CHECK_EQ(whorl_close(dir), 0);
    how.flags = O_RDONLY;
    CHECK_EQ(whorl_open_at(dir, "data", &how), -EBADF);
}

/* What is known of a file */

FOLDER_TEST(statx_tells_of_paths_and_descriptors)
{
    struct statx st;
    int fd = open_data(), dir = whorl_open(folder, O_RDONLY | O_DIRECTORY, 0);

    CHECK_EQ(whorl_statx(AT_FDCWD, data_path, 0, STATX_BASIC_STATS, &st), 0);
    CHECK_EQ(st.stx_size, FILE_SIZE);
    CHECK(S_ISREG(st.stx_mode));
    memset(&st, 0, sizeof st);
    CHECK_EQ(whorl_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &st), 0);
    CHECK_EQ(st.stx_size, FILE_SIZE);
    CHECK_EQ(whorl_statx(dir, "sub", 0, STATX_TYPE, &st), 0);
    CHECK(S_ISDIR(st.stx_mode));
    CHECK_EQ(whorl_statx(dir, "inside", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st), 0);
    CHECK(S_ISLNK(st.stx_mode));
    CHECK_EQ(whorl_statx(dir, "missing", 0, STATX_TYPE, &st), -ENOENT);
    CHECK_EQ(whorl_statx(fd, "below", 0, STATX_TYPE, &st), -ENOTDIR);
    CHECK_EQ(whorl_close(fd), 0);
    CHECK_EQ(whorl_close(dir), 0);
    CHECK_EQ(whorl_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &st), -EBADF);
}

/* Reading */

FOLDER_TEST(a_read_gives_what_is_at_its_offset)
{
    static unsigned char bytes[FILE_SIZE];
    static const struct {
        int64_t offset;
        size_t size, result;
    } reads[] = {
        {0, 1, 1},
        {0, FILE_SIZE, FILE_SIZE},
        {1, PAGE, PAGE},
        {FILE_SIZE - 1, 1, 1},
        {FILE_SIZE - 100, PAGE, 100},
        {PAGE - 1, FILE_SIZE, FILE_SIZE - PAGE + 1},
        {FILE_SIZE, 1, 0},
        {FILE_SIZE + 1, 1, 0},
        {INT64_C(1) << 40, PAGE, 0},
        {17, 0, 0},
    };
    int fd = open_data();

    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        memset(bytes, 0, sizeof bytes);
        CHECK_EQ(whorl_read_at(fd, bytes, reads[i].size, reads[i].offset), reads[i].result);
        CHECK_EQ(differences(bytes, reads[i].result, (uint64_t)reads[i].offset), 0);
    }
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(whorl_close(fd), 0);
}

FOLDER_TEST(a_read_that_cannot_be_is_refused)
{
    char byte;
    int fd = open_data(), dir = whorl_open(folder, O_RDONLY | O_DIRECTORY, 0), writer = whorl_open(data_path, O_WRONLY, 0);

    CHECK_EQ(whorl_read_at(fd, &byte, 1, -1), -EINVAL);
    CHECK_EQ(whorl_read_at(fd, &byte, 1, INT64_MIN), -EINVAL);
    CHECK_EQ(whorl_read_at(dir, &byte, 1, 0), -EISDIR);
    CHECK_EQ(whorl_read_at(writer, &byte, 1, 0), -EBADF);
    CHECK_EQ(whorl_close(fd), 0);
    CHECK_EQ(whorl_close(dir), 0);
    CHECK_EQ(whorl_close(writer), 0);
    CHECK_EQ(whorl_read_at(fd, &byte, 1, 0), -EBADF);
    CHECK_EQ(whorl_read_at(-1, &byte, 1, 0), -EBADF);
}

/* How many pages of the file are in memory, of its first `pages`. */
PLAIN_CALL int pages_cached(int fd, size_t pages)
{
    unsigned char present[FILE_SIZE / PAGE];
    void *map = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    int count = 0;

    if (!CHECK(map != MAP_FAILED))
        return -1;
    CHECK_EQ(mincore(map, pages * PAGE, present), 0);
    munmap(map, pages * PAGE);
    for (size_t i = 0; i < pages; i++)
        count += present[i] & 1;
    return count;
}

static uint64_t submitted(void)
{
    struct whorl_stats stats = {.size = sizeof stats};

    CHECK_EQ(whorl_stats(-1, &stats), 0);
    return stats.submitted;
}

FOLDER_TEST(what_is_cached_needs_no_operation)
{
    unsigned char bytes[PAGE];
    int fd = open_data();
    uint64_t before;

    CHECK_EQ(whorl_read_at(fd, bytes, sizeof bytes, PAGE), sizeof bytes);
    before = submitted();
    for (int i = 0; i < 100; i++) {
        memset(bytes, 0, sizeof bytes);
        CHECK_EQ(whorl_read_at(fd, bytes, sizeof bytes, PAGE), sizeof bytes);
        CHECK_EQ(differences(bytes, sizeof bytes, PAGE), 0);
    }
    CHECK_EQ(submitted(), before);
    CHECK_EQ(whorl_close(fd), 0);
}

/* Drops the file from memory and reads its first `warm` pages again, no others. False where the file system keeps all. */
PLAIN_CALL bool drop_all_but(int fd, int warm)
{
    static char page[PAGE];

    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0); /* no reading ahead */
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    for (int i = 0; i < warm; i++)
        CHECK_EQ(pread(fd, page, PAGE, (off_t)i * PAGE), PAGE);
    return pages_cached(fd, FILE_SIZE / PAGE) == warm;
}

FOLDER_TEST(what_is_not_cached_is_read_all_the_same)
{
    static unsigned char bytes[FILE_SIZE];
    int fd = open_data();
    uint64_t before = submitted();
    bool dropped = drop_all_but(fd, 0);

    CHECK_EQ(whorl_read_at(fd, bytes, sizeof bytes, 0), sizeof bytes);
    CHECK_EQ(differences(bytes, sizeof bytes, 0), 0);
    CHECK(!dropped || submitted() > before);
    CHECK_EQ(whorl_close(fd), 0);
}

FOLDER_TEST(what_is_cached_in_part_is_not_taken_for_the_end)
{
    static unsigned char bytes[FILE_SIZE];
    int fd = open_data();

    for (int warm = 1; warm <= 64; warm *= 4) {
        drop_all_but(fd, warm);
        memset(bytes, 0, sizeof bytes);
        CHECK_EQ(whorl_read_at(fd, bytes, sizeof bytes, 0), sizeof bytes);
        CHECK_EQ(differences(bytes, sizeof bytes, 0), 0);
    }
    CHECK_EQ(whorl_close(fd), 0);
}

static intptr_t read_here_and_there(void *arg)
{
    uint64_t seed = test_seed() + (uint64_t)(uintptr_t)whorl_self();
    unsigned char *bytes = malloc(3 * PAGE);
    intptr_t wrong = 0;
    int fd = (int)(intptr_t)arg;

    for (int i = 0; bytes && i < 50; i++) {
        int64_t offset = (int64_t)(test_random(&seed) % (FILE_SIZE - 3 * PAGE));
        size_t size = test_random(&seed) % (3 * PAGE);

        CHECK_EQ(whorl_read_at(fd, bytes, size, offset), size);
        wrong += (intptr_t)differences(bytes, size, (uint64_t)offset);
    }
    free(bytes);
    return wrong;
}

FOLDER_TEST(many_tasks_read_one_file)
{
    enum { READERS = 64 };
    struct whorl_task *readers[READERS];
    int fd = open_data();

    drop_all_but(fd, 0);
    for (int i = 0; i < READERS; i++)
        readers[i] = start("reader", read_here_and_there, (void *)(intptr_t)fd);
    for (int i = 0; i < READERS; i++)
        CHECK_EQ(result_of(readers[i]), 0);
    CHECK_EQ(whorl_close(fd), 0);
}
