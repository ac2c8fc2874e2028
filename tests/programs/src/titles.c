/* Writes a title over its arguments, of the length that is its second argument, as servers do. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv, char **environment)
{
    size_t length = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    char *place = argv[0];

    for (char **variable = environment; *variable; variable++)
        *variable = strdup(*variable);
    argv[1] = NULL;
    if (length != 0) {
        char *end = strchr(argv[argc - 1], 0);

        memset(place, 0, end - place);
        memset(place, 't', length);
        place[length] = 0;
    }
    pause();
    return 0;
}
