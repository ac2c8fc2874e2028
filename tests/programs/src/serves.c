/* Listens on TCP port argv[1] (default 8080) and echoes each connection's first bytes, one at a time. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char data[256];
    int one = 1, peer, fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_port = htons(argc > 1 ? atoi(argv[1]) : 8080);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 5)) {
        perror("bind");
        return 1;
    }
    puts("listening");
    fflush(stdout);
    while ((peer = accept(fd, NULL, NULL)) >= 0) {
        ssize_t size = read(peer, data, sizeof data);
        if (size > 0 && write(peer, data, size) != size)
            perror("write");
        close(peer);
    }
    perror("accept");
    return 2;
}
