/* exec_race GOOD EVIL ROUNDS [thread]: executes a path that something else switches between GOOD and EVIL, which
   are equally long: another process that shares the memory, or with "thread" another thread. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile char *path;
static char **names;

static void *flip(void *unused)
{
    size_t length = strlen(names[1]) + 1;

    (void)unused;
    for (;;)
        for (int which = 1; which < 3; which++)
            for (size_t i = 0; i < length; i++)
                path[i] = names[which][i];
    return NULL;
}

int main(int argc, char **argv)
{
    int threads = argc > 4, rounds = argc > 3 ? atoi(argv[3]) : 0, failed = 0;
    pid_t flipper = 0;

    if (!rounds)
        return 2;
    names = argv;
    path = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy((char *)path, argv[1]);
    if (!threads && !(flipper = fork()))
        flip(NULL);
    for (int i = 0; i < rounds; i++) {
        pid_t child = fork();
        int status = 0;

        if (!child) {
            char *words[] = {argv[1], "good", NULL};
            pthread_t thread;

            if (threads)
                pthread_create(&thread, NULL, flip, NULL);
            execv((const char *)path, words);
            _exit(42);
        }
        waitpid(child, &status, 0);
        failed += !WIFEXITED(status) || WEXITSTATUS(status);
    }
    if (flipper)
        kill(flipper, SIGKILL);
    printf("failed %d\n", failed);
    return 0;
}
