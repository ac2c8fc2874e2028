/* A server on TCP port 8080 that takes clients and answers none. argv[1] says what it does with one:
   "spins" computes for ever, "stalls" reads a pipe that nobody writes to, "closes" it and waits for the next,
   "polls" for what clients send, with a timer of 100 ms, and drops it; "fails" is "polls" and misses a file
   in each round. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), pipes[2], peer = -1;
    const char *how = argc > 1 ? argv[1] : "closes";
    char data[512];
    volatile long count = 0;

    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 5) || pipe(pipes))
        return 1;
    while (!strcmp(how, "polls") || !strcmp(how, "fails")) {
        struct pollfd wanted[] = {{fd, POLLIN, 0}, {peer, POLLIN, 0}};
        poll(wanted, 2, 100);
        if (*how == 'f' && !access("/var/run/absent", 0))
            return 2;
        if (wanted[0].revents) {
            peer = accept(fd, NULL, NULL);
            access("/etc/hosts.allow", 0);
        } else if (wanted[1].revents && read(peer, data, sizeof data) <= 0) {
            close(peer);
            peer = -1;
        }
    }
    while ((peer = accept(fd, NULL, NULL)) >= 0) {
        if (read(peer, data, sizeof data) < 0)
            return 3;
        while (!strcmp(how, "spins"))
            count++;
        if (!strcmp(how, "stalls") && read(pipes[0], data, 1) < 0)
            return 4;
        close(peer);
    }
    return 5;
}
