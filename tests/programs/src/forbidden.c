/* Makes every call that containment answers instead of the kernel, harmless where it should be executed after
   all; one line of output for each: name, result, name of the error. The argument is a process id that is none
   of the guest's. */
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <net/if.h>
#include <net/route.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_kexec_file_load
#define NO_KEXEC_FILE_LOAD
#endif

static const char *error_name(long result)
{
    switch (result < 0 ? errno : 0) {
    case 0: return "-";
    case EPERM: return "EPERM";
    case ENOSYS: return "ENOSYS";
    case EACCES: return "EACCES";
    case EINVAL: return "EINVAL";
    case ESRCH: return "ESRCH";
    case ENOENT: return "ENOENT";
    case EROFS: return "EROFS";
    case ENOTTY: return "ENOTTY";
    case EBADF: return "EBADF";
    case EFAULT: return "EFAULT";
    case ENODEV: return "ENODEV";
    case EAFNOSUPPORT: return "EAFNOSUPPORT";
    case EOPNOTSUPP: return "EOPNOTSUPP";
    }
    return strerror(errno);
}

static void say(const char *name, long result)
{
    printf("%s %ld %s\n", name, result, error_name(result));
    fflush(stdout);
}

#define TRY(name, ...) say(#name, syscall(SYS_##name, __VA_ARGS__))

static void try_open(const char *label, const char *path, int flags)
{
    int fd = open(path, flags, 0600);
    say(label, fd);
    if (fd >= 0) {
        say("write to it", write(fd, "1", 1));
        close(fd);
    }
}

