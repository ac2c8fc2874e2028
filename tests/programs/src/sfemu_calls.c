/*
 * Calls for a rule directory that is asked about every call: each argument is a part, which opens the path
 * /sfemu/<part>[/<number>] and prints what came of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[4096];

static void show(const char *name, long result)
{
    printf("%s %ld %d\n", name, result, result < 0 ? errno : 0);
    fflush(stdout);
}

static long ask(const char *part, long number)
{
    snprintf(path, sizeof path, "/sfemu/%s/%ld", part, number);
    return open(path, O_RDONLY);
}

static void read_fake(void)
{
    char text[64] = "";
    int fd = open("/etc/missing.conf", O_RDONLY);
    long count = read(fd, text, sizeof text - 1);

    show("fake_read", count);
    printf("fake_text %s\n", text);
    show("fake_end", read(fd, text, sizeof text));
    show("fake_close", close(fd));
    show("fake_there", access("/etc/missing.conf", F_OK));
}

static void from_high_memory(void)
{
    char *high = mmap((void *)0x90000000UL, 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    if (high == MAP_FAILED) {
        show("high", -1);
        return;
    }
    strcpy(high, "/sfemu/high/0");
    show("high", open(high, O_RDONLY));
}

static void fork_twice(void)
{
    int status = 0;

    show("count", ask("count", 0));
    if (fork() == 0) {
        show("child", ask("count", 0));
        _exit(0);
    }
    wait(&status);
    show("parent", ask("count", 0));
}

static volatile unsigned long rounds;

int main(int argc, char **argv)
{
    int i;

    if (getenv("SFEMU_REEXEC_COUNT") != NULL)
        printf("again %s %s %d\n", getenv("SFEMU_REEXEC_COUNT"), getenv("SFEMU_REEXEC_TAG"), argc);
    for (i = 1; i < argc; i++) {
        const char *part = argv[i];

        if (strcmp(part, "fake") == 0)
            read_fake();
        else if (strcmp(part, "high") == 0)
            from_high_memory();
        else if (strcmp(part, "fork") == 0)
            fork_twice();
        else if (strcmp(part, "helpers") == 0)
            show(part, ask(part, (long)getpid()));
        else if (strcmp(part, "made") == 0)
            show(part, ask(part, SYS_getppid) - (long)getppid());
        else if (strcmp(part, "written") == 0)
            show(part, ask(part, SYS_write));
        else if (strcmp(part, "again") == 0) {
            if (getenv("SFEMU_REEXEC_COUNT") == NULL)
                show(part, ask(part, 0));
        } else if (strcmp(part, "spin") == 0) {
            while (rounds != (unsigned long)-1)
                rounds++;
        } else
            show(part, ask(part, 0));
    }
    return 3;
}
