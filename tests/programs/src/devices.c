/* Opens, reads, writes each file of its arguments, and gives it the mode that it has, one line of output for each:
   name, and what these four gave (a count, or the name of an error); then tries to make a device node. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void say(long result)
{
    if (result >= 0)
        printf(" %ld", result);
    else
        printf(" %s", errno == EACCES ? "EACCES" : errno == EPERM ? "EPERM" : errno == EROFS ? "EROFS"
                      : errno == ENOSPC ? "ENOSPC" : errno == ENXIO ? "ENXIO" : strerror(errno));
}

int main(int argc, char **argv)
{
    char bytes[4] = {1, 2, 3, 4};
    struct stat status;

    for (int n = 1; n < argc; n++) {
        int fd = open(argv[n], O_RDWR);
        printf("%s", argv[n]);
        say(fd < 0 ? -1 : 0);
        if (fd >= 0) {
            say(read(fd, bytes, 4));
            say(write(fd, bytes, 4));
            close(fd);
            say(stat(argv[n], &status) ? -1 : chmod(argv[n], status.st_mode & 07777));
        }
        puts("");
    }
    printf("mknod");
    say(mknod("/dev/made", S_IFCHR | 0666, makedev(1, 3)));
    puts("");
    return 0;
}
