/* Makes system calls that programs seldom make, or that an emulator may serve by itself, each with arguments that
   do no harm; prints the name of each. */
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static long space[64];
static char page[4096] __attribute__((aligned(4096)));

#define CALL(name, ...)             \
    do {                            \
        puts(#name);                \
        syscall(SYS_##name, __VA_ARGS__); \
    } while (0)

int main(void)
{
    CALL(getsid, 0);
    CALL(getpriority, 0, 0);
    CALL(setpriority, 0, 0, 0);
    CALL(pread64, 0, space, 1, 0, 0, 0);
    CALL(readahead, 0, 0, 0, 0);
    CALL(mprotect, page, 4096, 3);
    CALL(mremap, page, 4096, 4096, 0);
    CALL(msync, page, 4096, 1);
    CALL(mincore, page, 4096, space);
    CALL(madvise, page, 4096, 4);
    CALL(umask, 022);
    CALL(getitimer, 0, space);
    CALL(setitimer, 0, 0, 0);
    CALL(times, space);
    CALL(getrusage, 0, space);
    CALL(sched_yield, 0);
    CALL(sched_getscheduler, 0);
    CALL(sched_get_priority_max, 0);
    CALL(sched_getaffinity, 0, 8, space);
    CALL(statfs, "/", space);
    CALL(fstatfs, 0, space);
    CALL(getdents64, 0, space, 64);
    CALL(timer_create, 99, 0, space);
    CALL(timerfd_create, 1, 0);
    CALL(eventfd2, 0, 0);
    CALL(inotify_init1, 0);
    CALL(getxattr, "/", "user.none", space, 8);
    CALL(shmget, 0, 1, 0);
    CALL(msgget, 0, 0);
    CALL(semget, 0, 1, 0);
    CALL(capget, space, 0);
    CALL(getrandom, space, 1, 0);
    CALL(memfd_create, "", 0);
    CALL(syncfs, 0);
    CALL(flock, 99, 8);
    CALL(getpgid, 0);
    CALL(waitid, 9, 0, 0, 0, 0);
    CALL(rt_sigpending, space, 8);
    CALL(getcpu, space, space, 0);
    CALL(mlock, page, 1);
    CALL(swapoff, "");
    CALL(sched_rr_get_interval, 0, space);
    CALL(utimensat, -100, "/none", 0, 0);
    CALL(fallocate, 99, 0, 0, 0, 0, 0);
    CALL(removexattr, "/none", "user.none");
#ifdef SYS_mmap2
    CALL(mmap2, 0, 4096, 1, 0x22, -1, 0);
#else
    CALL(mmap, 0, 4096, 1, 0x22, -1, 0);
#endif
#ifdef SYS_alarm
    CALL(alarm, 0);
    CALL(utime, "/none", 0);
    CALL(getpgrp, 0);
    CALL(readlink, "/none", space, 8);
#endif
#ifdef SYS_sigpending
    CALL(nice, 0);
    CALL(sigpending, space);
    CALL(truncate64, "/none", 0, 0, 0);
    CALL(fstatfs64, 0, 88, space);
    CALL(statfs64, "/", 88, space);
    CALL(sendfile64, 99, 99, 0, 1);
#endif
    CALL(munmap, page, 4096);
#ifdef SERVED
    CALL(clock_gettime, 1, space);
    CALL(clock_getres, 1, space);
    CALL(gettimeofday, space, 0);
    CALL(brk, 0);
    CALL(rt_sigprocmask, 0, 0, 0, 8);
    CALL(sigaltstack, 0, 0);
    CALL(set_tid_address, space);
#endif
    return 0;
}
