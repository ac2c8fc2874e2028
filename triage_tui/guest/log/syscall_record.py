"""Turn a call of the emulator's log into the record's `Syscall`, decoded as far as the text allows."""

from __future__ import annotations

import re
import socket
import struct
import sys

from triage_tui.guest.arch import Arch
from triage_tui.guest.log.argument_text import split_arguments, unquote
from triage_tui.guest.log.logged_items import LoggedCall
from triage_tui.guest.log.result_text import parse_result
from triage_tui.runs.model import UNLOGGED, Syscall

_WAITS = frozenset(("wait4", "waitpid"))
_WNOHANG = 1
# Calls whose first string argument is the path they are about; for two-path calls the one they make.
_PATH_CALLS = frozenset(
    str.split(
        "open openat openat2 creat stat stat64 lstat lstat64 newfstatat fstatat64 statx access faccessat "
        "faccessat2 readlink readlinkat mkdir mkdirat rmdir mknod mknodat unlink unlinkat chdir chroot "
        "execve execveat chmod fchmodat chown chown32 lchown fchownat truncate truncate64 statfs statfs64 "
        "utime utimes utimensat futimesat mount umount umount2 swapon swapoff acct rename renameat renameat2 "
        "link linkat symlink symlinkat inotify_add_watch getxattr lgetxattr setxattr lsetxattr "
        "name_to_handle_at uselib"
    )
)
_ADDRESS_CALLS = frozenset(("connect", "bind", "sendto"))
_MAX_ARGUMENT = 512
_INET = re.compile(rb'sin_port=htons\((\d+)\),\s*sin_addr=inet_addr\("([0-9.]+)"\)')
_UNIX = re.compile(rb'sun_path="?([^"}]*)"?')
_INTERFACE = re.compile(rb'\{"([^"\0]{0,15})')


def to_text(data: bytes) -> str:
    """Return guest bytes as the record keeps them: UTF-8, anything else as backslash escapes."""
    return data.decode("utf-8", "backslashreplace")


def new_record(seq: int, call: LoggedCall, arch: Arch, now_ns: int) -> Syscall:
    """Return the record of a call that has not returned."""
    arguments = split_arguments(call.arguments)
    number = call.number
    if number is None:
        number = arch.syscall_nr("socketcall" if call.by_socketcall else call.name)
    name = call.name
    if call.number is not None:
        name = arch.syscall_name(call.number) or call.name
    record = Syscall(
        seq=seq,
        name=name,
        num=-1 if number is None else number,
        arguments=[to_text(argument[:_MAX_ARGUMENT]) for argument in arguments],
        pid=call.pid,
        ts_mono_ns=now_ns,
        note=call.note,
        arch=arch.name,
    )
    if name in _PATH_CALLS:
        strings = [text for argument in arguments if (text := unquote(argument)) is not None]
        if strings:
            record.path = to_text(strings[0][:4096])
    elif name in _ADDRESS_CALLS:
        record.peer = _peer(call.arguments)
    elif name == "ioctl" and len(arguments) > 1:
        record.request = to_text(arguments[1])
        found = _INTERFACE.search(call.arguments)
        # Without a decoder for the request there is no struct; with one, ifreq is the only braced string.
        if found and record.request.startswith("SIOC"):
            record.interface = to_text(found[1])
    return record


def _peer(text: bytes) -> str | None:
    if found := _INET.search(text):
        return f"inet:{found[2].decode()}:{int(found[1])}"
    if found := _UNIX.search(text):
        return "unix:" + to_text(found[1])
    return None


def set_result(record: Syscall, call: LoggedCall, arch: Arch) -> None:
    """Fill in what the call returned."""
    record.note = record.note or call.note
    if call.result is None:
        return
    if call.result == b"ENOSYS" and call.number is not None:
        number = arch.errno_number("ENOSYS") or 38
        record.ret, record.errno = -number, "ENOSYS"
        return
    if not call.result and record.name in _WAITS:
        _set_unlogged_wait(record, call)
        return
    result = parse_result(call.result)
    record.ret = result.value
    if result.error is not None:
        record.errno = arch.errno_name(result.error) or f"E{result.error}"


def _set_unlogged_wait(record: Syscall, call: LoggedCall) -> None:
    """Fill in what a wait returned for which QEMU 10 has no text: it did not fail.

    A wait for one child returns that child, unless it did not wait at all.
    """
    words = call.arguments.split(b",")
    named = len(words) > 2 and words[0].isdigit() and words[2].isdigit()
    if named and int(words[0]) > 0 and not int(words[2]) & _WNOHANG:
        record.ret = int(words[0])
    else:
        record.note = f"{record.note}; {UNLOGGED}" if record.note else UNLOGGED


def set_value(record: Syscall, ret: int, arch: Arch) -> None:
    """Fill in what the call returned, a value in guest terms: negative errno on failure."""
    record.ret = ret
    record.errno = (arch.errno_name(-ret) or f"E{-ret}") if -4095 <= ret < 0 else None


def decode_address(data: bytes) -> str | None:
    """Return a socket address of the host's layout in words, None for a family without a decoder.

    "unix:/var/run/x.sock", "unix:@name" (abstract), "inet:127.0.0.1:80", "inet6:[::1]:80", "netlink:..."
    (sockaddr types of unix(7), ip(7), ipv6(7), netlink(7)).
    """
    family = int.from_bytes(data[:2], sys.byteorder)
    if family == socket.AF_UNIX:
        name = data[2:]
        if name.startswith(b"\0") and name.strip(b"\0"):
            return "unix:@" + to_text(name[1:].rstrip(b"\0"))
        return "unix:" + to_text(name.split(b"\0")[0])
    if family == socket.AF_INET and len(data) >= 8:
        return f"inet:{socket.inet_ntop(family, data[4:8])}:{int.from_bytes(data[2:4], 'big')}"
    if family == socket.AF_INET6 and len(data) >= 24:
        return f"inet6:[{socket.inet_ntop(family, data[8:24])}]:{int.from_bytes(data[2:4], 'big')}"
    if family == socket.AF_NETLINK and len(data) >= 12:
        port, groups = struct.unpack_from("=II", data, 4)
        return f"netlink:port {port} groups {groups:#x}"
    return None
