"""What works on which architecture: `python -m tests.guest.arch.matrix` measures and writes the page.

Each cell is what a real program showed under supervision; `test_matrix.py` measures again and compares.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.guest.calls.test_access import Rule, Rules
from tests.guest.helpers import spec
from tests.programs import ARCHES, qemu_name, root_with
from triage_tui.guest.arch import by_name
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.host import process
from triage_tui.guest.record.capture import capture
from triage_tui.guest.supervisor import Guest
from triage_tui.rulehost.protocol import Answer, GuestCall
from triage_tui.runs.model import Engine
from triage_tui.runs.writer import RunWriter
from triage_tui.setup import ensure_qemu

PAGE = Path(__file__).parents[3] / "docs" / "architectures.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NO = "no"


def _passes(right: bool) -> str:
    return "yes" if right else NO


def _start(root: Path, qemu_dir: Path, arch: str, *argv: str, rules: dict[str, Rule] | None = None) -> Guest:
    if rules is None:
        return Guest.start(spec(root, qemu_dir, *argv))
    access = RuleAccess(by_name(qemu_name(arch)))
    return Guest.start(spec(root, qemu_dir, *argv), Rules(access, rules), access=access)


def _exit(root: Path, qemu_dir: Path, arch: str) -> dict[str, str]:
    """A program that ends is frozen at its exit, with exact registers."""
    with _start(root, qemu_dir, arch, "/bin/calls") as guest:
        stop = guest.run_until_stop()
        registers = guest.registers()
        known = guest.arch
        frozen = (stop.reason, stop.exit_code, stop.ended) == ("exit", 7, False)
        exact = registers[known.syscall_args[0]] == 7
        exact &= known.syscall_in(registers) == known.syscall_nr("exit_group")
        exact &= any(m.start <= registers[known.pc] < m.end for m in guest.maps())
        missing = [one.name for one in known.registers if one.name not in registers]
        return {
            "starts": _passes(guest.output().startswith(b"open -1 2\nmkdir 0 0\n") and not guest.problems),
            "registers": ("all but " + ", ".join(missing) if missing else "all") if exact else NO,
            "freeze at exit": _passes(frozen),
        }


def _answers(root: Path, qemu_dir: Path, arch: str) -> dict[str, str]:
    """Rules give success and failure, and write into the guest's structures and memory."""
    refused = by_name(qemu_name(arch)).errno_number("ECONNREFUSED") or 0

    def refuse(access: RuleAccess, call: GuestCall) -> Answer:
        path = call.args[0 if call.name == "open" else 1]
        if access.read_bytes(path, 10) != b"/etc/missi":
            return Answer()
        return Answer(intercept=True, ret=-refused, rule="refuse")

    def pretend(_access: RuleAccess, _call: GuestCall) -> Answer:
        return Answer(intercept=True, ret=0, rule="pretend")

    def request(access: RuleAccess, call: GuestCall) -> Answer:
        if call.args[1] == 0x8933:
            return Answer(intercept=True, ret=access.ifreq_set(call.args[2], "ifindex", 5), rule="index")
        if call.args[1] & 0xFFFF == 0x4D41:
            access.write_bytes(call.args[2], b"\xab" * 16)
            return Answer(intercept=True, ret=0, rule="driver")
        return Answer()

    opens = {"open": refuse, "openat": refuse, "mkdir": pretend, "mkdirat": pretend}
    known = by_name(qemu_name(arch))
    rules = {name: rule for name, rule in opens.items() if known.syscall_nr(name) is not None}
    with _start(root, qemu_dir, arch, "/bin/calls", rules=rules) as guest:
        guest.run_until_stop()
        lines = guest.output().decode().splitlines()
    with _start(root, qemu_dir, arch, "/bin/requests", rules={"ioctl": request}) as guest:
        guest.run_until_stop()
        requests = guest.output().decode().splitlines()
    return {
        # The directory that a rule pretended to make is not there.
        "rule answers": _passes(lines[1:3] == ["mkdir 0 0", "stat -1 2"]),
        "errno": f"ECONNREFUSED = {refused}" if lines[:1] == [f"open -1 {refused}"] else NO,
        "structure written": _passes(requests[:1] == ["SIOCGIFINDEX 0 5"]),
        "ioctl that QEMU serves": _passes(requests[1:] == ["driver 0 0 ab"]),
    }


