/* ioctl: one that the kernel knows (SIOCGIFINDEX), and one of a driver that nobody has. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    struct ifreq request;
    unsigned char answer[16] = {0};
    int result, fd = socket(AF_INET, SOCK_DGRAM, 0);

    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "lan7");
    result = ioctl(fd, SIOCGIFINDEX, &request);
    printf("SIOCGIFINDEX %d %d\n", result, result < 0 ? errno : request.ifr_ifindex);
    result = ioctl(fd, _IOR('M', 0x41, unsigned char[16]), answer);
    printf("driver %d %d %02x\n", result, result < 0 ? errno : 0, answer[0]);
    fflush(stdout);
    return 0;
}
