/* Calls whose arguments the emulator's log shows as numbers; ends with code 3. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

int main(void)
{
    struct sockaddr_in6 peer = {.sin6_family = AF_INET6, .sin6_port = htons(4711), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct epoll_event event = {.events = EPOLLIN};
    int pair[2], pipes[2], one = 1, fd, watch, count;

    fd = socket(AF_INET6, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connect(fd, (struct sockaddr *)&peer, sizeof peer);
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
    shutdown(pair[0], SHUT_WR);
    if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK))
        return 1;
    watch = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(watch, EPOLL_CTL_ADD, pair[1], &event);
    count = eventfd(0, EFD_NONBLOCK);
    dup3(count, 40, O_CLOEXEC);
    timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    prctl(PR_SET_NAME, "renamed", 0, 0, 0);
    open("/etc/a\"b", O_RDONLY);
    return 3;
}
