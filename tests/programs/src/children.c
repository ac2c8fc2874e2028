/* Forks a child that opens a file and ends with 3, then waits for it and ends with the child's code. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        int fd = open("/etc/child.conf", O_RDONLY);
        printf("child %d %d\n", fd < 0 ? -1 : 0, fd < 0 ? errno : 0);
        fflush(stdout);
        _exit(3);
    }
    waitpid(child, &status, 0);
    printf("parent %d\n", WEXITSTATUS(status));
    fflush(stdout);
    return WEXITSTATUS(status);
}
