/* Opens a file, forks, and waits; the child has a thread that waits and one that computes. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void *compute_for_ever(void *unused)
{
    for (volatile unsigned long n = 0;; n++)
        ;
    return unused;
}

int main(void)
{
    pthread_t thread;
    int fd = open("/etc", O_RDONLY);

    (void)fd;
    if (fork() == 0) {
        pthread_create(&thread, NULL, wait_for_ever, NULL);
        pthread_create(&thread, NULL, compute_for_ever, NULL);
        wait_for_ever(NULL);
    }
    wait(NULL);
    return 0;
}
