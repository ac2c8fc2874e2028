"""Which syscall arguments point to what, and how many bytes of it matter (the man page of each call)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import msgspec

from triage_tui.guest.arch import Arch, layouts

STRING_LIMIT = 4096
"""Longest C string that is looked at (PATH_MAX), in bytes."""

UNKNOWN_SIZE = 64
"""Bytes kept of an argument of which only the address is known."""


class PointerArgument(msgspec.Struct, frozen=True):
    """One argument that points to memory."""

    index: int
    what: str
    """What it is, in words: "path", "data", "socket address"."""
    size: int | None
    """Bytes; None for a C string."""


# One call a line: names, then `index:what:size`. A size is a number of bytes, `Nw` for words, `=name` for
# a structure of `arch.layouts`, `*N` for the value of argument N, `*N*M` for M times that, `s` for a C
# string, `ioc` for the size in an ioctl request.
_TABLE = """
open creat access stat lstat stat64 lstat64 chdir chroot rmdir unlink mkdir mknod chmod chown lchown chown32 \
lchown32 truncate truncate64 swapon swapoff umount umount2 acct utime utimes statfs oldstat: 0:path:s
openat openat2 faccessat faccessat2 unlinkat mkdirat mknodat fchmodat fchownat newfstatat fstatat64 statx \
utimensat execveat name_to_handle_at: 1:path:s
statfs64: 0:path:s
readlink: 0:path:s 1:target:*2
readlinkat: 1:path:s 2:target:*3
rename link symlink pivot_root: 0:old path:s 1:new path:s
renameat renameat2 linkat: 1:old path:s 3:new path:s
symlinkat: 0:target:s 2:path:s
mount: 0:source:s 1:mount point:s 2:type:s
execve: 0:path:s 1:argument vector:16w
getcwd: 0:path:*1
inotify_add_watch: 1:path:s
read pread64 recv getdents getdents64 getrandom: 1:buffer:*2
write pwrite64 send: 1:data:*2
sendto recvfrom: 1:data:*2 4:socket address:28
readv writev preadv pwritev: 1:vector:*2*=iovec
connect bind: 1:socket address:*2
accept accept4 getsockname getpeername: 1:socket address:28
sendmsg recvmsg: 1:message header:=msghdr
sendmmsg recvmmsg: 1:message headers:8w
setsockopt: 3:option:*4
getsockopt: 3:option:4
socketpair: 3:descriptors:8
pipe pipe2: 0:descriptors:8
socketcall: 1:arguments:6w
ioctl: 2:argument:ioc
fcntl fcntl64: 2:lock:32
poll ppoll ppoll_time64: 0:descriptors:*1*=pollfd
select _newselect pselect6 pselect6_time64: 1:read set:128 2:write set:128 3:exception set:128 4:time-out:16
epoll_ctl: 3:event:16
epoll_wait epoll_pwait: 1:events:16
nanosleep: 0:interval:=timespec
clock_nanosleep: 2:interval:=timespec
clock_nanosleep_time64: 2:interval:=timespec64
clock_gettime clock_settime clock_getres: 1:time:=timespec
clock_gettime64 clock_settime64: 1:time:=timespec64
gettimeofday settimeofday: 0:time:=timeval
time stime: 0:time:1w
setitimer: 1:interval:4w
futex futex_time64: 0:futex:4
rt_sigaction: 1:action:=sigaction
rt_sigprocmask: 1:signal set:16
wait4 waitpid: 1:status:4
waitid: 2:information:128
fstat fstat64: 1:status:=stat
uname: 0:names:=utsname
sysinfo: 0:information:64
sethostname setdomainname: 0:name:*1
prctl: 1:argument:16
syslog: 1:buffer:*2
reboot: 3:command:s
init_module: 0:module image:64 2:parameters:s
finit_module: 1:parameters:s
delete_module: 0:module:s
semop: 1:operations:*2*6
msgsnd: 1:message:*2
msgrcv: 1:message:*2
add_key request_key: 0:type:s 1:description:s
setxattr getxattr lgetxattr lsetxattr: 0:path:s 1:attribute:s
memfd_create: 0:name:s
set_tid_address: 0:thread id:4
capget capset: 0:header:8 1:sets:24
sched_setaffinity: 2:set:*1
getrlimit setrlimit ugetrlimit: 1:limit:=rlimit
prlimit64: 2:limit:=rlimit64
bpf: 1:attributes:*2
"""

_NO_POINTERS = """
exit exit_group close close_range dup dup2 dup3 fork vfork getpid getppid gettid getuid geteuid getgid
getegid getuid32 geteuid32 getgid32 getegid32 setuid setgid setuid32 setgid32 setreuid setregid setresuid
setresgid setsid setpgid getpgid getpgrp getsid umask kill tkill tgkill pause alarm sync fsync fdatasync
socket listen shutdown brk mmap mmap2 munmap mprotect madvise mremap lseek ftruncate ftruncate64 fchdir
fchmod fchown flock sched_yield nice getpriority setpriority personality iopl ioperm epoll_create
epoll_create1 eventfd eventfd2 inotify_init inotify_init1 timerfd_create restart_syscall set_tls
cacheflush set_thread_area vhangup
"""
"""Calls without a pointer that could explain anything."""


@cache
def _table() -> dict[str, tuple[tuple[int, str, str], ...]]:
    """Return call name -> ((index, what, size text), ...)."""
    table: dict[str, tuple[tuple[int, str, str], ...]] = {}
    for line in _TABLE.replace("\\\n", "").strip().splitlines():
        names, _, rest = line.partition(": ")
        fields = []
        # What an argument is may hold spaces, so split at the next index.
        pieces = rest.split(":")
        index = int(pieces[0])
        for position in range(1, len(pieces) - 1, 2):
            size, _, following = pieces[position + 1].partition(" ")
            fields.append((index, pieces[position], size))
            index = int(following) if following else -1
        for name in names.split():
            table[name] = tuple(fields)
    table.update(dict.fromkeys(_NO_POINTERS.split(), ()))
    return table


def _ioctl_size(arch: Arch, request: int) -> int:
    """Return the size encoded in an ioctl request (asm/ioctl.h); old requests hold none."""
    bits = 13 if arch.elf_machine in (8, 20) else 14
    size = request >> 16 & ((1 << bits) - 1)
    return size if 0 < size <= STRING_LIMIT and request >> 29 else 40


def _size(arch: Arch, text: str, args: list[int]) -> int | None:
    if text == "s":
        return None
    if text == "ioc":
        return _ioctl_size(arch, args[1] if len(args) > 1 else 0)
    if text.startswith("*"):
        index, _, factor = text[1:].partition("*")
        count = args[int(index)] if int(index) < len(args) else 0
        # A length may be a negative or absurd number: the reader bounds it.
        return min(count, 1 << 20) * (_fixed(arch, factor) if factor else 1)
    return _fixed(arch, text)


def _fixed(arch: Arch, text: str) -> int:
    if text.startswith("="):
        return layouts.layout(arch, text[1:]).size
    return int(text[:-1]) * arch.word if text.endswith("w") else int(text)


def pointer_arguments(arch: Arch, name: str, args: list[int]) -> Iterator[PointerArgument]:
    """Yield the arguments of the call `name` that point to memory, for the argument values `args`.

    Of a call that is not known every argument may be a pointer.
    """
    known = _table().get(name)
    if known is None:
        for index in range(min(len(args), 6)):
            yield PointerArgument(index, "argument", UNKNOWN_SIZE)
        return
    for index, what, size in known:
        if index < len(args):
            yield PointerArgument(index, what, _size(arch, size, args))
