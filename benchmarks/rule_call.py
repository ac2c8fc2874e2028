"""What a rule costs: medians of one call through the rule host, against an empty message there and back.

Run it with `python benchmarks/rule_call.py [calls]`. The empty message is a byte over a socket pair to a
child process that sends it back, the least that any separate process can cost; trust the ratio, not the
microseconds.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Mapping

from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.peer_script import PeerScript
from triage_tui.rulehost.protocol import Endian, GuestCall, IfreqField, PeerMode, StandIn
from triage_tui.rulehost.sources import RuleSource

WARM_UP = 200


class StringGuest:
    """A little-endian 32-bit guest whose memory is one path, repeated."""

    arch = "arm"
    endian: Endian = "little"
    word = 4
    _memory = b"/etc/config/network\0" * 300

    def errno_number(self, name: str) -> int | None:
        return {"ENOSYS": 38}.get(name)

    def read_bytes(self, address: int, size: int) -> bytes:
        return self._memory[:size]

    def write_bytes(self, address: int, data: bytes) -> None:
        return None

    def read_registers(self) -> Mapping[str, int]:
        return {}

    def write_register(self, name: str, value: int) -> int:
        return -2

    def mkdir_p(self, path: bytes, mode: int) -> int:
        return 0

    def provide_file(self, path: bytes, content: bytes, mode: int) -> int:
        return 0

    def open_bytes(self, content: bytes, cloexec: bool, label: bytes = b"") -> int:
        return -24

    def open_shared(self, content: bytes, cloexec: bool, label: bytes) -> int:
        return -24

    def write_shared(self, label: bytes, offset: int, data: bytes) -> int:
        return 0

    def descriptor_label(self, fd: int) -> bytes:
        return b""

    def descriptor_path(self, fd: int) -> bytes:
        return b"/"

    def remove_path(self, path: bytes) -> int:
        return -2

    def real_path(self, path: bytes) -> bytes:
        return path

    def write_field(self, address: int, structure: str, field: str, value: int) -> int:
        return 0

    def open_host(self, path: bytes, flags: int, mode: int, label: bytes = b"") -> int:
        return -24

    def ifreq_name(self, address: int) -> bytes:
        return b"eth0"

    def ifreq_set(self, address: int, field: IfreqField, value: int | bytes) -> int:
        return 0

    def set_argument(self, index: int, value: int) -> int:
        return 0

    def start_program(self) -> int:
        return 0

    def socket_stub(self, kind: StandIn, flags: int, protocol: int, label: bytes = b"") -> int:
        return 30

    def connect_peer(self, fd: int, mode: PeerMode) -> int:
        return 0

    def connect_script(self, fd: int, script: PeerScript) -> int:
        return 0

    def tell_peer(self, fd: int, message: bytes) -> int:
        return 0

    def provide_socket(self, path: bytes, mode: int) -> int:
        return 0

    def start_probe(self, address: str, timeout: float, payload: bytes) -> int:
        """No service."""
        return -1

    def module_base(self, path: str, build: str) -> int:
        return -2

    def callers(self, most: int) -> list[Mapping[str, int | str]]:
        return []

    def resolve_address(self, address: int) -> Mapping[str, int | str] | None:
        return None


RULES = {
    "rule that passes": b"function do_syscall() return 0, 0 end",
    "rule that reads the path and compares": b"""
        function do_syscall(num, dirfd, path)
            local name, rc = c_read_string(path)
            if rc == 0 and name == "/etc/passwd" then return 1, -2 end
            return 0, 0
        end""",
}


def median_us(action: Callable[[], object], calls: int) -> float:
    for _ in range(WARM_UP):
        action()
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        action()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def empty_message_us(calls: int) -> float:
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        while data := theirs.recv(1):
            theirs.sendall(data)
        os._exit(0)
    theirs.close()

    def there_and_back() -> None:
        ours.sendall(b"x")
        ours.recv(1)

    try:
        return median_us(there_and_back, calls)
    finally:
        ours.close()
        os.waitpid(child, 0)


def start_ms() -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        RuleHost([RuleSource("r", "openat", RULES["rule that passes"])], StringGuest()).close()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    base = empty_message_us(calls)
    print(f"{'':40} {'median us':>10} {'ratio':>7}")
    print(f"{'empty message there and back':40} {base:10.1f} {1.0:7.2f}")
    call = GuestCall("openat", 322, (0xFFFFFF9C, 0x1000, 0, 0))
    for name, source in RULES.items():
        with RuleHost([RuleSource("r", "openat", source)], StringGuest()) as host:
            cost = median_us(lambda host=host: host.call(call), calls)  # type: ignore[misc]
        print(f"{name:40} {cost:10.1f} {cost / base:7.2f}")
    print(f"\nstart of the rule host with one rule, to its end: {start_ms():.0f} ms (median of 7)")


if __name__ == "__main__":
    main()
