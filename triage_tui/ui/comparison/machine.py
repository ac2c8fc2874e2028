"""What was recorded of two runs beside each other: facts, calls, what was printed, frames, registers."""

from __future__ import annotations

from triage_tui.errors import TriageError
from triage_tui.runs.frame_model import Frame
from triage_tui.runs.model import Register, Snapshot, Syscall
from triage_tui.text import safe_line
from triage_tui.ui.comparison.call_keys import Mapped, call_key, mapped_in
from triage_tui.ui.comparison.model import (
    Line,
    Pair,
    Section,
    align,
    by_name,
    counted,
    one_sided,
    without_clocks,
    without_inodes,
)
from triage_tui.ui.headline import headline
from triage_tui.ui.pointers import Pointers, chain_parts
from triage_tui.ui.rows import clip, short
from triage_tui.ui.run_view import RunView
from triage_tui.ui.threads import threads_of
from triage_tui.ui.words import call_words

MAX_FRAMES, MAX_REGISTERS, MAX_DESCRIPTORS, MAX_PRINTED = 256, 512, 4096, 4000
_LED = 60
"""Cells for where a register leads."""


def facts(left: RunView, right: RunView) -> Section:
    """Compare what was started, why it was frozen, and the figures."""
    return Section("What happened", by_name(_facts(left), _facts(right)))


def _facts(view: RunView) -> dict[str, Line]:
    snapshot, figures, told = view.snapshot, view.snapshot.statistics, headline(view)
    target = snapshot.target
    to_freeze = f"ev:syscall/{snapshot.trigger.seq}"
    lines = {
        "program": Line(safe_line(" ".join([target.program, *target.argv[1:]]), 300)),
        "arch": Line(f"architecture {short(target.arch, 20)}"),
    }
    if target.program_sha256:
        lines["bytes"] = Line(f"program file {short(target.program_sha256, 12)}")
    lines["what"] = Line(f"it {told.what}", link=to_freeze)
    if told.because:
        # How many calls ago it was is no part of what went wrong.
        cause = f"after {told.because}"
        lines["because"] = Line(f"{cause} {told.ago}".strip(), key=cause, link="pane:diagnosis")
    if told.printed:
        lines["printed"] = Line(f'it printed "{told.printed}"', key=without_clocks(told.printed))
    lines |= {
        "round": Line(f"round {snapshot.round}", link="pane:history"),
        "figures": Line(f"{figures.syscalls} syscalls, {figures.distinct_signatures} kinds"),
        "failed": Line(f"{figures.failed_syscalls} syscalls failed"),
        "processes": Line(f"{figures.processes} process{'es' * (figures.processes != 1)}"),
    }
    if figures.listening:
        lines["listening"] = Line(safe_line("listens at " + ", ".join(figures.listening), 300))
    if word := view.verdict.get("word"):
        lines["verdict"] = Line(f"verdict: {safe_line(str(word), 40)}", link="pane:retry")
    return lines


# --- syscalls ----------------------------------------------------------------------------------------------


def syscalls(left: RunView, right: RunView) -> Section:
    """Compare the calls of each process, processes in the order in which they appear."""
    groups = [list(_by_process(view.calls).items()) for view in (left, right)]
    several = max(map(len, groups)) > 1
    pairs: list[Pair] = []
    mapped = [mapped_in(view.snapshot) for view in (left, right)]
    cut = 0
    for number in range(max(map(len, groups))):
        one, other = (group[number] if number < len(group) else None for group in groups)
        if several:
            pairs.append(Pair(_process(number, one), _process(number, other)))
        lines = [
            [call_line(call, known) for call in group[1]] if group else []
            for group, known in zip((one, other), mapped, strict=True)
        ]
        found, left_out = align(*lines)
        pairs += found
        cut += left_out
    note = "Addresses are not compared." if pairs else ""
    if cut:
        note += f" {cut} calls are left out: the runs differ too much there."
    first = next((pair.left or pair.right for pair in pairs if not pair.same), None)
    where = f"; first: {clip(first.text, 60)}" if first is not None else ""
    return Section("Syscalls", pairs, note, one_sided(pairs) or f"{counted(pairs)}{where}")


