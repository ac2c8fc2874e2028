"""Work inside the guest's name spaces, done by the cell's init on the supervisor's behalf: files and sockets.

Init lives inside the root, so that a path can only lead where the guest's own paths lead: links of a
hostile root file system, absolute or with "..", cannot reach the host. Standard library only: the launcher
imports it.
"""

from __future__ import annotations

import errno
import os
import socket
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MODE = 0o7777
_NETLINK_SOCK_DIAG = 4
MOST_REMOVED = 4096
"""Names in a directory that is taken away."""


def mkdir_p(path: bytes, mode: int) -> int:
    """Make the directory `path` and its parents; return 0, or a negative host errno."""
    try:
        _make_directories(path, mode)
    except OSError as error:
        return -(error.errno or errno.EIO)
    return 0


def _make_directories(path: bytes, mode: int) -> None:
    if not path.startswith(b"/"):
        raise OSError(errno.EINVAL, "a relative path")
    current = b"/"
    parts = [part for part in path.split(b"/") if part]
    for index, part in enumerate(parts):
        current = os.path.join(current, part)
        last = index == len(parts) - 1
        try:
            os.mkdir(current, 0o755)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(current).st_mode):
                raise OSError(errno.EEXIST if last else errno.ENOTDIR, "a file is in the way") from None
        else:
            if last:
                os.chmod(current, mode & _MODE)


def provide_file(path: bytes, content_fd: int, mode: int) -> int:
    """Create the regular file `path`, parents included, with the bytes of `content_fd`; 0 or -errno.

    An existing file is left alone (-EEXIST). The file appears complete or not at all.
    """
    directory, name = os.path.split(path)
    if not name or not path.startswith(b"/") or name in (b".", b".."):
        return -errno.EINVAL
    temporary = os.path.join(directory, b".provide-%d" % os.getpid())
    try:
        _make_directories(directory, 0o755)
        if os.path.lexists(path):
            return -errno.EEXIST
        target = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            os.lseek(content_fd, 0, os.SEEK_SET)
            while block := os.read(content_fd, 1 << 20):
                while block:
                    block = block[os.write(target, block) :]
            os.fchmod(target, mode & _MODE)
        finally:
            os.close(target)
        try:
            # A link, unlike a rename, does not replace what appeared meanwhile.
            os.link(temporary, path, follow_symlinks=False)
        finally:
            os.unlink(temporary)
    except OSError as error:
        return -(error.errno or errno.EIO)
    return 0


def provide_socket(path: bytes, mode: int) -> int:
    """Make the name of a local socket, parents included, behind which nobody listens; 0 or -errno.

    What exists is left alone (-EEXIST).
    """
    directory, name = os.path.split(path)
    if not name or not path.startswith(b"/") or name in (b".", b".."):
        return -errno.EINVAL
    try:
        _make_directories(directory, 0o755)
        os.mknod(path, stat.S_IFSOCK | 0o600)
        os.chmod(path, mode & _MODE)
    except OSError as error:
        return -(error.errno or errno.EIO)
    return 0


def remove(path: bytes) -> int:
    """Take away what is at `path`, a directory with all in it, a link itself; 0 or -errno.

    The root is copy-on-write, so that it goes from the guest's view alone. Where something is mounted nothing
    can be taken away (-EBUSY), and nothing is touched of a directory with too many names (-E2BIG).
    """
    if not path.startswith(b"/"):
        return -errno.EINVAL
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return 0
        tree = []
        for directory, directories, files in os.walk(path):
            tree.append((directory, directories, files))
            if sum(len(inner) + len(others) for _, inner, others in tree) > MOST_REMOVED:
                return -errno.E2BIG
        for directory, directories, files in reversed(tree):
            for name in [*files, *directories]:
                inner = os.path.join(directory, name)
                if name in files or os.path.islink(inner):
                    os.unlink(inner)
            os.rmdir(directory)
    except OSError as error:
        return -(error.errno or errno.EIO)
    return 0


