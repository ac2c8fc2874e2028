/* Opens FILES descriptors, starts THREADS threads with small stacks, and waits for ever. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#ifndef FILES
#define FILES 0
#endif
#ifndef THREADS
#define THREADS 0
#endif

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

int main(void)
{
    pthread_attr_t small;
    pthread_t thread;
    int files = 0, threads = 0;

    for (int n = 0; n < FILES && open("/", O_RDONLY) >= 0; n++)
        files++;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    for (int n = 0; n < THREADS && pthread_create(&thread, &small, wait_for_ever, NULL) == 0; n++)
        threads++;
    printf("%d files %d threads\n", files, threads);
    fflush(stdout);
    wait_for_ever(NULL);
}
