/* Opens devices that have the same behind them, and says of each descriptor which one it is by a request and by fstat:
   after dup, close, fork and exec. "NAME VALUE MINOR" for each; a request that fails has value -1. Standard input is
   the machine's /dev/null. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define WHICH _IOR('W', 7, int)

static void say(const char *name, int fd)
{
    struct stat status;
    int value = -1;

    if (ioctl(fd, WHICH, &value) != 0)
        value = -1;
    if (fstat(fd, &status) != 0)
        printf("%s closed\n", name);
    else
        printf("%s %d %u\n", name, value, minor(status.st_rdev));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char copied[12], closed[12];

    if (argc > 2) {
        say("inherited", atoi(argv[1]));
        say("not inherited", atoi(argv[2]));
        return 0;
    }
    int one = open("/dev/one", O_RDWR);
    int two = open("/dev/two", O_WRONLY | O_CLOEXEC);
    say("one", one);
    say("two", two);
    say("three", open("/dev/three", O_RDONLY));
    say("four", open("/dev/four", O_RDWR));
    say("real", 0);
    int copy = dup(one);
    close(one);
    say("reused", open("/dev/two", O_RDONLY));
    say("copy", copy);
    if (fork() == 0) {
        say("child", copy);
        return 0;
    }
    wait(NULL);
    sprintf(copied, "%d", copy);
    sprintf(closed, "%d", two);
    execl("/bin/same_source", "same_source", copied, closed, (char *)NULL);
    return 1;
}