def _process(number: int, group: tuple[int, list[Syscall]] | None) -> Line | None:
    if group is None:
        return None
    pid, calls = group
    # The pid is another in each run.
    return Line(f"process {pid}, {len(calls)} calls", key=f"process {number}", kind="process")


def _by_process(calls: list[Syscall]) -> dict[int, list[Syscall]]:
    found: dict[int, list[Syscall]] = {}
    for call in calls:
        found.setdefault(call.pid, []).append(call)
    return found


def call_line(call: Syscall, mapped: Mapped) -> Line:
    """Return a call as a line that is compared without its addresses; `mapped` is what its run has mapped."""
    name, arguments, result = call_words(call)
    path = f" {safe_line(call.path, 200)}" if call.path is not None and not call.arguments else ""
    told = f"{name}({arguments})"
    answered = f"  by rule {short(call.rule, 60)}" if call.rule else ""
    return Line(
        f"{clip(told, 240)} = {result}{path}{answered}",
        key=call_key(call, mapped) + ("  by a rule" if call.rule else ""),
        link=f"ev:syscall/{call.seq}",
        kind=name,
    )


# --- what it printed ---------------------------------------------------------------------------------------


def printed(left: RunView, right: RunView) -> Section:
    """Compare what the programs printed; dates and times are not compared."""
    pairs, cut = align(_printed(left), _printed(right))
    note = f"{cut} lines are left out: the runs differ too much there." if cut else ""
    return Section("Printed", pairs, note, one_sided(pairs))


def _printed(view: RunView) -> list[Line]:
    names = ["guest.log"] if view.logs.get("guest.log") else ["stdout.log", "stderr.log"]
    return [
        Line(text, key=without_clocks(text), link=f"ev:log/{name}#L{number}")
        for name in names
        for number, text in enumerate((short(line, 400) for line in view.logs.get(name, [])[:MAX_PRINTED]), 1)
        if text.strip()
    ]


# --- frames ------------------------------------------------------------------------------------------------


def frames(left: RunView, right: RunView) -> Section:
    """Compare the frames: by function where the architectures differ, else by the place in the module."""
    same = left.snapshot.target.arch == right.snapshot.target.arch
    lists = [
        [_frame(frame, same) for frame in view.snapshot.backtrace.frames[:MAX_FRAMES]]
        for view in (left, right)
    ]
    pairs, _ = align(*lists)
    note = "" if same else "The architectures differ: frames are compared by function and module."
    gist = one_sided(pairs) or _innermost(left, right) or counted(pairs)
    return Section("Backtrace", pairs, note if pairs else "", gist)


def _innermost(left: RunView, right: RunView) -> str:
    """Return the innermost functions that are known by name, where they differ."""
    first, second = (
        next((short(frame.func_name, 40) for frame in view.snapshot.backtrace.frames if frame.func_name), "")
        for view in (left, right)
    )
    return f"innermost: {first} → {second}" if first and second and first != second else ""


def _frame(frame: Frame, exact: bool) -> Line:
    module, name = frame.module_name or "", frame.func_name or ""
    known = bool(module) and frame.module_offset is not None
    inside = f"+{frame.func_offset:#x}" if name and frame.func_offset is not None else ""
    # The address itself says nothing where the module lies elsewhere.
    place = f"{module}+{frame.module_offset:#x}" if known else module or f"{frame.addr:#x}"
    function = f"{name}{inside}" if name else "?" if known else f"{frame.addr:#x}"
    exactly = place if known else f"{function} {place}"
    return Line(
        safe_line(f"{function}  {place}", 200),
        key=safe_line(exactly if exact or not name else f"{name} {module}", 200),
        link=f"ev:frame/{frame.idx}",
        kind=safe_line(name or module, 100),
    )


# --- registers ---------------------------------------------------------------------------------------------


