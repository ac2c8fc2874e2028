"""The little of the GDB remote serial protocol that finding the registers needs.

The connection lives only while the guest waits at its first instruction. Hanging up then switches QEMU's stub
off for good: `gdb_handlesig` sees end of file, forgets the connection and lets the guest run, and later
signals of the guest do not stop in the stub (QEMU 7.2 to 10.0, gdbstub/user.c).
"""

from __future__ import annotations

import contextlib
import socket

from triage_tui.errors import TriageError

_MAX_PACKET = 1 << 20


class GdbStub:
    """One connection to QEMU's gdb stub over a connected socket."""

    def __init__(self, connection: socket.socket, timeout: float = 10.0) -> None:
        self._socket = connection
        self._socket.settimeout(timeout)
        self._buffer = bytearray()

    def fileno(self) -> int:
        """Descriptor that becomes readable when the stub has replied."""
        return self._socket.fileno()

    def send(self, packet: bytes) -> None:
        """Send one packet; the reply is for `receive_some`.

        Raises:
            TriageError: the stub hung up.
        """
        try:
            self._socket.sendall(b"$" + packet + b"#%02x" % (sum(packet) & 255))
        except OSError as error:
            raise TriageError(f"the emulator ended while it was being started ({error.strerror})") from error

    def receive_some(self) -> bytes | None:
        """Take what has come, which must be something, and return a packet if one is complete.

        Raises:
            TriageError: the stub hung up, or sends something else.
        """
        if (packet := self._packet()) is not None:
            return packet
        if len(self._buffer) > _MAX_PACKET:
            raise TriageError("the emulator's gdb stub sends no packets that can be understood")
        data = self._socket.recv(65536)
        if not data:
            raise TriageError("the emulator ended while it was being started")
        self._buffer += data
        return self._packet()

    def _packet(self) -> bytes | None:
        start = self._buffer.find(b"$")
        end = self._buffer.find(b"#", start) if start >= 0 else -1
        if end < 0 or len(self._buffer) < end + 3:
            return None
        packet = bytes(self._buffer[start + 1 : end])
        del self._buffer[: end + 3]
        self._socket.sendall(b"+")
        return packet

    def command(self, packet: bytes) -> bytes:
        """Send one packet and return the reply.

        Raises:
            TriageError: the stub hung up or did not answer in time.
        """
        try:
            self.send(packet)
            while (reply := self.receive_some()) is None:
                pass
            return reply
        except TimeoutError:
            raise TriageError("the emulator's gdb stub does not answer") from None
        except OSError as error:
            raise TriageError(f"the emulator ended while it was being started ({error.strerror})") from error

    def read_registers(self) -> bytes:
        """Return the bytes of a `g` reply; unavailable ones count as zero."""
        return bytes.fromhex(self.command(b"g").decode("ascii").replace("x", "0"))

    def write_registers(self, data: bytes) -> None:
        """Write the bytes of a `g` reply back.

        Raises:
            TriageError: the stub refuses.
        """
        if self.command(b"G" + data.hex().encode()) != b"OK":
            raise TriageError("the emulator's gdb stub refuses to set registers")

    def describe_target(self) -> bytes:
        """Return the description of the registers (target.xml), empty when the stub has none.

        Asking for it has an effect: until then QEMU lays the `g` packet of ARM and PowerPC out as gdb did
        before there were descriptions (gdbstub.c, `gdb_has_xml`), up to 7.2 at least.
        """
        return self.read_object(b"features", b"target.xml")

    def read_object(self, name: bytes, annex: bytes = b"") -> bytes:
        """Return a qXfer object ("auxv"), empty when the stub has none."""
        result = bytearray()
        while True:
            reply = self.command(b"qXfer:%s:read:%s:%x,%x" % (name, annex, len(result), 0x700))
            if reply[:1] not in (b"l", b"m"):
                return bytes(result)
            escaped = False
            for byte in reply[1:]:
                if escaped:
                    result.append(byte ^ 0x20)
                    escaped = False
                elif byte == 0x7D:
                    escaped = True
                else:
                    result.append(byte)
            if reply[:1] == b"l":
                return bytes(result)

    def hang_up(self) -> None:
        """Close the connection: the guest runs on, without a stub."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
