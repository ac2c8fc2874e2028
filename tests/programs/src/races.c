/* Looks at three files that are not there, in turn, as fast as it can. */
#include <sys/stat.h>

int main(void)
{
    struct stat found;

    for (;;) {
        stat("/a", &found);
        stat("/b", &found);
        stat("/c", &found);
    }
}
