/* Lowers its limits of open files and file sizes, and then does what needs the emulator's own descriptors:
 * threads, children, another program. Argument "again": only say what the limits are, and end. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long result)
{
    printf("%s %ld %d\n", what, result, result < 0 ? errno : 0);
    fflush(stdout);
}

static void tell(const char *who)
{
    struct rlimit files, size;
    getrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_FSIZE, &size);
    printf("%s files %ld of %ld, size %ld of %ld\n", who, (long)files.rlim_cur, (long)files.rlim_max,
           (long)size.rlim_cur, (long)size.rlim_max);
    fflush(stdout);
}

static void *thread(void *unused)
{
    open("/etc/missing-in-thread", O_RDONLY);
    return unused;
}

static long set(int which, long soft, long hard)
{
    struct rlimit limit = {soft, hard};
    return setrlimit(which, &limit);
}

int main(int argc, char **argv)
{
    pthread_t other;
    int number, last = 0, status, i;
    struct rlimit core;
    unsigned long long three[2] = {3, 3}, files[2];

    if (argc > 1) {
        open("/etc/missing-in-program", O_RDONLY);
        tell("program");
        return 8;
    }
    say("wrong", set(RLIMIT_NOFILE, 65, 64));
    say("files", set(RLIMIT_NOFILE, 64, 64));
    say("size", set(RLIMIT_FSIZE, 4096, 4096));
    say("core", set(RLIMIT_CORE, 100, 200));
    getrlimit(RLIMIT_CORE, &core);
    printf("core %ld of %ld\n", (long)core.rlim_cur, (long)core.rlim_max);
    say("init", syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, three, 0));
    say("init cpu", syscall(SYS_prlimit64, 1, RLIMIT_CPU, three, 0));
    say("nobody", syscall(SYS_prlimit64, 30000, RLIMIT_NOFILE, three, 0));
    for (i = 0; i < 400; i++)
        access("/a/path/that/is/not/there/and/is/long/enough/to/fill/the/log/of/the/calls", F_OK);
    pthread_create(&other, NULL, thread, NULL);
    pthread_join(other, NULL);
    while ((number = dup(1)) >= 0)
        last = number;
    say("dup", number);
    say("last", last);
    for (i = 3; i <= last; i++)
        close(i);
    if (fork() == 0) {
        open("/etc/missing-in-child", O_RDONLY);
        tell("child");
        _exit(7);
    }
    wait(&status);
    say("child ended", WEXITSTATUS(status));
    number = fork();
    if (number == 0) {
        pause();
        _exit(0);
    }
    files[0] = files[1] = 32;
    say("other", syscall(SYS_prlimit64, number, RLIMIT_NOFILE, files, 0));
    syscall(SYS_prlimit64, number, RLIMIT_NOFILE, 0, files);
    say("other has", (long)files[0]);
    kill(number, 9);
    wait(&status);
    tell("before");
    execl(argv[0], argv[0], "again", (char *)NULL);
    return 5;
}
