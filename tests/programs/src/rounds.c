/*
 * The time that one system call takes, measured by the program itself: `rounds <call> <count>` prints the
 * median in nanoseconds. The calls are getuid (a host call), driver (an ioctl that QEMU does not know) and
 * uname (a structure that QEMU converts).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int by_size(const void *left, const void *right)
{
    long a = *(const long *)left, b = *(const long *)right;

    return a < b ? -1 : a > b;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "getuid";
    int i, count = argc > 2 ? atoi(argv[2]) : 1000;
    long *spans = malloc(count * sizeof *spans);

    for (i = 0; i < count; i++) {
        struct timespec begin, end;
        struct utsname system;
        int word = 1;

        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (!strcmp(name, "driver"))
            ioctl(1, 0x89F1, &word);
        else if (!strcmp(name, "uname"))
            uname(&system);
        else
            getuid();
        clock_gettime(CLOCK_MONOTONIC, &end);
        spans[i] = (end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec;
    }
    qsort(spans, count, sizeof *spans, by_size);
    printf("%s %ld\n", name, spans[count / 2]);
    return 0;
}
