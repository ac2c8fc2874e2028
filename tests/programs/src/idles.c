/* Makes no calls any more, in the way that argv[1] names. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static void *waits(void *unused)
{
    int ends[2];
    char byte;

    (void)unused;
    if (pipe(ends) == 0 && read(ends[0], &byte, 1) == 1)
        _exit(9);
    return 0;
}

static void *computes(void *unused)
{
    static volatile unsigned long counter;

    (void)unused;
    for (;;)
        counter++;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    pthread_t thread;

    if (!strcmp(kind, "computes beside a wait")) {
        pthread_create(&thread, 0, waits, 0);
        usleep(50000);
        computes(0);
    } else if (!strcmp(kind, "waits beside a computation")) {
        pthread_create(&thread, 0, computes, 0);
        waits(0);
    } else if (!strcmp(kind, "ends its first thread")) {
        pthread_create(&thread, 0, waits, 0);
        pthread_exit(0);
    } else if (!strcmp(kind, "stops itself")) {
        raise(SIGSTOP);
    }
    return 4;
}
