/* main -> outer -> middle -> inner, which opens a file that is missing and ends the program with code 9. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

volatile int result;

__attribute__((noinline)) void inner(int depth)
{
    char local[64];
    local[depth & 63] = 1;
    result = open("/etc/chain.conf", O_RDONLY) + local[depth & 63];
    _exit(9);
}

__attribute__((noinline)) void middle(int depth)
{
    inner(depth + 1);
    result++;
}

__attribute__((noinline)) void outer(int depth)
{
    middle(depth + 1);
    result++;
}

int main(int argc, char **argv)
{
    (void)argv;
    outer(argc);
    return result;
}
