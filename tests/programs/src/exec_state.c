/* exec_state WAY: sets up what a program inherits, and executes itself in a certain way; "show" prints what it
   has got. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;
static char *self;

static char *environment[] = {
    "PLAIN=1", "LD_LIBRARY_PATH=/lib:/usr/lib", "QEMU_STRACE=1", "QEMU_GDB=1234", "EMPTY=", "COMMA=a,b", NULL};

static void show(int argc, char **argv)
{
    char text[4096];
    sigset_t blocked;
    int fd = open("/proc/self/cmdline", O_RDONLY);
    long size = fd < 0 ? 0 : read(fd, text, sizeof text);

    close(fd);
    printf("argc %d first %s last %.20s\n", argc, argv[0], argv[argc - 1]);
    for (char **variable = environ; *variable; variable++)
        printf("env %s\n", *variable);
    for (long i = 0; i < size && i < 60; i++)
        putchar(i == 0 ? '[' : text[i] ? text[i] : '|');
    puts("]");
    size = readlink("/proc/self/exe", text, sizeof text - 1);
    text[size < 0 ? 0 : size] = 0;
    printf("exe %s\n", text);
    printf("cwd %s\n", getcwd(text, sizeof text));
    for (int i = 1; i < 32; i++) {
        struct sigaction action;

        if (!sigaction(i, NULL, &action) && action.sa_handler == SIG_IGN)
            printf("ignored %d\n", i);
    }
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    printf("blocked %d %d\n", sigismember(&blocked, SIGUSR2), sigismember(&blocked, SIGTERM));
    /* Its own, and the last below those of its emulator. */
    for (int i = 0; i < 1024; i += i == 63 ? 957 : 1)
        if (fcntl(i, F_GETFD) >= 0)
            printf("fd %d\n", i);
}

static volatile int caught;

static void count(int number)
{
    caught += number;
}

static void *execute(void *unused)
{
    char *words[] = {self, "show", NULL};

    (void)unused;
    execve(self, words, environment);
    return NULL;
}

static void *wait_for_ever(void *unused)
{
    (void)unused;
    pause();
    return NULL;
}

int main(int argc, char **argv)
{
    char *way = argc > 1 ? argv[1] : "show";
    char *words[] = {"name given", "show", NULL};
    sigset_t some;
    pthread_t thread;

    if (!strcmp(way, "show") || argc > 2) {
        show(argc, argv);
        return 7;
    }
    self = argv[0];
    dup2(1, 10);
    dup2(1, 11);
    fcntl(11, F_SETFD, FD_CLOEXEC);
    signal(SIGUSR1, SIG_IGN);
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    sigprocmask(SIG_BLOCK, &some, NULL);
    if (chdir("/tmp"))
        return 3;
    if (!strcmp(way, "thread")) {
        for (int i = 0; i < 3; i++)
            pthread_create(&thread, NULL, wait_for_ever, NULL);
        pthread_create(&thread, NULL, execute, NULL);
        pause();
    } else if (!strcmp(way, "memory") || !strcmp(way, "descriptor")) {
        int from = open(self, O_RDONLY), fd = from;
        char block[4096];
        long size;

        if (!strcmp(way, "memory")) {
            fd = syscall(SYS_memfd_create, "program", 0);
            while ((size = read(from, block, sizeof block)) > 0)
                if (write(fd, block, size) != size)
                    return 4;
            close(from);
        }
        snprintf(block, sizeof block, "/proc/self/fd/%d", fd);
        execve(block, words, environment);
    } else if (!strcmp(way, "long")) {
        /* Short: pieces of the emulator's log of 26 to 39 bytes are looked at one by one. */
        static char *many[30002], text[21];

        memset(text, 'x', sizeof text - 1);
        many[0] = self;
        for (int i = 1; i < 30001; i++)
            many[i] = text;
        execve(self, many, environment);
    } else if (!strcmp(way, "too long")) {
        char *text = malloc(1 << 20);

        memset(text, 'x', (1 << 20) - 1);
        text[(1 << 20) - 1] = 0;
        words[1] = text;
        execve(self, words, environment);
    } else if (!strcmp(way, "signals") || !strcmp(way, "stops")) {
        /* Signals that are caught arrive while the program is being executed; its default is to ignore them. */
        pid_t pid = getpid();
        int stops = !strcmp(way, "stops");

        signal(SIGWINCH, count);
        /* Ever more slowly: QEMU begins an execve again at each signal, and has to get through on any machine. */
        if (!fork())
            for (int pause = 0; getppid() == pid; pause += 5) {
                if (kill(pid, SIGWINCH) || (stops && (kill(pid, SIGSTOP) || kill(pid, SIGCONT))))
                    break;
                usleep(pause);
            }
        while (!caught)
            ;
        execve(self, words, environment);
    } else {
        execve(way, words, environment);
    }
    printf("error %d\n", errno);
    return 5;
}
