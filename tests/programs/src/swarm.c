/* argv[1] = "threads": starts argv[2] threads that all live at once, "short": one after the other, "forks": as many
   processes at once, "pairs": as many processes with a second thread each. Each opens a file of its own number. Says
   how many there were, and how many descriptors the program itself has (3 when nothing of others is in sight); then
   it waits for all of them, or where they live for ever, ends with 6. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_barrier_t all;

static void look(long number)
{
    char name[32];

    snprintf(name, sizeof name, "/etc/number%ld", number);
    if (open(name, O_RDONLY) >= 0)
        abort();
}

static void *brief(void *number)
{
    look((long)number);
    return NULL;
}

static void *lasting(void *number)
{
    look((long)number);
    pthread_barrier_wait(&all);
    for (;;)
        pause();
    return NULL;
}

int main(int argc, char **argv)
{
    long count = argc > 2 ? atol(argv[2]) : 0, made = 0;
    const char *kind = argc > 1 ? argv[1] : "";
    pthread_attr_t small;
    pthread_t thread;
    int ready[2], next;
    char byte;

    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    if (!strcmp(kind, "short")) {
        for (; made < count && pthread_create(&thread, &small, brief, (void *)made) == 0; made++)
            pthread_join(thread, NULL);
    } else if (!strcmp(kind, "threads")) {
        pthread_barrier_init(&all, NULL, count + 1);
        for (; made < count && pthread_create(&thread, &small, lasting, (void *)made) == 0; made++)
            ;
        if (made == count)
            pthread_barrier_wait(&all);
    } else {
        if (pipe(ready))
            return 1;
        for (; made < count; made++) {
            pid_t child = fork();
            if (child < 0)
                break;
            if (child == 0) {
                pthread_barrier_init(&all, NULL, 2);
                look(made);
                if (!strcmp(kind, "pairs") && pthread_create(&thread, &small, lasting, (void *)(made + 10000)) == 0)
                    pthread_barrier_wait(&all);
                if (write(ready[1], "x", 1) != 1)
                    _exit(1);
                for (;;)
                    pause();
            }
        }
        for (long n = 0; n < made; n++)
            if (read(ready[0], &byte, 1) != 1)
                return 1;
        close(ready[0]);
        close(ready[1]);
    }
    next = open("/", O_RDONLY);
    printf("%s %ld next %d\n", kind, made, next);
    fflush(stdout);
    _exit(6);
}
