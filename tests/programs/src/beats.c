/* A heartbeat beside another thread: beats KIND. The first thread looks at a file once in PERIOD us (200000), for
   ever or COUNT times, and then ends with code 3. The other one, by KIND: "spins" in a tight loop; "works" on blocks
   that it reads and computes on; "waits" for a byte that never comes. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile unsigned sum;
static volatile int is_ready;

static void *spins(void *unused)
{
    while (!is_ready)
        ;
    return unused;
}

static void *works(void *unused)
{
    static char block[4096];
    int fd = open("/bin/beats", O_RDONLY);

    for (;;) {
        if (pread(fd, block, sizeof block, 0) < 0)
            return unused;
        for (unsigned i = 0; i < 2000000; i++)
            sum += block[i % sizeof block] + i;
    }
}

static void *waits(void *unused)
{
    int ends[2];
    char byte;

    if (pipe(ends) == 0 && read(ends[0], &byte, 1) == 1)
        _exit(9);
    return unused;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    int period = argc > 2 ? atoi(argv[2]) : 200000, count = argc > 3 ? atoi(argv[3]) : -1;
    struct stat found;
    pthread_t thread;

    pthread_create(&thread, 0, !strcmp(kind, "spins") ? spins : !strcmp(kind, "works") ? works : waits, 0);
    while (count-- != 0) {
        usleep(period);
        stat("/bin/beats", &found);
    }
    return 3;
}