def _children(root: Path, qemu_dir: Path, arch: str) -> dict[str, str]:
    """What a forked child does is seen as its own."""
    with _start(root, qemu_dir, arch, "/bin/children") as guest:
        stop = guest.run_until_stop()
        [opened] = [call for call in guest.history() if call.path == "/etc/child.conf"]
        right = (stop.exit_code, opened.errno) == (3, "ENOENT") and opened.pid != stop.trigger.pid
        return {"child followed": _passes(right and bool(opened.args))}


def _threads(root: Path, qemu_dir: Path, arch: str) -> dict[str, str]:
    """Each of four threads has registers of its own."""
    with _start(root, qemu_dir, arch, "/bin/threads", "end") as guest:
        guest.run_until_stop()
        inner = {tid: process.inner_pid(tid) for tid in process.threads(guest.pid)}
        places = guest.thread_places(guest.pid, inner)
        stacks = {guest.registers_at(tid, env)[guest.arch.sp] for tid, env in places.items()}
        return {"threads": _passes(len(stacks) == 4)}


def _backtrace(root: Path, qemu_dir: Path, arch: str) -> dict[str, str]:
    """How the frames of main, outer, middle and inner were found, and whether all were."""
    with _start(root, qemu_dir, arch, "/bin/chain") as guest, tempfile.TemporaryDirectory() as runs:
        stop = guest.run_until_stop()
        snapshot = capture(guest, stop, RunWriter(Path(runs)), target=guest.target, engine=Engine())
    frames = snapshot.backtrace.frames
    names = [frame.func_name for frame in frames]
    wanted = ["inner", "middle", "outer", "main"]
    at = [names.index(name) for name in wanted if name in names]
    complete = len(at) == len(wanted) and at == sorted(at)
    methods = dict.fromkeys(frame.method for frame in frames[1 : at[-1] + 1 if complete else None])
    found = ", ".join(method.replace("_", " ") for method in methods)
    return {"backtrace": found if complete else f"in part: {found}"}


def _execution(root: Path, qemu_dir: Path, arch: str) -> dict[str, str]:
    """A program that executes another of its architecture."""
    with _start(root, qemu_dir, arch, "/bin/executes", "/bin/calls") as guest:
        stop = guest.run_until_stop()
        right = (stop.reason, stop.exit_code) == ("exit", 7) and guest.output().startswith(b"open -1 2\n")
        return {"exec followed": _passes(right)}


_MEASURES: tuple[Callable[[Path, Path, str], dict[str, str]], ...] = (
    *(_exit, _answers, _children, _threads, _backtrace, _execution),
)


def measure(arch: str, qemu_dir: Path, directory: Path) -> dict[str, str]:
    """Run the programs of `arch` in the empty `directory`; return column -> what was seen."""
    sources = ("calls", "requests", "children", "threads", "chain", "executes")
    root = root_with(directory, arch, *sources)
    row: dict[str, str] = {}
    for part in _MEASURES:
        row |= part(root, qemu_dir, arch)
    return row


def claims() -> dict[str, dict[str, str]]:
    """Return architecture -> column -> what the page says."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index(BEGIN) : text.index(END)].splitlines()[1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def render(rows: dict[str, dict[str, str]]) -> str:
    """Return the table of the page."""
    columns = list(next(iter(rows.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += ["| " + " | ".join([arch, *row.values()]) + " |" for arch, row in rows.items()]
    return "\n".join(lines)


def main() -> None:
    """Measure everything and write the page."""
    rows: dict[str, dict[str, str]] = {}
    for arch in ARCHES:
        with tempfile.TemporaryDirectory() as directory:
            rows[arch] = measure(arch, ensure_qemu(), Path(directory))
    text = PAGE.read_text(encoding="utf-8")
    table = f"{BEGIN}\n{render(rows)}\n{END}"
    PAGE.write_text(re.sub(f"{BEGIN}.*{END}", lambda _match: table, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
