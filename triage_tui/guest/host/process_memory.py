"""The memory of one process through /proc/<pid>/mem, opened once.

A read takes less than half of what process_vm_readv(2) takes, which looks the process up and asks whether it
may be traced each time. The open file stands for the address space that the process had then: when it
executes something else, nothing is readable through it any more.
"""

from __future__ import annotations

import contextlib
import os

from triage_tui.guest.host import host_memory


class ProcessMemory:
    """Reads and writes what the threads of one process have in memory. Addresses are host addresses."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._fd = -1

    def read(self, tid: int, address: int, size: int) -> bytes:
        """Return up to `size` bytes at `address`, less where the mapping ends; `tid` is a living thread.

        Raises:
            OSError: nothing is readable there, or the process is gone.
        """
        with contextlib.suppress(OSError, OverflowError):
            if self._fd < 0:
                self._fd = os.open(f"/proc/{tid}/mem", os.O_RDWR | os.O_CLOEXEC)
            if data := os.pread(self._fd, size, address):
                return data
        # Another program by now, or an address that is none.
        self.close()
        return host_memory.read_memory(tid, address, size)

    def read_string(self, tid: int, address: int) -> bytes:
        """Return the string at `address` as `host_memory.read_string` does.

        Raises:
            OSError: nothing is readable there, or the process is gone.
        """
        return host_memory.read_string(tid, address, read=self.read)

    def write(self, tid: int, address: int, data: bytes | bytearray) -> None:
        """Write all of `data` at `address`, also where the process itself may not write.

        Raises:
            OSError: not all of it is mapped, or the process is gone.
        """
        with contextlib.suppress(OSError, OverflowError):
            if self._fd >= 0 and os.pwrite(self._fd, data, address) == len(data):
                return
        self.close()
        host_memory.write_memory(tid, address, bytes(data))

    def close(self) -> None:
        """Let go of the address space: the process executes another program, or is gone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
