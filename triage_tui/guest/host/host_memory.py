"""Read and write the memory of a host process, wherever in it (process_vm_readv(2), proc_pid_mem(5)).

Ids are host ids and addresses are host addresses; the supervisor adds the guest's base.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterable, Sequence

from triage_tui.guest.host.libc import libc
from triage_tui.guest.host.process import living_id, outliving_thread

_MAX_STRING = 4096
_MOST_PLACES = 16
"""Places that are written in one go."""
_SHORT_STRING = 128


class _IoVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


_process_vm_readv = libc.process_vm_readv
_process_vm_readv.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong]
_process_vm_readv.argtypes += [ctypes.c_ulong]
_process_vm_readv.restype = ctypes.c_ssize_t

_process_vm_writev = libc.process_vm_writev
_process_vm_writev.argtypes, _process_vm_writev.restype = _process_vm_readv.argtypes, ctypes.c_ssize_t


class _Transfer(threading.local):
    """What one access to another process's memory needs; the small one is kept, one for each thread."""

    def __init__(self, size: int) -> None:
        self.buffer = ctypes.create_string_buffer(size)
        self.view = memoryview(self.buffer).cast("B")
        self.local = _IoVector(ctypes.addressof(self.buffer), size)
        self.remote = _IoVector(0, size)
        self.local_pointer = ctypes.addressof(self.local)
        self.remote_pointer = ctypes.addressof(self.remote)
        self.places = (_IoVector * _MOST_PLACES)()
        self.places_pointer = ctypes.addressof(self.places)


_SMALL_READ = 1024
_transfer = _Transfer(_SMALL_READ)


def read_memory(pid: int, address: int, size: int) -> bytes:
    """Return up to `size` bytes at a host address; less when the mapping ends first.

    Raises:
        OSError: nothing is readable there, or the process is gone.
    """
    if size <= 0:
        return b""
    transfer = _transfer if size <= _SMALL_READ else _Transfer(size)
    transfer.local.length = transfer.remote.length = size
    transfer.remote.base = address & 0xFFFFFFFFFFFFFFFF
    count = _process_vm_readv(pid, transfer.local_pointer, 1, transfer.remote_pointer, 1, 0)
    if count < 0 and ctypes.get_errno() == errno.ESRCH and (other := outliving_thread(pid)) is not None:
        count = _process_vm_readv(other, transfer.local_pointer, 1, transfer.remote_pointer, 1, 0)
    if count < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"reading memory at {address:#x}: {os.strerror(number)}")
    return transfer.view[:count].tobytes()


def write_memory(pid: int, address: int, data: bytes) -> None:
    """Write all of `data` at a host address, also where the process itself may not write.

    Raises:
        OSError: not all of it is mapped, or the process is gone.
    """
    write_parts(pid, [(address, data)])


def write_parts(pid: int, parts: Iterable[tuple[int, bytes]]) -> None:
    """Write several (host address, bytes), each as `write_memory` does, in order.

    Raises:
        OSError: as `write_memory`; the parts before the failing one are written.
    """
    parts = list(parts)
    if _write_at_once(pid, parts):
        return
    fd = os.open(f"/proc/{living_id(pid)}/mem", os.O_WRONLY | os.O_CLOEXEC)
    try:
        for address, data in parts:
            if os.pwrite(fd, data, address) != len(data):
                raise OSError(14, f"writing memory at {address:#x}: not all of it is mapped")
    except OverflowError:
        raise OSError(14, "writing memory: no such address") from None
    finally:
        os.close(fd)


def _write_at_once(pid: int, parts: Sequence[tuple[int, bytes]]) -> bool:
    """Write a few short parts where the process itself may write; False if that was not possible for all."""
    content = b"".join([data for _address, data in parts])
    if len(content) > _SMALL_READ or len(parts) > _MOST_PLACES:
        return False
    transfer = _transfer
    transfer.view[: len(content)] = content
    transfer.local.length = len(content)
    for place, (address, data) in zip(transfer.places, parts, strict=False):
        place.base, place.length = address & 0xFFFFFFFFFFFFFFFF, len(data)
    written: int = _process_vm_writev(pid, transfer.local_pointer, 1, transfer.places_pointer, len(parts), 0)
    return written == len(content)


def read_string(
    pid: int,
    address: int,
    limit: int = _MAX_STRING,
    read: Callable[[int, int, int], bytes] = read_memory,
) -> bytes:
    """Return the NUL-terminated string at a host address, without its NUL, cut at `limit` bytes.

    `read` is what is used in the place of `read_memory`.

    Raises:
        OSError: nothing is readable there.
    """
    data = b""
    while len(data) < limit:
        # Never across a page border in one go: the string may end on the last mapped page.
        room = 4096 - ((address + len(data)) & 4095)
        # Most strings are short.
        room = min(room, limit - len(data), _SHORT_STRING if not data else _MAX_STRING)
        try:
            block = read(pid, address + len(data), room)
        except OSError:
            if data:
                return data
            raise
        end = block.find(b"\0")
        if end >= 0:
            return data + block[:end]
        data += block
    return data
