/* Read the time of day by each system call that does so, the C library's own way first, and print the seconds:
   "NAME SECONDS" per line, with the microseconds or nanoseconds behind them where the call gives some. */
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  printf("library %lld %ld\n", (long long)now.tv_sec, now.tv_nsec);
#ifdef SYS_time
  printf("time %ld\n", syscall(SYS_time, NULL));
#endif
#ifdef SYS_gettimeofday
  long parts[2] = {0, 0};
  syscall(SYS_gettimeofday, parts, NULL);
  printf("gettimeofday %ld %ld\n", parts[0], parts[1]);
#endif
#ifdef SYS_clock_gettime
  long old[2] = {0, 0};
  syscall(SYS_clock_gettime, CLOCK_REALTIME, old);
  printf("clock_gettime %ld %ld\n", old[0], old[1]);
#endif
#ifdef SYS_clock_gettime64
  long long wide[2] = {0, 0};
  syscall(SYS_clock_gettime64, CLOCK_REALTIME, wide);
  printf("clock_gettime64 %lld %lld\n", wide[0], wide[1]);
#endif
  return 0;
}
