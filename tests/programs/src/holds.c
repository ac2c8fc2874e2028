/* Opens one descriptor of each kind, sets what a process can set of itself, and waits for ever. */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void check(int result)
{
    if (result < 0) {
        perror("holds");
        exit(1);
    }
}

int main(void)
{
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(8080)};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/tmp/control"};
    struct epoll_event event = {.events = EPOLLIN};
    struct rlimit files = {100, 200};
    sigset_t blocked;
    char *heap = malloc(100000);
    int file = open("/etc/data", O_RDWR | O_APPEND | O_CLOEXEC);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    int counter = eventfd(7, EFD_NONBLOCK);
    int poll = epoll_create1(0);

    check(file);
    check(lseek(file, 5, SEEK_SET));
    check(bind(listener, (struct sockaddr *)&inet, sizeof inet));
    check(listen(listener, 4));
    check(bind(local, (struct sockaddr *)&un, sizeof un));
    check(listen(local, 4));
    inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(connect(client, (struct sockaddr *)&inet, sizeof inet));
    check(counter);
    check(epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event));
    umask(027);
    check(setrlimit(RLIMIT_NOFILE, &files));
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    check(chdir("/var/log"));
    strcpy(heap, "on the heap");
    for (;;)
        pause();
}
