/* Try to get out by every descriptor that may be a socket, whoever opened it: reaches KIND NAME OTHER FROM TO...

   NAME and OTHER are abstract socket names, connected to and sent to by all descriptors of each range. With the kind
   "udp", sockets of the program's own are connected first: one bound and one unbound of type datagram, and one of type
   stream. For a rule to replace. */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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

static void reach(int fd, const char *to)
{
    struct sockaddr_un name = {AF_UNIX};
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(to);
    strcpy(name.sun_path + 1, to);
    if (sendto(fd, "sent", 4, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&name, size) > 0)
        printf("sent by %d\n", fd);
    if (connect(fd, (struct sockaddr *)&name, size) == 0)
        printf("connected by %d\n", fd);
}

int main(int argc, char **argv)
{
    if (!strcmp(argv[1], "udp")) {
        replaced(SOCK_DGRAM, 1);
        replaced(SOCK_DGRAM, 0);
        replaced(SOCK_STREAM, 0);
    }
    for (int i = 4; i + 1 < argc; i += 2)
        for (int fd = atoi(argv[i]); fd < atoi(argv[i + 1]); fd++) {
            reach(fd, argv[2]);
            reach(fd, argv[3]);
        }
    fflush(stdout);
    return 3;
}
