/* Closes all descriptors that it can name: closes MODE NUMBER, where NUMBER is the emulator's log. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#ifdef __mips__
#define SYS_close_range (__NR_Linux + 436)
#else
#define SYS_close_range 436
#endif
#endif

static void say(const char *what, long result) {
    int error = result < 0 ? errno : 0;
    char marker[64];
    printf("%s %d\n", what, error);
    fflush(stdout);
    snprintf(marker, sizeof marker, "/after-%s", what);
    access(marker, 0);
}

static void range(const char *what, unsigned first, unsigned last, unsigned flags) {
    for (int fd = 30; fd < 33; fd++) dup2(0, fd);
    long result = syscall(SYS_close_range, first, last, flags);
    /* The very next call is in the record too. */
    access(what, 0);
    int open = 0, marked = 0;
    for (int fd = 30; fd < 33; fd++) {
        int kept = fcntl(fd, F_GETFD);
        open += kept >= 0;
        marked += kept > 0;
    }
    printf("%s %ld %d %d\n", what + 1, result, open, marked);
    fflush(stdout);
}

int main(int count, char **words) {
    int fd = atoi(words[2]);
    if (!strcmp(words[1], "range")) {
        range("/all", 3, ~0u, 0);
        range("/large", 31, 2147483647, 0);
        range("/cloexec", 31, ~0u, 4);
        range("/unshare", 3, ~0u, 2);
        range("/both", 31, ~0u, 6);
        range("/own", fd - 3, fd + 20, 0);
        range("/wrong", 3, ~0u, 64);
        range("/turned", 9, 3, 0);
        range("/below", 3, 31, 0);
        for (int i = 0; i < 4; i++) {
            pid_t child = i & 1 ? vfork() : fork();
            if (!child) {
                syscall(SYS_close_range, 3, ~0u, i & 2 ? 2 : 0);
                execl(i & 1 ? "/bin/none-v" : "/bin/none-f", "none", (char *)0);
                access(i & 1 ? "/late-v" : "/late-f", 0);
                _exit(7);
            }
            waitpid(child, 0, 0);
        }
    }
    if (!strcmp(words[1], "loop")) {
        /* An emulator can have 2048. */
        for (int i = 3; i < 2200; i++) close(i);
        say("closed", 0);
        say("dup2", dup2(0, fd));
        say("dup3", dup3(0, fd, O_CLOEXEC));
    }
    if (!strcmp(words[1], "listed")) {
        /* As closefrom(3) does where there is no close_range: again from the start while something closes. */
        int open = 1, rounds = 0;
        dup2(0, 40);
        while (open && ++rounds < 50) {
            DIR *directory = opendir("/proc/self/fd");
            struct dirent *entry;
            open = 0;
            while ((entry = readdir(directory))) {
                int number = atoi(entry->d_name);
                if (number < 3 || number == dirfd(directory)) continue;
                if (close(number) == 0) open++;
            }
            closedir(directory);
        }
        say(rounds < 50 ? "listed" : "endless", 0);
    }
    say("end", 0);
    return 5;
}
