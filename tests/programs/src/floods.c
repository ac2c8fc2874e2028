/* floods THREADS CALLS SIZE: threads make calls with a string of SIZE bytes, the first one mkdir meanwhile. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char name[1 << 17];
static int calls, left;

static void *flood(void *unused)
{
    for (int i = 0; i != calls; i++)
        access(name, F_OK);
    __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

int main(int argc, char **argv)
{
    int wrong = 0, made = 0, threads = argc > 3 ? atoi(argv[1]) : 0;
    pthread_t thread;

    calls = atoi(argv[2]);
    memset(name, 'x', atoi(argv[3]));
    name[0] = '/';
    left = threads;
    for (int i = 0; i < threads; i++)
        pthread_create(&thread, NULL, flood, NULL);
    while (__atomic_load_n(&left, __ATOMIC_SEQ_CST)) {
        wrong += mkdir("/made", 0755) != -1 || errno != ENOSPC;
        made++;
        usleep(1000);
    }
    printf("%d of %d wrong\n", wrong, made);
    return wrong != 0;
}
