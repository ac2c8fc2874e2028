/* Converses with the peer of the argument, a path, or @ and an abstract name, by a stream, by packets and by datagrams:
   two connections at once, a stream's answers read in pieces of three bytes; then one is told to hang up. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un peer = {.sun_family = AF_UNIX};
static socklen_t size;
static int is_stream;

static int connected(int type)
{
    int fd = socket(AF_UNIX, type, 0);
    if (connect(fd, (struct sockaddr *)&peer, size) != 0) {
        perror("connect");
        return -1;
    }
    return fd;
}

static void receive(const char *who, int fd)
{
    struct pollfd waits = {fd, POLLIN, 0};
    char piece[64] = {0};

    printf("%s:", who);
    while (poll(&waits, 1, 5000) == 1) {
        ssize_t got = recv(fd, piece, is_stream ? 3 : sizeof(piece) - 1, 0);
        if (got <= 0) {
            printf(" end %d", got < 0 ? errno : 0);
            break;
        }
        piece[got] = 0;
        printf(" [%s]", piece);
        if (strchr(piece, '.') != NULL)
            break;
    }
    puts("");
    fflush(stdout);
}

static void converse(int type)
{
    is_stream = type == SOCK_STREAM;
    int one = connected(type), two = connected(type);
    receive("greeting", one);
    receive("greeting", two);
    send(two, "who", 3, 0);
    if (is_stream) {
        send(one, "how", 3, 0);
        send(one, " many", 5, 0);
    } else {
        send(one, "how many", 8, 0);
    }
    receive("one", one);
    receive("two", two);
    send(one, "bye", 3, 0);
    if (type != SOCK_DGRAM) {
        receive("one", one);
        printf("sent %zd %d\n", send(one, "x", 1, MSG_NOSIGNAL), errno == EPIPE);
    }
    send(two, "who", 3, 0);
    receive("two", two);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "/run/peer";

    strncpy(peer.sun_path, name, sizeof(peer.sun_path) - 1);
    size = offsetof(struct sockaddr_un, sun_path) + strlen(name) + (name[0] != '@');
    if (name[0] == '@')
        peer.sun_path[0] = 0;
    converse(SOCK_STREAM);
    converse(SOCK_SEQPACKET);
    converse(SOCK_DGRAM);
    return 0;
}
