/* Takes a connection without asking who it is from; with an argument it ends like an emulator that failed. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (argc > 1) {
        fprintf(stderr, "qemu-%s-static: ./include/qemu/rcu.h:102: Assertion failed.\n", argv[1]);
        return 127;
    }
    if (bind(listening, (struct sockaddr *)&any, sizeof any) != 0 || listen(listening, 1) != 0)
        return 1;
    return accept(listening, NULL, NULL) == -1 ? 3 : 0;
}
