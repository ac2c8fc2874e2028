/* killed_calls ROUNDS: kills children at all moments of calls that they make without a pause. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 0;

    for (int i = 0; i < rounds; i++) {
        int ends[2], status;
        char byte;
        pid_t child;

        if (pipe(ends))
            return 1;
        child = fork();
        if (!child) {
            if (write(ends[1], "x", 1) != 1)
                _exit(9);
            for (;;)
                chdir(".");
        }
        if (read(ends[0], &byte, 1) != 1)
            return 2;
        usleep(i * 13);
        kill(child, SIGKILL);
        if (waitpid(child, &status, 0) != child)
            return 3;
        close(ends[0]);
        close(ends[1]);
    }
    puts("all gone");
    return 0;
}
