/* Executes programs in the ways of the C library; then itself, argv[1] times in a row. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    int left = argc > 1 ? atoi(argv[1]) : 0, status = 0;
    char number[16], *again[] = {argv[0], number, NULL};
    char *words[] = {"echo", "spawned", NULL};
    char line[64] = "";
    pid_t child;

    if (argc > 2) {
        FILE *pipe;

        printf("system %d\n", WEXITSTATUS(system("exit 5")));
        pipe = popen("echo through a pipe | cat", "r");
        if (pipe && fgets(line, sizeof line, pipe))
            fputs(line, stdout);
        printf("pclose %d\n", pipe ? pclose(pipe) : -1);
        fflush(stdout);
        if (!posix_spawnp(&child, "echo", NULL, NULL, words, environ))
            waitpid(child, &status, 0);
        printf("posix_spawnp %d\n", status);
        printf("missing %d\n", posix_spawn(&child, "/none", NULL, NULL, words, environ));
        fflush(stdout);
    }
    if (left) {
        snprintf(number, sizeof number, "%d", left - 1);
        execv(argv[0], again);
        return 1;
    }
    printf("pid %d\n", getpid());
    return 0;
}
