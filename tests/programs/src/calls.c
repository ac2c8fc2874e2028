/* Calls with known results, one line of output for each; ends with code 7. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    struct stat status;
    struct timespec span = {0, 1000000};
    int fd;

    fd = open("/etc/missing.conf", O_RDONLY);
    printf("open %d %d\n", fd, fd < 0 ? errno : 0);
    fd = mkdir("/tmp/made", 0750);
    printf("mkdir %d %d\n", fd, fd < 0 ? errno : 0);
    fd = stat("/tmp/made", &status);
    printf("stat %d %o\n", fd, fd < 0 ? errno : (unsigned)status.st_mode);
    fd = access("/etc/elsewhere", R_OK);
    printf("access %d %d\n", fd, fd < 0 ? errno : 0);
    printf("nanosleep %d\n", nanosleep(&span, NULL));
    fflush(stdout);
    return 7;
}
