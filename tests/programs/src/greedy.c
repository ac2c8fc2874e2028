/* Takes more than its share of one thing, named by the argument, and says where it was stopped. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char block[1 << 20];

static int take_processes(void)
{
    int count = 0;
    for (; count < 5000; count++) {
        pid_t child = fork();
        if (child < 0)
            break;
        if (child == 0) {
            pause();
            _exit(0);
        }
    }
    printf("processes %d errno %d\n", count, errno);
    fflush(stdout);
    return 5;
}

static int take_memory(void)
{
    int count = 0;
    for (; count < 1 << 14; count++) {
        char *more = mmap(NULL, sizeof block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED)
            break;
        if (count < 64)
            memset(more, 1, sizeof block);
    }
    printf("megabytes %d errno %d\n", count, errno);
    return 5;
}

static void *hold_memory(void *unused)
{
    char *more = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(more, 1, 64 << 20);
    for (;;)
        pause();
    return unused;
}

static int crowd(int first_threads_end)
{
    int count, status = 0;
    for (count = 0; count < 8; count++)
        if (fork() == 0) {
            pthread_t thread;
            if (first_threads_end && pthread_create(&thread, NULL, hold_memory, NULL) == 0)
                pthread_exit(NULL);
            hold_memory(NULL);
        }
    wait(&status);
    printf("crowd %d errno %d\n", WIFSIGNALED(status), WTERMSIG(status));
    return 5;
}

static int take_disk(void)
{
    int count = 0, fd = open("/tmp/fill", O_WRONLY | O_CREAT, 0600);
    while (count < 1 << 14 && write(fd, block, sizeof block) == sizeof block)
        count++;
    printf("disk %d errno %d\n", count, errno);
    return 5;
}

static int fail_elsewhere(void)
{
    mmap(NULL, 0xf0000000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return 5;
}

static int take_descriptors(void)
{
    int count = 0;
    while (count < 1 << 20 && dup(0) >= 0)
        count++;
    printf("descriptors %d errno %d\n", count, errno);
    return 5;
}

static int kill_parents(void)
{
    if (fork() == 0) {
        kill(getppid(), SIGKILL);
        for (;;)
            pause();
    }
    pause();
    return 5;
}

static int fork_hundreds(void)
{
    int count = 0, failed = 0;
    /* Together more than may live at the same time, and than the supervisor's descriptors for two logs each. */
    for (; count < 600; count++) {
        pid_t child = fork();
        if (child < 0)
            failed++;
        else if (child == 0)
            _exit(0);
        else
            waitpid(child, NULL, 0);
    }
    printf("forks %d errno %d\n", count, failed);
    return 5;
}

static int close_everything(void)
{
    int fd;
    /* The emulator has descriptors of its own in the thousand above the limit of 1024. */
    for (fd = 0; fd < 1 << 12; fd++)
        close(fd);
    fd = open("/etc/after-closing", O_RDONLY);
    return fd < 0 ? 6 : 5;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "processes"))
        return take_processes();
    if (!strcmp(what, "memory"))
        return take_memory();
    if (!strcmp(what, "crowd"))
        return crowd(0);
    if (!strcmp(what, "crowd without first threads"))
        return crowd(1);
    if (!strcmp(what, "disk"))
        return take_disk();
    if (!strcmp(what, "elsewhere"))
        return fail_elsewhere();
    if (!strcmp(what, "descriptors"))
        return take_descriptors();
    if (!strcmp(what, "parents"))
        return kill_parents();
    if (!strcmp(what, "forks"))
        return fork_hundreds();
    if (!strcmp(what, "closes"))
        return close_everything();
    if (!strcmp(what, "dies"))
        abort();
    return 2;
}
