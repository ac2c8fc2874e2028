"""Call stacks against gdb-multiarch: the same stripped programs, stopped inside the same function.

Ours are those of a guest that the supervisor froze; gdb looks at the same file under the emulator's gdb stub,
stopped at the syscall instruction in which ours waits (i386: at the entry of `pause`, whose instruction is
shared by all calls).
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.guest.test_frames import (
    ANY,
    BARE,
    CHAINS,
    POINTERS,
    TABLES,
    stacks_of,
    without_sections,
    without_symbols,
)
from tests.programs import ARCHES, build, qemu_name
from triage_tui.binary.symbols import parse_image
from triage_tui.setup import ensure_qemu

VARIANTS = {"tables": (TABLES, without_symbols), "pointers": (POINTERS, without_sections)}
VARIANTS |= {"bare": (BARE, without_sections)}
KINDS = ("plain", "altstack")


def right(names: list[str], kind: str) -> int:
    """Return how many of the chain's own functions stand in `names` in order, before the first mistake."""
    count, at = 0, 0
    for wanted in (name for name in CHAINS[kind] if name != ANY):
        if wanted not in names[at:]:
            break
        at = names.index(wanted, at) + 1
        count += 1
    return count


SYSCALL_SIZE = {"thumb": 2, "x86_64": 2, "s390x": 2}
"""Bytes of a syscall instruction where it is not four."""


def gdb_stack(
    program: Path, stripped: Path, arch: str, kind: str, stopped_at: int
) -> tuple[list[str], float]:
    """Return the names of gdb's frames, by the symbols that were kept from it, and the seconds it took."""
    image = parse_image(program.read_bytes())
    pause = next(symbol for symbol in image.symbols if symbol.name in ("pause", "__libc_pause"))
    place = pause.start if arch == "i386" else stopped_at - SYSCALL_SIZE.get(arch, 4)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    emulator = ensure_qemu() / f"qemu-{qemu_name(arch)}-static"
    guest = subprocess.Popen(
        [emulator, "-g", str(port), stripped, kind], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    start = time.perf_counter()
    try:
        commands = ["set auto-load off", f"file {stripped}", f"target remote :{port}"]
        if arch == "thumb":
            commands.insert(0, "set arm fallback-mode thumb")
        commands += ["handle SIGSEGV nostop noprint pass", f"break *{place:#x}", "continue", "bt 70"]
        words = [word for command in commands for word in ("-ex", command)]
        text = subprocess.run(
            ["gdb-multiarch", "-nx", "-batch", *words],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=20,
            check=False,
        ).stdout
    except subprocess.TimeoutExpired:
        # It never came to the place, or never to an end: no frame.
        text = ""
    finally:
        guest.kill()
        guest.wait()
    names = []
    for number, rest in re.findall(r"^#(\d+) +(.*)$", text, re.MULTILINE):
        found = re.match(r"0x([0-9a-f]+)", rest)
        if "signal handler" in rest or found is None:
            names.append("<signal>" if "signal handler" in rest else "?")
            continue
        symbol = image.symbol_at(int(found[1], 16) - (1 if int(number) else 0), functions_only=True)
        names.append(symbol.name if symbol else "?")
    return names, time.perf_counter() - start


def main() -> None:
    """Print the table."""
    gdb = shutil.which("gdb-multiarch") is not None
    if not gdb:
        print("gdb-multiarch is not installed: only our frames are counted")
    print(f"{'arch':9} {'program':18} {'depth':>5} {'ours':>5} {'ms':>7} {'gdb':>5} {'ms':>7}")
    for arch in ARCHES:
        for variant, (flags, strip) in VARIANTS.items():
            program = build("frames", arch, *flags)
            for kind in KINDS:
                with tempfile.TemporaryDirectory() as work:
                    stripped = Path(work, "frames")
                    stripped.write_bytes(strip(program.read_bytes()))
                    stripped.chmod(0o755)
                    times: list[float] = []
                    root = Path(work, "root")
                    ((frames, ours),) = stacks_of(program, (kind,), root, ensure_qemu(), strip, times)
                    depth = sum(name != ANY for name in CHAINS[kind])
                    row = f"{arch:9} {variant + ' ' + kind:18} {depth:5} {right(ours, kind):5}"
                    row += f" {times[0] * 1e3:7.1f}"
                    if gdb:
                        theirs, seconds = gdb_stack(program, stripped, arch, kind, frames[0].pc)
                        # "-": gdb never stopped there, which says nothing about its frames.
                        count = str(right(theirs, kind)) if theirs else "-"
                        row += f" {count:>5} {seconds * 1e3:7.0f}"
                    print(row, flush=True)


if __name__ == "__main__":
    main()
