/* Writes BYTES bytes to stdout, 64 KiB at a time, and ends. */
#include <string.h>
#include <unistd.h>

#ifndef BYTES
#define BYTES (64L << 20)
#endif

int main(void)
{
    static char block[65536];
    long left = BYTES;

    memset(block, 'x', sizeof block);
    while (left > 0) {
        ssize_t done = write(1, block, left < (long)sizeof block ? (size_t)left : sizeof block);
        if (done < 0)
            return 1;
        left -= done;
    }
    return 0;
}
