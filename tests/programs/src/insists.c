/* Makes a thread, then executes each argument in a child of its own; ends with how many could not be made. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void *nothing(void *unused)
{
    getppid();
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int at, failed = 0;

    if (pthread_create(&thread, NULL, nothing, NULL) == 0)
        pthread_join(thread, NULL);
    for (at = 1; at < argc; at++) {
        pid_t child = fork();
        if (child == 0) {
            execl(argv[at], argv[at], (char *) NULL);
            printf("execl %d\n", errno);
            fflush(stdout);
            _exit(1);
        }
        if (child < 0)
            failed++;
        else
            waitpid(child, NULL, 0);
    }
    return failed;
}
