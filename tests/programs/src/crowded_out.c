/* Fills MEGABYTES below all other memory with numbers, then waits for ever in two threads, each with a word of its
   own on its stack, and prints where these lie. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MEGABYTES
#define MEGABYTES 24
#endif

static pthread_barrier_t both;

static void wait_with(const char *name, uint32_t word)
{
    volatile uint32_t mark[4] = {word, word, word, word};

    printf("%s %p\n", name, (void *)mark);
    fflush(stdout);
    pthread_barrier_wait(&both);
    for (;;)
        pause();
}

static void *work(void *unused)
{
    (void)unused;
    wait_with("thread", 0x2468ace0);
    return NULL;
}

int main(void)
{
    size_t words = (size_t)MEGABYTES * 1024 * 1024 / 4;
    uint32_t state = 1, *filled = mmap((void *)0x20000000, words * 4, 3,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    pthread_t thread;

    for (size_t n = 0; n < words; n++)
        filled[n] = state = state * 1664525 + 1013904223;
    printf("filled %p\n", (void *)filled);
    pthread_barrier_init(&both, NULL, 2);
    pthread_create(&thread, NULL, work, NULL);
    wait_with("main", 0x13579bdf);
}
