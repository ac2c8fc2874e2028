/* Makes calls of which the emulator's log lacks what is in memory or in further registers; then waits. */
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    struct sockaddr_in address = {AF_INET, htons(4712), {htonl(INADDR_LOOPBACK)}, {0}};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct pollfd waits[] = {{fd, POLLIN | POLLPRI, 0}, {-1, 0, 0}, {fd, 0x4000, 0}};
    sendto(fd, "one", 3, 0, (void *)&address, sizeof address);
    open("/tmp", O_TMPFILE | O_RDWR, 0640);
    sync_file_range(fd, 0x100000001, 2, SYNC_FILE_RANGE_WRITE);
    poll(waits, 3, -1);
    return 0;
}
