/* Its first thread ends; the others go on: one waits for a byte that never comes, one computes ("computes"), or
   one opens a file every 50 ms and then ends with code 6 ("calls"). Before, it opens a file and a socket. */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void *waits(void *ends)
{
    char byte;

    if (read(((int *)ends)[0], &byte, 1) == 1)
        _exit(9);
    return 0;
}

static void *computes(void *unused)
{
    static volatile unsigned long counter;

    (void)unused;
    for (;;)
        counter++;
}

static void *calls(void *unused)
{
    (void)unused;
    for (int i = 0; i < 4; i++) {
        usleep(50000);
        close(open(i < 2 ? "/etc/here" : "there", O_RDONLY));
    }
    _exit(6);
}

int main(int argc, char **argv)
{
    static int ends[2];
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(8080)};
    pthread_t thread;
    int listener;

    if (chdir("/var/log") || open("/etc/data", O_RDONLY) < 0 || pipe(ends))
        return 1;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 4))
        return 2;
    if (argc > 1 && !strcmp(argv[1], "computes"))
        pthread_create(&thread, 0, computes, 0);
    if (argc > 1 && !strcmp(argv[1], "calls"))
        pthread_create(&thread, 0, calls, 0);
    pthread_create(&thread, 0, waits, ends);
    pthread_exit(0);
}
