/* Makes one call of each shape that the emulator's log has, in an order that a test knows. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void handle(int number) { (void)number; }

int main(void) {
    struct statfs system;
    struct itimerval timer = {{0, 0}, {100, 0}};
    struct timeval times[2] = {{1, 2}, {3, 4}};
    struct rlimit limit;
    int status;
    getppid();
    mknod("/tmp/fifo", S_IFIFO | 0644, 0);
    mknod("/tmp/device", S_IFCHR | 0644, makedev(1, 3));
    umask(022);
    mkdir("/tmp/a", 04755);
    chmod("/tmp/a", 0700);
    fchmodat(AT_FDCWD, "/tmp/a", 0755, 0);
    chown("/tmp/a", 0, 0);
    fchownat(AT_FDCWD, "/tmp/a", 0, 0, AT_SYMLINK_NOFOLLOW);
    symlink("/tmp/a", "/tmp/b");
    link("/tmp/fifo", "/tmp/c");
    rename("/tmp/c", "/tmp/d");
    renameat(AT_FDCWD, "/tmp/d", AT_FDCWD, "/tmp/e");
    unlink("/tmp/e");
    unlinkat(AT_FDCWD, "/tmp/a", AT_REMOVEDIR);
    rmdir("/tmp/a");
    truncate("/tmp/none", 1L << 30);
    statfs("/tmp", &system);
    utimes("/tmp/fifo", times);
    mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_REMOUNT, "size=1,mode=2");
    umount2("/tmp", MNT_DETACH);
    chroot("/tmp");
    chdir("/");
    setitimer(ITIMER_REAL, &timer, 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGUSR1, handle);
    kill(getpid(), SIGUSR1);
    if (!fork()) _exit(3);
    waitpid(-1, &status, 0);
    wait4(-1, &status, WNOHANG, 0);
    mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    getppid();
    return 0;
}
