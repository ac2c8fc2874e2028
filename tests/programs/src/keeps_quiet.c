/* Fails without a word, in the way that argv[1] names; what would explain it is elsewhere. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
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
    } else if (!strcmp(kind, "wants a setting")) {
        const char *mode = getenv("DEVICE_MODE");

        if (!mode || strcmp(mode, "router"))
            exit(4);
    } else if (!strcmp(kind, "waits on its own pipe")) {
        int ends[2];

        if (pipe(ends) || read(ends[0], line, 1) != 1)
            exit(9);
    } else if (!strcmp(kind, "waits for a flag")) {
        volatile int *flag = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        while (!*flag)
            ;
    } else if (!strcmp(kind, "misleads")) {
        struct sockaddr_un peer = {.sun_family = AF_UNIX, .sun_path = "/var/run/helper.sock"};
        int fd = open("/etc/optional.conf", O_RDONLY);

        if (connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&peer, sizeof peer) < 0) {
            dprintf(2, "error: out of memory (%d)\n", fd);
            exit(1);
        }
    } else if (!strcmp(kind, "wants an argument")) {
        /* What is missing in front of it has nothing to do with it. */
        int fd = open("/etc/optional.conf", O_RDONLY);

        if (fd >= 0)
            close(fd);
        if (argc < 3)
            exit(64);
    } else if (!strcmp(kind, "looks at the clock")) {
        if (access("/etc/product.ini", R_OK) == 0)
            puts("product");
        if (time(0) > 946684800)
            exit(11);
    } else if (!strcmp(kind, "serves")) {
        serves();
    }
    return 0;
}
