/* Three threads that each open a file of their own name, and then wait for ever; the main thread waits too,
   or with an argument ends the program with code 5. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static pthread_barrier_t all;

static void *work(void *name)
{
    int fd = open(name, O_RDONLY);
    (void)fd;
    pthread_barrier_wait(&all);
    for (;;)
        pause();
    return NULL;
}

int main(int argc, char **argv)
{
    static char names[3][16];
    pthread_t thread;

    (void)argv;
    pthread_barrier_init(&all, NULL, 4);
    for (int i = 0; i < 3; i++) {
        snprintf(names[i], sizeof names[i], "/etc/thread%d", i);
        pthread_create(&thread, NULL, work, names[i]);
    }
    pthread_barrier_wait(&all);
    puts("waiting");
    fflush(stdout);
    if (argc > 1)
        return 5;
    for (;;)
        pause();
}