def open_file(path: bytes) -> int:
    """Return a descriptor of the regular file `path` for reading, or a negative host errno.

    Nothing else is opened: a FIFO would wait, and a device may do something.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return -errno.EINVAL
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        return -(getattr(error, "errno", None) or errno.EIO)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return -errno.EINVAL
    return fd


def open_socket(family: int, kind: int) -> int:
    """Return a descriptor of a new socket of this network name space, or a negative host errno.

    One of AF_NETLINK answers questions about sockets (sock_diag(7)).
    """
    if (family, kind) == (socket.AF_NETLINK, socket.SOCK_RAW):
        protocol = _NETLINK_SOCK_DIAG
    elif family in (socket.AF_INET, socket.AF_INET6) and kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        protocol = 0
    else:
        return -errno.EINVAL
    try:
        return socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol).detach()
    except OSError as error:
        return -(error.errno or errno.EIO)


def open_pair(kind: int) -> tuple[int, int] | int:
    """Return two descriptors of connected local sockets of this network name space, or a negative errno.

    A local socket reaches the abstract names, and the interfaces, of the name space that it was made in.
    """
    if kind not in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        return -errno.EINVAL
    try:
        first, second = socket.socketpair(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    except OSError as error:
        return -(error.errno or errno.EIO)
    return first.detach(), second.detach()


def put_back(path: bytes, entry: dict[str, Any], content_fd: int | None) -> int:
    """Have what a checkpoint says of `path` lie there, in the place of what does; 0 or -errno.

    `entry` is {"kind", "mode", "user", "group", "atime_ns", "mtime_ns", "target" (hex), "offset", "size"};
    the kinds are those of `checkpoint.model.Kept`. A directory that is there stays as it is. The bytes of a
    file are those of `content_fd` from `offset` on. No link at the end of the path is followed.
    """
    if not path.startswith(b"/") or b".." in path.split(b"/") or path == b"/":
        return -errno.EINVAL
    try:
        kind = entry["kind"]
        if kind != "directory" or not os.path.isdir(path) or os.path.islink(path):
            if os.path.lexists(path) and (result := remove(path)) < 0:
                return result
            _make(path, entry, content_fd)
        if kind in ("removed", "name"):
            return 0
        os.chown(path, entry["user"], entry["group"], follow_symlinks=False)
        if kind != "link":
            os.chmod(path, entry["mode"] & _MODE)
        os.utime(path, ns=(entry["atime_ns"], entry["mtime_ns"]), follow_symlinks=False)
    except OSError as error:
        return -(error.errno or errno.EIO)
    return 0


def _make(path: bytes, entry: dict[str, Any], content_fd: int | None) -> None:
    match entry["kind"]:
        case "directory" | "replaced":
            os.mkdir(path, 0o700)
        case "name":
            os.link(bytes.fromhex(entry["target"]), path, follow_symlinks=False)
        case "socket":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
                one.bind(path)
        case "link":
            os.symlink(bytes.fromhex(entry["target"]), path)
        case "fifo":
            os.mkfifo(path, 0o600)
        case "file":
            if content_fd is None:
                raise OSError(errno.EINVAL, "no content")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(path, flags, 0o600)
            try:
                at, end = entry["offset"], entry["offset"] + entry["size"]
                while at < end:
                    block = os.pread(content_fd, min(1 << 20, end - at), at)
                    if not block:
                        raise OSError(errno.EIO, "the content is cut off")
                    at += len(block)
                    while block:
                        block = block[os.write(fd, block) :]
            finally:
                os.close(fd)


def serve(request: dict[str, Any], fds: list[int]) -> int:
    """Do one request: {"do": ..., "path": hex, "mode": int}; the content of a file comes as fd."""
    path = bytes.fromhex(request["path"])
    if b"\0" in path or len(path) > 4095:
        return -errno.EINVAL
    if request["do"] == "mkdir_p":
        return mkdir_p(path, request["mode"])
    if request["do"] == "put_back":
        return put_back(path, request["entry"], fds[0] if fds else None)
    if request["do"] == "provide_socket":
        return provide_socket(path, request["mode"])
    if request["do"] == "remove":
        return remove(path)
    if request["do"] == "provide_file" and len(fds) == 1:
        return provide_file(path, fds[0], request["mode"])
    return -errno.ENOSYS
