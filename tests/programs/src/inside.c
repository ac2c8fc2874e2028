/* Makes system calls that an emulator serves by itself, ends a thread, and ends with code 5. */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void *ends(void *unused)
{
    return unused;
}

int main(void)
{
    struct timespec now;
    pthread_t thread;
    char space[64];
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ioctl(0, 0xbeef, space);
    pthread_create(&thread, NULL, ends, NULL);
    pthread_join(thread, NULL);
    syscall(SYS_set_tid_address, space);
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    munmap(page, 4096);
    syscall(SYS_brk, 0);
    _exit(5);
}
