"""Which call printed which bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.guest.helpers import shell, spec
from triage_tui.guest.log.printed import line_up
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import Syscall

Rootfs = Callable[[str], Path]


def write(fd: int, size: int) -> Syscall:
    return Syscall(seq=0, name="write", arguments=[str(fd), "0x1000", str(size)], ret=size)


def test_a_real_guest_is_lined_up(rootfs: Rootfs, qemu_dir: Path) -> None:
    script = "echo one; echo two >&2; echo three; cd /nowhere; exit 1"
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *shell(script))) as guest:
        guest.run_until_stop()
        streams = guest.streams()
        calls = guest.full_trace()
        why = line_up(calls, {name: total for name, (_, total) in streams.items()}, guest.calls_left_out())
        output = guest.output()
    # The shell turns its descriptor 1 to stderr for the second line.
    assert why == "14 bytes were written to stdout, 10 came out of it"
    assert streams["stdout"][0] == b"one\nthree\n"
    assert streams["stderr"][0].startswith(b"two\n")
    assert len(output) == sum(total for _, total in streams.values())


def test_each_write_gets_its_part(rootfs: Rootfs, qemu_dir: Path) -> None:
    argv = ("/bin/busybox", "cat", "/none", "/bin/busybox")
    with Guest.start(spec(rootfs("busybox-armhf"), qemu_dir, *argv)) as guest:
        guest.run_until_stop()
        streams = guest.streams()
        calls = guest.full_trace()
        assert line_up(calls, {name: total for name, (_, total) in streams.items()}, 0) is None
    parts = [call.printed for call in calls if call.printed is not None]
    message = [part for part in parts if part.stream == "stderr"]
    text = streams["stderr"][0]
    assert b"".join(text[part.offset : part.offset + part.size] for part in message) == text
    assert b"/none" in text
    sizes = [part.size for part in parts if part.stream == "stdout"]
    assert sum(sizes) == streams["stdout"][1]
    assert not [call for call in calls if call.printed is not None and call.ret != call.printed.size]


def test_what_is_not_certain_is_not_said() -> None:
    calls = [write(1, 3), write(2, 4)]
    assert line_up(calls, {"stdout": 3, "stderr": 5}, 0) is not None
    assert line_up(calls, {"stdout": 3, "stderr": 4}, 7) == "at least 7 syscalls in between were not kept"
    assert all(call.printed is None for call in calls)
