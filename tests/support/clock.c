/* Preloaded into a program, it moves the program's time of day by the seconds (a 64-bit number) in
 * the file that $MOVED_CLOCK names, which may change at any time. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moved;

__attribute__((constructor)) static void find(void)
{
    const char *path = getenv("MOVED_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        abort();
    void *page = mmap(NULL, sizeof *moved, PROT_READ, MAP_SHARED, file, 0);
    if (page == MAP_FAILED)
        abort();
    moved = page;
    close(file);
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, which, now);
    if (result == 0 && which == CLOCK_REALTIME)
        now->tv_sec += *moved;
    return (int)result;
}
