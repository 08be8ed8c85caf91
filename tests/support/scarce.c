/* SPDX-License-Identifier: MIT */
#include "scarce.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

static unsigned calls, refused_at; /* atomic */
static bool counting, lasts;       /* atomic */
static const char *refused;        /* atomic */
static ptrdiff_t mapped;           /* atomic */

void scarce_begin(unsigned n, bool lasting)
{
    __atomic_store_n(&calls, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&refused_at, n, __ATOMIC_RELAXED);
    __atomic_store_n(&lasts, lasting, __ATOMIC_RELAXED);
    __atomic_store_n(&refused, NULL, __ATOMIC_RELAXED);
    __atomic_store_n(&mapped, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&counting, true, __ATOMIC_SEQ_CST);
}

unsigned scarce_end(void)
{
    __atomic_store_n(&counting, false, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
}

bool scarce_refused(void)
{
    return __atomic_load_n(&refused, __ATOMIC_SEQ_CST) != NULL;
}

const char *scarce_what(void)
{
    const char *what = __atomic_load_n(&refused, __ATOMIC_SEQ_CST);

    return what ? what : "nothing";
}

ptrdiff_t scarce_mapped(void)
{
    return __atomic_load_n(&mapped, __ATOMIC_SEQ_CST);
}

/* Counts a call of the function `name`. True: it is to be refused. */
static bool refuse(const char *name)
{
    unsigned number, n = __atomic_load_n(&refused_at, __ATOMIC_RELAXED);
    const char *none = NULL;

    if (!__atomic_load_n(&counting, __ATOMIC_RELAXED))
        return false;
    number = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    if (n == 0 || number < n || (number > n && !__atomic_load_n(&lasts, __ATOMIC_RELAXED)))
        return false;
    __atomic_compare_exchange_n(&refused, &none, name, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    errno = ENOMEM;
    return true;
}

/* WRAP(what it returns, its name, its parameters, its arguments, what it returns when it is refused) */
#define WRAP(type, name, parameters, arguments, failure)                                                                           \
    type __real_##name parameters;                                                                                                 \
    type __wrap_##name parameters;                                                                                                 \
    type __wrap_##name parameters                                                                                                  \
    {                                                                                                                              \
        return refuse(#name) ? (failure) : __real_##name arguments;                                                                \
    }

WRAP(void *, malloc, (size_t size), (size), NULL)
WRAP(void *, calloc, (size_t count, size_t size), (count, size), NULL)
WRAP(void *, realloc, (void *memory, size_t size), (memory, size), NULL)
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size), NULL)
WRAP(int, madvise, (void *memory, size_t size, int advice), (memory, size, advice), -1)
WRAP(int, mprotect, (void *memory, size_t size, int protection), (memory, size, protection), -1)
WRAP(int, pthread_create, (pthread_t * thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg),
     (thread, attributes, fn, arg), EAGAIN)
WRAP(int, io_uring_queue_init_params, (unsigned entries, struct io_uring *ring, struct io_uring_params *parameters),
     (entries, ring, parameters), -ENOMEM)

/* mmap, by the name that it has where offsets have 64 bits in all of the program, as Meson sees to. */
void *__real_mmap64(void *place, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *place, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_mmap64(void *place, size_t size, int protection, int flags, int fd, off_t offset)
{
    void *memory = refuse("mmap") ? MAP_FAILED : __real_mmap64(place, size, protection, flags, fd, offset);

    if (memory != MAP_FAILED)
        __atomic_add_fetch(&mapped, (ptrdiff_t)size, __ATOMIC_SEQ_CST);
    return memory;
}

void *__real_mremap(void *memory, size_t size, size_t wanted, int flags, ...);
void *__wrap_mremap(void *memory, size_t size, size_t wanted, int flags, ...);

void *__wrap_mremap(void *memory, size_t size, size_t wanted, int flags, ...)
{
    void *moved = refuse("mremap") ? MAP_FAILED : __real_mremap(memory, size, wanted, flags);

    if (moved != MAP_FAILED)
        __atomic_add_fetch(&mapped, (ptrdiff_t)(wanted - size), __ATOMIC_SEQ_CST);
    return moved;
}

int __real_munmap(void *memory, size_t size);
int __wrap_munmap(void *memory, size_t size);

int __wrap_munmap(void *memory, size_t size)
{
    __atomic_sub_fetch(&mapped, (ptrdiff_t)size, __ATOMIC_SEQ_CST);
    return __real_munmap(memory, size);
}
