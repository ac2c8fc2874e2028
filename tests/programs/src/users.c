/* Has children with a user id of their own each make threads, all at once, until no more can be had; prints how
   many there were in all and the errno that ended it. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { USERS = 5 };

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

int main(void)
{
    int start[2], told[2], report[2], user, sum = 0, error = 0;
    char byte;

    pipe(start);
    pipe(told);
    for (user = 0; user < USERS; user++)
        if (fork() == 0) {
            pthread_attr_t small;
            pthread_t thread;
            if (setuid(2000 + user) != 0)
                _exit(1);
            pthread_attr_init(&small);
            pthread_attr_setstacksize(&small, 1 << 16);
            close(start[1]);
            read(start[0], &byte, 1);
            report[0] = 0;
            while ((report[1] = pthread_create(&thread, &small, wait_for_ever, NULL)) == 0)
                report[0]++;
            write(told[1], report, sizeof report);
            wait_for_ever(NULL);
        }
    close(start[1]);
    for (user = 0; user < USERS; user++) {
        read(told[0], report, sizeof report);
        sum += report[0];
        error = report[1];
    }
    printf("threads %d errno %d\n", sum, error);
    fflush(stdout);
    return 5;
}
