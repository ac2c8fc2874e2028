/* looks PATH: says whether access finds PATH, and what stands in it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char text[64];
    int found = access(argv[argc - 1], F_OK), number = errno, fd = open(argv[argc - 1], O_RDONLY);
    ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof text);

    printf("access %d %d\nread %.*s\n", found, found ? number : 0, (int)size, text);
    return 0;
}
