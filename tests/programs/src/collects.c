/* Waits for children in all ways: one that lives, one that was killed, those that exited. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child(void)
{
    pid_t pid = fork();

    if (!pid)
        _exit(3);
    return pid;
}

int main(void)
{
    siginfo_t info;
    int status;
    pid_t pid = fork();

    if (!pid)
        for (;;)
            pause();
    waitpid(pid, &status, WNOHANG);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    child();
    wait4(-1, NULL, 0, NULL);
    pid = child();
    waitpid(pid, NULL, 0);
    child();
    waitid(P_ALL, 0, &info, WEXITED);
    wait4(-1, &status, 0, NULL);
    return 0;
}
