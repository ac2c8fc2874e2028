/* argv[1] threads compute for ever; with a second argument the main thread then ends the process with 3. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_barrier_t all;
static volatile unsigned long counters[256];

static void *work(void *number)
{
    pthread_barrier_wait(&all);
    for (;;)
        counters[(long)number]++;
    return NULL;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atoi(argv[1]) : 16;
    pthread_t thread;

    pthread_barrier_init(&all, NULL, count + 1);
    for (long i = 0; i < count; i++)
        if (pthread_create(&thread, NULL, work, (void *)(i % 256)))
            return 1;
    pthread_barrier_wait(&all);
    puts("computing");
    fflush(stdout);
    if (argc > 2)
        _exit(3);
    for (;;)
        counters[255]++;
}