int main(int argc, char **argv)
{
    long outside = argc > 1 ? atol(argv[1]) : 1;
    struct timespec past = {86400, 0};
    long times[32] = {86400, 0};
    char memory[256] = "owned";
    struct ifreq interface;
    struct rtentry route;
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    int fd, sock = socket(AF_INET, SOCK_DGRAM, 0);

    memset(&interface, 0, sizeof interface);
    memset(&route, 0, sizeof route);
    strcpy(interface.ifr_name, "lo");
    interface.ifr_flags = 0;

    TRY(mount, "none", "/tmp", "tmpfs", 0, 0);
    TRY(umount2, "/proc", 2);
    TRY(pivot_root, ".", ".");
    TRY(reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, 0);
    TRY(sethostname, "owned", 5);
    TRY(setdomainname, "owned", 5);
#ifdef SYS_settimeofday
    TRY(settimeofday, times, 0);
#endif
#ifdef SYS_stime
    TRY(stime, times);
#endif
#ifdef SYS_clock_settime
    TRY(clock_settime, 0, &past);
#endif
#ifdef SYS_clock_settime64
    TRY(clock_settime64, 0, times);
#endif
#ifdef SYS_adjtimex
    memory[0] = 0;
    TRY(adjtimex, memset(times, 1, sizeof times));
#endif
#ifdef SYS_clock_adjtime
    TRY(clock_adjtime, 0, memset(times, 1, sizeof times));
#endif
    TRY(swapon, "/nothing", 0);
    TRY(swapoff, "/nothing");
    TRY(init_module, memory, 16, "");
    TRY(finit_module, 0, "", 0);
    TRY(delete_module, "nothing", 0);
    TRY(kexec_load, 0, 0, 0, 0);
#ifdef SYS_kexec_file_load
    TRY(kexec_file_load, -1, -1, 0, "", 0);
#endif
    TRY(bpf, 0, memory, 16);
    TRY(perf_event_open, memory, 0, -1, -1, 0);
    TRY(ptrace, 16, outside, 0, 0);
    TRY(process_vm_readv, outside, 0, 0, 0, 0, 0);
    TRY(process_vm_writev, outside, 0, 0, 0, 0, 0);
    TRY(userfaultfd, 0);
    TRY(io_uring_setup, 1, memory);
    TRY(open_by_handle_at, -100, memory, 0);
    TRY(setns, 0, 0);
    TRY(unshare, 0x10000000);
    TRY(add_key, "user", "x", "y", 1, -3);
    TRY(request_key, "user", "x", 0, -3);
    TRY(keyctl, 0, -3, 1, 0, 0);
    TRY(quotactl, 0, "/dev/nothing", 0, 0);
    TRY(acct, "/tmp/acct");
    TRY(personality, 0x0400000);
#ifdef SYS_iopl
    TRY(iopl, 3);
#endif
#ifdef SYS_ioperm
    TRY(ioperm, 0, 1, 1);
#endif
    TRY(syslog, 5, 0, 0);
    TRY(vhangup, 0);
    TRY(fanotify_init, 0, 0);
    TRY(seccomp, 1, 0, memory);
    TRY(open_tree, -100, "/", 0);
    TRY(move_mount, -100, "/", -100, "/tmp", 0);
    TRY(fsopen, "tmpfs", 0);
    TRY(fsconfig, -1, 0, 0, 0, 0);
    TRY(fsmount, -1, 0, 0);
    TRY(fspick, -100, "/", 0);
    TRY(mount_setattr, -100, "/", 0, memory, 32);
    TRY(pidfd_open, outside, 0);
    TRY(pidfd_getfd, -1, 0, 0);
    TRY(pidfd_send_signal, -1, SIGKILL, 0, 0);
    TRY(name_to_handle_at, -100, "/", memory, times, 0);

    say("kill outside", kill(outside, SIGKILL));
    say("kill init", kill(1, SIGKILL));
    say("kill init by pidfd", syscall(SYS_pidfd_send_signal, syscall(SYS_pidfd_open, 1, 0), SIGKILL, 0, 0));
    say("kill init by directory", syscall(SYS_pidfd_send_signal, open("/proc/1", O_DIRECTORY), SIGKILL, 0, 0));
    say("ask for init by pidfd", syscall(SYS_pidfd_send_signal, syscall(SYS_pidfd_open, 1, 0), 0, 0, 0));
    say("signal itself by pidfd", syscall(SYS_pidfd_send_signal, syscall(SYS_pidfd_open, getpid(), 0), SIGCONT, 0, 0));
    say("AF_XDP", socket(44, SOCK_RAW, 0));
    say("AF_TIPC", socket(30, SOCK_STREAM, 0));
    memset(memory, 0, sizeof memory);
    TRY(rt_sigqueueinfo, outside, SIGKILL, memory);
    TRY(tgkill, outside, outside, SIGKILL);

    say("PR_SET_SECCOMP", prctl(PR_SET_SECCOMP, 2, memory));
    say("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 0));
    say("PR_SET_PDEATHSIG", prctl(PR_SET_PDEATHSIG, 0));
    say("PR_SET_MM", prctl(35, 1, 4096, 0, 0));
    say("PR_SET_PTRACER", prctl(0x59616d61, -1, 0, 0, 0));

    say("SIOCSIFFLAGS", ioctl(sock, SIOCSIFFLAGS, &interface));
    say("SIOCSIFADDR", ioctl(sock, SIOCSIFADDR, &interface));
    say("SIOCSIFNETMASK", ioctl(sock, SIOCSIFNETMASK, &interface));
    say("SIOCSIFMTU", ioctl(sock, SIOCSIFMTU, &interface));
    say("SIOCSIFHWADDR", ioctl(sock, SIOCSIFHWADDR, &interface));
    say("SIOCADDRT", ioctl(sock, SIOCADDRT, &route));
    say("TIOCSTI", ioctl(0, TIOCSTI, "x"));

    say("mknod mem", mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1)));
    say("mknod sda", mknod("/tmp/sda", S_IFBLK | 0600, makedev(8, 0)));
    fd = open("/tmp/mem", O_RDWR);
    say("open mem", fd);
    try_open("sysrq", "/proc/sysrq-trigger", O_WRONLY);
    try_open("hostname", "/proc/sys/kernel/hostname", O_WRONLY);
    try_open("core_pattern", "/proc/sys/kernel/core_pattern", O_WRONLY);
    try_open("drop_caches", "/proc/sys/vm/drop_caches", O_WRONLY);
    snprintf(memory, sizeof memory, "/proc/%ld/mem", outside);
    say("memory outside", open(memory, O_RDWR));
    snprintf(memory, sizeof memory, "/proc/%ld/root/etc/passwd", outside);
    say("files outside", open(memory, O_RDONLY));
    say("files of init", open("/proc/1/root/etc/passwd", O_RDONLY));
    say("memory of init", open("/proc/1/mem", O_RDWR));
    say("setrlimit", setrlimit(RLIMIT_NPROC, &limit));
    say("setpriority", setpriority(PRIO_PROCESS, 0, -20));
    say("setpriority outside", setpriority(PRIO_PROCESS, outside, 19));
    say("chroot", chroot("/tmp"));
    return 3;
}
