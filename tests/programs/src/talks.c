/* Talks to the local socket named by the argument in each way that there is, and prints what it gets: connects a
   stream, sends a number and a text and waits for an answer; sends a datagram to the address, by sendto and by sendmsg;
   then connects a datagram socket. */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un peer = {.sun_family = AF_UNIX};

static void receive(const char *how, int fd)
{
    struct pollfd waits = {fd, POLLIN, 0};
    char text[100] = {0};
    uint32_t number = 0;

    if (poll(&waits, 1, 5000) != 1 || !(waits.revents & POLLIN)) {
        printf("%s silence\n", how);
        return;
    }
    ssize_t got = read(fd, text, sizeof(text) - 1);
    if (got >= 4)
        memcpy(&number, text, 4);
    printf("%s %zd %u %s\n", how, got, number, got > 4 ? text + 4 : "");
}

int main(int argc, char **argv)
{
    struct {
        uint32_t number;
        char text[4];
    } question = {0x01020304, "who"};
    struct iovec pieces[2] = {{&question.number, 4}, {question.text, 4}};
    struct msghdr message = {.msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = pieces, .msg_iovlen = 2};
    struct stat status;

    strncpy(peer.sun_path, argc > 1 ? argv[1] : "/run/peer", sizeof(peer.sun_path) - 1);
    printf("name %s\n", stat(peer.sun_path, &status) == 0 && S_ISSOCK(status.st_mode) ? "there" : "missing");
    int stream = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(stream, (struct sockaddr *)&peer, sizeof(peer)) != 0) {
        perror("connect");
        return 1;
    }
    receive("greeting", stream);
    if (write(stream, &question, 8) == 8)
        receive("stream", stream);
    int first = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (sendto(first, &question, 8, 0, (struct sockaddr *)&peer, sizeof(peer)) == 8) {
        receive("sendto", first);
        receive("sendto", first);
    }
    int second = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (sendmsg(second, &message, 0) == 8) {
        receive("sendmsg", second);
        receive("sendmsg", second);
    }
    if (write(stream, "bye", 3) == 3 && read(stream, &question, 8) == 0)
        puts("hung up");
    return 0;
}
