"""Which arguments and results of syscalls are addresses, from section 2 of man-pages."""

from __future__ import annotations

_SIGNATURES = {
    name: kinds
    for kinds, names in (
        ("", "getpid gettid getppid getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32 fork "
             "vfork pause sync setsid getpgrp sched_yield inotify_init munlockall vhangup restart_syscall "
             "rt_sigreturn sigreturn"),
        ("n", "close dup umask exit exit_group epoll_create epoll_create1 inotify_init1 eventfd fsync "
              "fdatasync syncfs fchdir getpgid getsid unshare alarm setuid setgid setuid32 setgid32 "
              "setfsuid setfsgid setfsuid32 setfsgid32 personality mlockall timer_getoverrun timer_delete "
              "sched_getscheduler sched_get_priority_max sched_get_priority_min nice"),
        ("p", "brk pipe uname sysinfo times time set_tid_address set_thread_area get_thread_area set_tls "
              "unlink rmdir chdir chroot umount swapoff acct"),
        ("pn", "access creat mkdir chmod umount2 munmap mlock munlock pipe2 set_robust_list memfd_create "
               "clone3 getcwd truncate truncate64 swapon rt_sigpending rt_sigsuspend"),
        ("pp", "stat lstat stat64 lstat64 statfs rename link symlink nanosleep gettimeofday settimeofday "
               "sigaltstack capget capset utime utimes pivot_root"),
        ("np", "fstat fstat64 fstatfs clock_gettime clock_gettime64 clock_settime clock_settime64 "
               "clock_getres clock_getres_time64 getrlimit ugetrlimit setrlimit getrusage getgroups "
               "setgroups getgroups32 setgroups32 getitimer timer_gettime timerfd_gettime timerfd_gettime64 "
               "sched_getparam sched_setparam"),
        ("nn", "dup2 kill tkill listen shutdown flock fchmod ftruncate setpgid getpriority eventfd2 "
               "timerfd_create inotify_rm_watch setns setreuid setregid setreuid32 setregid32 membarrier"),
        ("npn", "read write connect bind getdents getdents64 mkdirat fchmodat faccessat unlinkat "
                "waitpid syslog sendmsg recvmsg readv writev inotify_add_watch"),
        ("npp", "accept getsockname getpeername setitimer futimesat"),
        ("nnp", "sched_getaffinity sched_setaffinity sched_setscheduler"),
        ("nnn", "socket dup3 fchown fchown32 tgkill setpriority setresuid setresgid setresuid32 setresgid32 "
                "close_range lseek"),
        ("pnn", "open mknod chown lchown chown32 lchown32 mprotect madvise msync poll getrandom mlock2"),
        ("ppn", "readlink"),
        ("pnp", "symlinkat"),
        ("vvn", "cacheflush"),
        ("ppp", "execve getresuid getresgid getresuid32 getresgid32 getcpu"),
        ("npnn", "openat mknodat send recv epoll_wait"),
        ("nppn", "newfstatat fstatat64 readlinkat utimensat utimensat_time64 rt_sigaction rt_sigprocmask "
                 "accept4"),
        ("nnnp", "socketpair epoll_ctl"),
        ("nnpp", "clock_nanosleep clock_nanosleep_time64 timerfd_settime timerfd_settime64 prlimit64 "
                 "timer_settime"),
        ("npnp", "renameat wait4"),
        ("nnpnp", "waitid"),
        ("nnnpn", "setsockopt _llseek"),
        ("nnnpp", "getsockopt"),
        ("npnpn", "linkat renameat2"),
        ("npnnn", "fchownat"),
        ("pppnp", "mount"),
        ("pnpp", "ppoll ppoll_time64"),
        ("npnnp", "statx"),
        ("npppp", "select _newselect clone"),
        ("nppppp", "pselect6 pselect6_time64"),
        ("npnnpn", "epoll_pwait sendto"),
        ("npnnpp", "recvfrom"),
        ("npnnp", "recvmmsg"),
        ("npnn", "sendmmsg"),
        ("npnnnn", "pread64 pwrite64"),
        ("npnnn", "preadv pwritev"),
        ("nnpn", "sendfile sendfile64"),
        ("pnnnnn", "mmap mmap2"),
        ("pnnnp", "mremap"),
        ("pnvppn", "futex futex_time64"),
        ("nnv", "ioctl fcntl fcntl64"),
        ("nvvvv", "prctl"),
        ("nv", "arch_prctl socketcall"),
        ("pnnn", "rseq"),
    )
    for name in names.split()
}  # fmt: skip
"""Call -> its arguments: p an address, n a number, v the one or the other."""

RETURN_ADDRESSES = frozenset(("brk", "mmap", "mmap2", "mremap", "shmat"))
"""The calls whose result is an address."""
RETURN_TIMES = frozenset(("time", "times"))
"""The calls whose result is a time."""


def argument_kinds(name: str) -> str | None:
    """Return a letter for each argument of a call: p an address, n a number, v the one or the other.

    None for a call that is not known here. What is recorded beyond them was in registers that it does not
    use.
    """
    return _SIGNATURES.get(name)
