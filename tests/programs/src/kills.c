/* Kills a process with SIGKILL: kills parent (a child does it, and goes on) or kills itself. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words)
{
    if (count < 2 || strcmp(words[1], "itself") == 0)
        kill(getpid(), SIGKILL);
    if (fork() == 0)
        kill(getppid(), SIGKILL);
    for (;;)
        pause();
}
