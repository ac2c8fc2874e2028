/*
 * Writes through a null pointer, three calls deep: main, parse_request, read_field. With -DNEWER it is another
 * build of the same program, in which everything lies elsewhere.
 */
#include <stdio.h>
#include <unistd.h>

#define OWN __attribute__((noinline))

static volatile int *volatile nowhere;
static volatile int sink;

#ifdef NEWER
OWN int checks(int field)
{
    char text[64];
    return snprintf(text, sizeof text, "%d of a newer build", field);
}
#endif

OWN int read_field(int field)
{
    nowhere[field] = field;
    return sink + field;
}

OWN int parse_request(int fields)
{
    for (int field = 0; field < fields; field++)
        sink += read_field(field);
    return sink + 1;
}

int main(int argc, char **argv)
{
    (void)argv;
    if (getpid() < 0)
        return 2;
#ifdef NEWER
    sink = checks(argc);
#endif
    return parse_request(argc) - sink;
}
