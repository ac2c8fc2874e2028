/* Executes argv[1] with the arguments that follow; on failure prints the errno and ends with 111. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc > 1)
        execv(argv[1], argv + 1);
    printf("execv %d\n", errno);
    fflush(stdout);
    return 111;
}
