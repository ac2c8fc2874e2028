/* Fails without a word, in the way that argv[1] names; what would explain it is elsewhere. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

/* In a function that is not main, so that main has something to compare. */
__attribute__((noinline)) static int is_genuine(const char *path)
{
    unsigned sum = 0;
    unsigned char block[4096];
    int fd = open(path, O_RDONLY);
    ssize_t size;

    while (fd >= 0 && (size = read(fd, block, sizeof block)) > 0)
        for (ssize_t at = 0; at < size; at++)
            sum = sum * 31 + block[at];
    return sum == 0x12345678;
}

static void serves(void)
{
    static const char reply[] = "HTTP/1.0 200 OK\r\n\r\nwell\n";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8088)};
    int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    char request[512];

    if (bind(server, (void *)&address, sizeof address) || listen(server, 5))
        _exit(9);
    for (;;) {
        int client = accept(server, 0, 0);

        if (client < 0) {
            usleep(50000);
            continue;
        }
        usleep(50000);
        if (read(client, request, sizeof request) < 0)
            _exit(8);
        if (write(client, reply, sizeof reply - 1) < 0)
            _exit(7);
        close(client);
    }
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    char line[100];

    if (!strcmp(kind, "checks itself")) {
        if (!is_genuine("/bin/keeps_quiet"))
            exit(3);
    } else if (!strcmp(kind, "wants input")) {
        if (!fgets(line, sizeof line, stdin))
            exit(7);
    } else if (!strcmp(kind, "logs")) {
        openlog("quiet", LOG_PID, LOG_DAEMON);
        syslog(LOG_ERR, "cannot read the serial number");
        exit(2);
    } else if (!strcmp(kind, "writes a file")) {
        int fd = open("/tmp/log", O_WRONLY | O_CREAT, 0600);

        dprintf(fd, "error: partition factory is invalid\n");
        exit(2);
    } else if (!strcmp(kind, "serves")) {
        serves();
    }
    return 0;
}
