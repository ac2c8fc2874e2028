/* A server on TCP port 8080 that looks for clients without waiting: accept fails with EAGAIN, it sleeps a
   little, and looks again. Each client gets "hello". With an argument it never looks, and only sleeps. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), peer;

    (void)argv;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 5))
        return 1;
    for (;;) {
        peer = argc > 1 ? -1 : accept(fd, NULL, NULL);
        if (peer >= 0) {
            if (write(peer, "hello\n", 6) != 6)
                return 2;
            close(peer);
        }
        usleep(10000);
    }
}
