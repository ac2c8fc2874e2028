/* overwrites: tries to write to what lies behind /proc, which is the emulator's and the host's: its memory, its
   executable, and standard input. Prints "written <what>" for each that it could write to.
   overwrites FD: the second stage, under another architecture's emulator, with the first one's executable. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void overwrite(const char *what, const char *path, long long at)
{
    char old = 'X';
    int fd = open(path, O_RDWR);

    if (fd >= 0 && pread64(fd, &old, 1, at) >= 0 && pwrite64(fd, &old, 1, at) == 1)
        printf("written %s\n", what);
    else
        printf("kept %s: %s\n", what, strerror(errno));
    fflush(stdout);
    if (fd >= 0)
        close(fd);
}

/* Any page of the emulator will do, its code first of all. */
static long long of_emulator(void)
{
    char line[512], access[8];
    unsigned long long start = 0;
    FILE *maps = fopen("/proc/thread-self/maps", "r");

    while (maps && fgets(line, sizeof line, maps))
        if (sscanf(line, "%llx-%*x %7s", &start, access) == 2 && access[2] == 'x' && strstr(line, "qemu"))
            break;
    if (maps)
        fclose(maps);
    return (long long)start;
}

int main(int argc, char **argv)
{
    char path[64];
    int fd;

    if (argc > 1) {
        snprintf(path, sizeof path, "/proc/self/fd/%s", argv[1]);
        overwrite("emulator", path, 0);
        return 0;
    }
    snprintf(path, sizeof path, "/proc/self/task/%d/mem", (int)getpid());
    overwrite("memory of the thread", path, of_emulator());
    overwrite("memory", "/proc/self/mem", of_emulator());
    overwrite("input", "/proc/self/fd/0", 0);
    fd = open("/proc/thread-self/exe", O_RDONLY);
    snprintf(path, sizeof path, "%d", fd);
    execl("/bin/second", "second", path, NULL);
    puts("no second stage");
    return 1;
}