def registers(left: RunView, right: RunView) -> Section:
    """Compare the registers of the frozen threads, by name; by role where they have other names."""
    sets = [{one.name: one for one in view.snapshot.regs[:MAX_REGISTERS]} for view in (left, right)]
    leads = [_leads(view) for view in (left, right)]
    arches = [short(view.snapshot.target.arch, 20) for view in (left, right)]
    roles = [_roles(view.snapshot) for view in (left, right)]
    if set(sets[0]) == set(sets[1]) or not all(sets) or not all(roles):
        lists = [
            {name: _register(name, one, lead) for name, one in found.items()}
            for found, lead in zip(sets, leads, strict=True)
        ]
        pairs = by_name(*lists)
        other = [pair.left or pair.right for pair in pairs if not pair.same]
        names = ", ".join(line.kind for line in other if line is not None)
        note = "" if arches[0] == arches[1] or not all(sets) else _other(arches)
        return Section("Registers", pairs, note, one_sided(pairs) or names)
    lists = [
        {role: _register(name, found[name], lead, role, meaning) for role, (name, meaning) in known.items()}
        for found, known, lead in zip(sets, roles, leads, strict=True)
    ]
    rest = [
        len(set(found) - {name for name, _ in known.values()})
        for found, known in zip(sets, roles, strict=True)
    ]
    note = f"{_other(arches)} Registers are compared by role; {rest[0]} and {rest[1]} have no counterpart."
    return Section("Registers", by_name(*lists), note, f"by role: {arches[0]} and {arches[1]}")


def _other(arches: list[str]) -> str:
    return f"The architectures differ: {arches[0]} and {arches[1]}."


def _register(name: str, one: Register, leads: dict[str, str], role: str = "", meaning: str = "") -> Line:
    value = one.value if isinstance(one.value, str) else f"{one.value:#x}"
    head = f"{role:<16} {short(name, 12)}" if role else f"{short(name, 12):<6}"
    what = meaning or leads.get(name, "")
    return Line(
        f"{head} {short(value, 80)}" + (f"  {what}" if what else ""),
        key=meaning or short(value, 80),
        link=f"ev:reg/{name}",
        kind=short(role or name, 20),
    )


def _leads(view: RunView) -> dict[str, str]:
    """Return where the registers of the frozen thread lead, as far as what was recorded tells."""
    thread = next((one for one in threads_of(view.snapshot) if one.cause), None)
    if thread is None:
        return {}
    pointers = Pointers(view, thread.process, thread.maps)
    pointers.with_regions()
    chains = {one.name: pointers.follow(one.value) for one in thread.registers[:MAX_REGISTERS]}
    return {
        name: "".join(text for text, _ in chain_parts(pointers, chain, _LED).parts)
        for name, chain in chains.items()
        if chain is not None
    }


def _roles(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """Return what the ABI uses registers for: role to the register's name, and its value in words if any."""
    from triage_tui.guest.arch import by_name as arch_of

    try:
        arch = arch_of(snapshot.target.arch)
    except TriageError:
        return {}
    values = {one.name: one.value for one in snapshot.regs}
    number = values.get(arch.syscall_number)
    call = arch.syscall_name(number) if isinstance(number, int) else None
    top = next(iter(snapshot.backtrace.frames), None)
    roles = {
        "pc": (arch.pc, f"in {short(top.func_name, 40)}" if top is not None and top.func_name else ""),
        "sp": (arch.sp, ""),
        "return address": (arch.lr or "", ""),
        "frame pointer": (arch.fp or "", ""),
        "syscall number": (arch.syscall_number, call or ""),
        **{f"argument {n}": (name, "") for n, name in enumerate(arch.syscall_args, 1)},
        "return value": (arch.syscall_return, ""),
    }
    return {role: found for role, found in roles.items() if found[0] in values}


# --- descriptors -------------------------------------------------------------------------------------------


def descriptors(left: RunView, right: RunView) -> Section:
    """Compare the descriptors by number; inode numbers of pipes and sockets are not compared."""
    lists = [
        {str(one.fd): _descriptor(one.fd, one.state or one.target, one.flag_names) for one in found}
        for found in (view.snapshot.fds[:MAX_DESCRIPTORS] for view in (left, right))
    ]
    pairs = by_name(*lists)
    return Section("Descriptors", pairs, gist=one_sided(pairs) or counted(pairs))


def _descriptor(fd: int, target: str, flags: list[str]) -> Line:
    text = safe_line(f"{fd:<3} {target}" + (f"  {'|'.join(flags)}" if flags else ""), 300)
    return Line(text, key=without_inodes(text), link=f"ev:fd/{fd}")
