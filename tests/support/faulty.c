/* Makes system calls that concern one directory fail, or end or stop their process: preloaded by tests/support/faulty.py.
 *
 * Calls are counted by name. The one that `faults_arm` picked fails with an errno, or raises a signal and goes on. The
 * clocks can be moved, and one can be stopped. One thread arms; calls of all threads count.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The order is that of CALLS in tests/faults/host.py. */
enum call { OPEN, FALLOCATE, MMAP, PREAD, PWRITE, LOCK, RENAME, UNLINK, STAT, MKDIR, READDIR, CALLS };

static char watched[PATH_MAX];
static atomic_long seen[CALLS];
static atomic_long hits;
static int armed = -1, fault;
static long first, last;
static double shifts[2];
static struct timespec held;
static int is_held;

void faults_watch(const char *directory) {
    snprintf(watched, sizeof watched, "%s", directory);
    for (int call = 0; call < CALLS; call++) seen[call] = 0;
    hits = 0;
}

/* From the `from`th call on, counted from 1, to the `to`th. Positive faults are errnos, negative ones signals. */
void faults_arm(int call, long from, long to, int what) {
    seen[call] = 0;
    first = from, last = to, fault = what;
    armed = call;
}

void faults_disarm(void) { armed = -1; }
long faults_seen(int call) { return seen[call]; }
long faults_hits(void) { return hits; }
void faults_shift_clock(int clock, double seconds) { shifts[clock] = seconds; }

/* Stops the monotonic clock, or lets it go on from the true time. */
void faults_hold_clock(int is_to_stop) {
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &held);
    is_held = is_to_stop;
}

static int is_watched(const char *path) {
    size_t length = strlen(watched);
    return length && path && !strncmp(path, watched, length) && (path[length] == '/' || !path[length] || path[length] == ' ');
}

static int is_watched_file(int file) {
    char link[64], path[PATH_MAX];
    if (!watched[0] || file < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_watched(path);
}

/* Counts a call and tells whether it is to fail; errno is set then. */
static int fails(enum call call, int concerns) {
    if (!concerns) return 0;
    long number = ++seen[call];
    if ((int)call != armed || number < first || number > last) return 0;
    hits++;
    if (fault < 0) {
        raise(-fault);
        return 0;
    }
    errno = fault;
    return 1;
}

#define NEXT(type, name) static type (*next)() = NULL; if (!next) next = (type (*)())dlsym(RTLD_NEXT, #name)

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) {
    MODE(flags)
    NEXT(int, open);
    return fails(OPEN, is_watched(path)) ? -1 : next(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    NEXT(int, open64);
    return fails(OPEN, is_watched(path)) ? -1 : next(path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    MODE(flags)
    NEXT(int, openat64);
    return fails(OPEN, path[0] == '/' ? is_watched(path) : is_watched_file(at)) ? -1 : next(at, path, flags, mode);
}

int fallocate(int file, int mode, off_t start, off_t length) {
    NEXT(int, fallocate);
    return fails(FALLOCATE, is_watched_file(file)) ? -1 : next(file, mode, start, length);
}

#define MAP(name) \
    void *name(void *at, size_t length, int access, int flags, int file, off_t start) { \
        int shared = (flags & MAP_SHARED) && (access & PROT_WRITE) && is_watched_file(file); \
        if (fails(MMAP, shared)) return MAP_FAILED; \
        return (void *)syscall(SYS_mmap, at, length, access, flags, file, start); \
    }
MAP(mmap)
MAP(mmap64)

ssize_t pread64(int file, void *bytes, size_t size, off64_t at) {
    NEXT(ssize_t, pread64);
    return fails(PREAD, is_watched_file(file)) ? -1 : next(file, bytes, size, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    NEXT(ssize_t, pwrite64);
    return fails(PWRITE, is_watched_file(file)) ? -1 : next(file, bytes, size, at);
}

/* Whole files are read and written by these. */
ssize_t read(int file, void *bytes, size_t size) {
    NEXT(ssize_t, read);
    return fails(PREAD, is_watched_file(file)) ? -1 : next(file, bytes, size);
}

ssize_t write(int file, const void *bytes, size_t size) {
    NEXT(ssize_t, write);
    return fails(PWRITE, is_watched_file(file)) ? -1 : next(file, bytes, size);
}

int fcntl(int file, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    NEXT(int, fcntl);
    int locks = command == F_SETLK || command == F_GETLK;
    return fails(LOCK, locks && is_watched_file(file)) ? -1 : next(file, command, argument);
}

int rename(const char *from, const char *to) {
    NEXT(int, rename);
    return fails(RENAME, is_watched(from)) ? -1 : next(from, to);
}

int unlink(const char *path) {
    NEXT(int, unlink);
    return fails(UNLINK, is_watched(path)) ? -1 : next(path);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(int, mkdir);
    return fails(MKDIR, is_watched(path)) ? -1 : next(path, mode);
}

DIR *opendir(const char *path) {
    NEXT(DIR *, opendir);
    return fails(READDIR, is_watched(path)) ? NULL : next(path);
}

int statx(int at, const char *restrict path, int flags, unsigned mask, struct statx *restrict into) {
    NEXT(int, statx);
    /* The header promises that there is a path; who probes whether there is such a call passes none. */
    const char *volatile given = path;
    int is_file = !given || !path[0];
    return fails(STAT, is_file ? is_watched_file(at) : is_watched(path)) ? -1 : next(at, path, flags, mask, into);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    if (is_held && clock == CLOCK_MONOTONIC) *time = held;
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC)) {
        double shift = shifts[clock];
        time->tv_sec += (time_t)shift;
    }
    return result;
}
