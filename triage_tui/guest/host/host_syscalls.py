"""Numbers of the host's system calls that the engine names, for the hosts on which it runs.

x86-64: arch/x86/entry/syscalls/syscall_64.tbl; arm64: include/uapi/asm-generic/unistd.h. A name that a host
does not have (arm64 has no `open`) is simply missing from its table. The launcher imports this module, so it
uses the standard library only.
"""

from __future__ import annotations

import os

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of linux/audit.h, what seccomp_data.arch holds."""

_X86_64 = (
    "read write open close stat fstat lstat poll lseek 13 rt_sigaction 16 ioctl 18 pwrite64 readv writev "
    "access pipe select 28 madvise 32 dup dup2 pause nanosleep 39 getpid sendfile socket connect accept "
    "sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname getpeername socketpair setsockopt "
    "getsockopt clone fork vfork execve exit wait4 kill uname 65 semop 72 fcntl flock fsync fdatasync "
    "truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink symlink readlink "
    "chmod fchmod chown fchown lchown umask 99 sysinfo times ptrace getuid syslog getgid setuid setgid "
    "geteuid getegid setpgid getppid getpgrp setsid setreuid setregid getgroups setgroups setresuid "
    "getresuid setresgid getresgid getpgid setfsuid setfsgid 126 capset 128 rt_sigtimedwait "
    "rt_sigqueueinfo 133 mknod uselib personality 153 vhangup modify_ldt pivot_root _sysctl prctl 159 "
    "adjtimex setrlimit chroot sync acct settimeofday mount umount2 swapon swapoff reboot sethostname "
    "setdomainname iopl ioperm create_module init_module delete_module 178 query_module quotactl "
    "nfsservctl 186 gettid 188 setxattr lsetxattr fsetxattr 199 fremovexattr tkill 202 futex 212 "
    "lookup_dcookie epoll_create 217 getdents64 220 semtimedop 227 clock_settime clock_gettime "
    "clock_getres clock_nanosleep exit_group epoll_wait epoll_ctl tgkill utimes 246 kexec_load waitid "
    "add_key request_key keyctl 256 migrate_pages openat mkdirat mknodat fchownat futimesat newfstatat "
    "unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll unshare "
    "set_robust_list 275 splice tee sync_file_range vmsplice move_pages utimensat epoll_pwait 285 "
    "fallocate 288 accept4 292 dup3 pipe2 296 pwritev rt_tgsigqueueinfo perf_event_open recvmmsg "
    "fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime 307 sendmmsg "
    "setns 310 process_vm_readv process_vm_writev kcmp finit_module 316 renameat2 seccomp 320 "
    "kexec_file_load bpf execveat userfaultfd 326 copy_file_range 328 pwritev2 332 statx 424 "
    "pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen "
    "fsconfig fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise "
    "epoll_pwait2 mount_setattr quotactl_fd 447 memfd_secret process_mrelease 453 map_shadow_stack 457 "
    "statmount listmount"
)
_AARCH64 = (
    "5 setxattr lsetxattr fsetxattr 16 fremovexattr getcwd lookup_dcookie 20 epoll_create1 epoll_ctl "
    "epoll_pwait dup dup3 fcntl 29 ioctl 32 flock mknodat mkdirat unlinkat symlinkat linkat renameat "
    "umount2 mount pivot_root nfsservctl 45 truncate ftruncate fallocate faccessat chdir fchdir chroot "
    "fchmod fchmodat fchownat fchown openat close vhangup pipe2 quotactl getdents64 lseek read write readv "
    "writev 68 pwrite64 70 pwritev sendfile pselect6 ppoll 75 vmsplice splice tee readlinkat newfstatat "
    "fstat sync fsync fdatasync sync_file_range 88 utimensat acct 91 capset personality exit exit_group "
    "waitid 97 unshare futex set_robust_list 101 nanosleep 104 kexec_load init_module delete_module 112 "
    "clock_settime clock_gettime clock_getres clock_nanosleep syslog ptrace 129 kill tkill tgkill 134 "
    "rt_sigaction 137 rt_sigtimedwait rt_sigqueueinfo 142 reboot setregid setgid setreuid setuid setresuid "
    "getresuid setresgid getresgid setfsuid setfsgid times setpgid getpgid 157 setsid getgroups setgroups "
    "uname sethostname setdomainname 164 setrlimit 166 umask prctl 170 settimeofday adjtimex getpid "
    "getppid getuid geteuid getgid getegid gettid sysinfo 192 semtimedop semop 198 socket socketpair bind "
    "listen accept connect getsockname getpeername sendto recvfrom setsockopt getsockopt shutdown sendmsg "
    "recvmsg 217 add_key request_key keyctl clone execve 224 swapon swapoff 238 migrate_pages move_pages "
    "rt_tgsigqueueinfo perf_event_open accept4 recvmmsg 260 wait4 prlimit64 fanotify_init fanotify_mark "
    "name_to_handle_at open_by_handle_at clock_adjtime 268 setns sendmmsg process_vm_readv "
    "process_vm_writev kcmp finit_module 276 renameat2 seccomp 280 bpf execveat userfaultfd 285 "
    "copy_file_range 287 pwritev2 291 statx 294 kexec_file_load 424 pidfd_send_signal io_uring_setup "
    "io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick pidfd_open "
    "clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr "
    "quotactl_fd 447 memfd_secret process_mrelease 453 map_shadow_stack 457 statmount listmount"
)


def _expand(text: str) -> dict[str, int]:
    """Read a table: a number sets the next number, a name takes it."""
    table: dict[str, int] = {}
    following = 0
    for word in text.split():
        if word.isdigit():
            following = int(word)
        else:
            table[word] = following
            following += 1
    return table


_TABLES = {"x86_64": _expand(_X86_64), "aarch64": _expand(_AARCH64)}


def host_machine() -> str:
    """Return the host's machine name as uname(2) gives it."""
    return os.uname().machine


def numbers(machine: str | None = None) -> dict[str, int]:
    """Return name -> number for `machine` (default: this host); empty for a machine without a table."""
    return _TABLES.get(machine or host_machine(), {})


def names(machine: str | None = None) -> dict[int, str]:
    """Return number -> name for `machine` (default: this host)."""
    return {number: name for name, number in numbers(machine).items()}
