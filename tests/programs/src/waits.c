/* Waits in the call named by argv[1] until /tmp/go exists, and prints what the call gave and its errno. With a
   second argument it has a child meanwhile, and prints how often it was told of it. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif

static int ends[2], pair[2], listener, word;
static struct sockaddr_in address;

static volatile int told;

static void tell(int number)
{
    (void)number;
    told++;
}

static void *wake(void *kind)
{
    while (access("/tmp/go", F_OK))
        usleep(20000);
    if (!strcmp(kind, "futex")) {
        __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    } else if (!strcmp(kind, "accept")) {
        connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address);
    } else if (write(ends[1], "x", 1) != 1 || write(pair[1], "x", 1) != 1) {
        perror("write");
    }
    return NULL;
}

static long call(const char *kind)
{
    struct timeval limit = {600, 0};
    struct epoll_event event = {.events = EPOLLIN};
    struct pollfd entry = {.fd = ends[0], .events = POLLIN};
    struct timespec second = {1, 0};
    long result;
    char byte;
    fd_set set;
    int epoll;

    if (!strcmp(kind, "read"))
        return read(ends[0], &byte, 1);
    if (!strcmp(kind, "poll"))
        return poll(&entry, 1, -1);
    if (!strcmp(kind, "select")) {
        FD_ZERO(&set);
        FD_SET(ends[0], &set);
        return select(ends[0] + 1, &set, NULL, NULL, NULL);
    }
    if (!strcmp(kind, "epoll")) {
        epoll = epoll_create1(0);
        epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
        return epoll_wait(epoll, &event, 1, -1);
    }
    if (!strcmp(kind, "recv")) {
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        return recv(pair[0], &byte, 1, 0);
    }
    if (!strcmp(kind, "accept"))
        return accept(listener, NULL, NULL) > 0;
    if (!strcmp(kind, "futex")) {
        result = syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
        /* Who waits again after a stop finds the word changed: futex(2) has callers look for that. */
        if (result < 0 && errno == EAGAIN && word)
            result = errno = 0;
        return result + 1;
    }
    return nanosleep(&second, NULL) + 1;
}

int main(int argc, char **argv)
{
    socklen_t size = sizeof address;
    pthread_t thread;
    long result;

    if (argc < 2 || pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return 1;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1))
        return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    if (argc > 2) {
        struct sigaction action = {.sa_handler = tell};
        sigaction(SIGCHLD, &action, NULL);
        if (fork() == 0)
            for (;;)
                pause();
    }
    pthread_create(&thread, NULL, wake, argv[1]);
    puts("ready");
    fflush(stdout);
    errno = 0;
    result = call(argv[1]);
    printf("%s %ld %d\n", argv[1], result, result > 0 ? 0 : errno);
    if (argc > 2)
        printf("told %d times\n", told);
    fflush(stdout);
    return 0;
}
