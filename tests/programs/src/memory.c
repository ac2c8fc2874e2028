/* Fills MEGABYTES of memory with numbers that differ from page to page, reserves a mapping of SPARSE gigabytes
   of which it writes a page at its middle, changes a page of its own data, and waits for ever. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MEGABYTES
#define MEGABYTES 4
#endif
#ifndef SPARSE
#define SPARSE 0
#endif

static char data[65536] = {1};

int main(void)
{
    size_t words = (size_t)MEGABYTES * 1024 * 1024 / 4;
    uint32_t state = 12345, *filled = mmap(NULL, words * 4, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (size_t n = 0; n < words; n++) {
        state = state * 1664525 + 1013904223;
        filled[n] = state;
    }
    if (SPARSE) {
        size_t size = (size_t)SPARSE << 30;
        char *sparse = mmap(NULL, size, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (sparse == MAP_FAILED) {
            perror("mmap");
            return 1;
        }
        sprintf(sparse + size / 2, "in the middle of nothing");
        printf("sparse %p\n", (void *)(sparse + size / 2));
    }
    sprintf(data + 20000, "changed");
    printf("filled %p data %p\n", (void *)filled, (void *)(data + 20000));
    fflush(stdout);
    for (;;)
        pause();
}
