/* Try to get out by every descriptor that may be a socket, whoever opened it: reaches NAME [udp].

   NAME is an abstract socket name, connected to and sent to. With "udp", sockets of the program's own are
   connected first: one bound and one unbound of type datagram, and one of type stream. For a rule to replace. */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void replaced(int type, int bound)
{
    struct sockaddr_in to = {AF_INET, htons(514)}, any = {AF_INET};
    socklen_t size = sizeof type;
    int fd = socket(AF_INET, type, 0), became = 0;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bound)
        bind(fd, (struct sockaddr *)&any, sizeof any);
    int result = connect(fd, (struct sockaddr *)&to, sizeof to);
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &became, &size);
    printf("type %d connect %d became %d\n", type, result, became);
}

int main(int argc, char **argv)
{
    struct sockaddr_un name = {AF_UNIX};
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(argv[1]);
    strcpy(name.sun_path + 1, argv[1]);
    if (argc > 2) {
        replaced(SOCK_DGRAM, 1);
        replaced(SOCK_DGRAM, 0);
        replaced(SOCK_STREAM, 0);
    }
    /* An emulator can have 2048. */
    for (int fd = 0; fd < 2100; fd++) {
        if (sendto(fd, "sent", 4, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name, size) > 0)
            printf("sent by %d\n", fd);
        if (connect(fd, (struct sockaddr *)&name, size) == 0)
            printf("connected by %d\n", fd);
    }
    fflush(stdout);
    return 3;
}
