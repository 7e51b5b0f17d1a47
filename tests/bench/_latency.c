/* LD_PRELOAD shim: what a far metadata server does to every stat. See _latency.py.
 *
 * LATENCY_US      microseconds by which each call of the stat family is delayed
 * LATENCY_HANG    suffix of the paths whose stat never returns
 * LATENCY_REPORT  file that gets "calls peak" at exit: how many calls there were, and how many at once at most
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long delay_ns;
static const char *hang, *report;
static long calls, flying, peak;

__attribute__((constructor)) static void
begin(void)
{
    const char *microseconds = getenv("LATENCY_US");
    delay_ns = microseconds ? atol(microseconds) * 1000 : 0;
    hang = getenv("LATENCY_HANG");
    report = getenv("LATENCY_REPORT");
    prctl(PR_SET_TIMERSLACK, 1); /* nanosecond; threads inherit it. The default, 50 us, would add to each delay. */
}

__attribute__((destructor)) static void
end(void)
{
    FILE *file = report ? fopen(report, "w") : NULL;
    if (file == NULL)
        return;
    fprintf(file, "%ld %ld\n", calls, peak);
    fclose(file);
}

static int
ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), wanted = strlen(suffix);
    return length >= wanted && strcmp(path + length - wanted, suffix) == 0;
}

static void
wait_for(const char *path)
{
    if (path == NULL || *path == '\0') /* AT_EMPTY_PATH: the file is open already */
        return;
    while (hang && ends_with(path, hang))
        pause();
    __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    long now = __atomic_add_fetch(&flying, 1, __ATOMIC_RELAXED), before = __atomic_load_n(&peak, __ATOMIC_RELAXED);
    while (now > before && !__atomic_compare_exchange_n(&peak, &before, now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    struct timespec left = {delay_ns / 1000000000, delay_ns % 1000000000};
    if (delay_ns)
        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left))
            ;
    __atomic_sub_fetch(&flying, 1, __ATOMIC_RELAXED);
}

#define NEXT(name) \
    static __typeof__(name) *next; \
    if (next == NULL) \
        next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);

#define OF_PATH(name) \
    int name(const char *path, void *status); \
    int name(const char *path, void *status) \
    { \
        NEXT(name) \
        wait_for(path); \
        return next(path, status); \
    }

#define OF_VERSION_AND_PATH(name) \
    int name(int version, const char *path, void *status); \
    int name(int version, const char *path, void *status) \
    { \
        NEXT(name) \
        wait_for(path); \
        return next(version, path, status); \
    }

OF_PATH(stat)
OF_PATH(lstat)
OF_PATH(stat64)
OF_PATH(lstat64)
OF_VERSION_AND_PATH(__xstat)
OF_VERSION_AND_PATH(__lxstat)
OF_VERSION_AND_PATH(__xstat64)
OF_VERSION_AND_PATH(__lxstat64)

#define AT(name) \
    int name(int fd, const char *path, void *status, int flags); \
    int name(int fd, const char *path, void *status, int flags) \
    { \
        NEXT(name) \
        wait_for(path); \
        return next(fd, path, status, flags); \
    }

AT(fstatat)
AT(fstatat64)

#define VERSION_AT(name) \
    int name(int version, int fd, const char *path, void *status, int flags); \
    int name(int version, int fd, const char *path, void *status, int flags) \
    { \
        NEXT(name) \
        wait_for(path); \
        return next(version, fd, path, status, flags); \
    }

VERSION_AT(__fxstatat)
VERSION_AT(__fxstatat64)

int statx(int fd, const char *path, int flags, unsigned mask, void *status);
int
statx(int fd, const char *path, int flags, unsigned mask, void *status)
{
    NEXT(statx)
    wait_for(path);
    return next(fd, path, flags, mask, status);
}

/* Some programs go round the C library. */
long
syscall(long number, ...)
{
    static long (*next)(long, ...);
    if (next == NULL)
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_statx
#ifdef SYS_newfstatat
        || number == SYS_newfstatat
#endif
    )
        wait_for((const char *)a[1]);
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
