"""Say what this machine can do, what is missing, what that costs, and what mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest import arch as architectures
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.emulator import qemu
from triage_tui.guest.emulator.qemu import find_qemu, qemu_version
from triage_tui.rulehost.client import RuleHost
from triage_tui.telemetry import dependencies
from triage_tui.telemetry.checks import Check
from triage_tui.telemetry.kernel import (
    cell_features,
    notification_features,
    tracing_features,
)
from triage_tui.telemetry.kernel_checks import carrier_checks, cell_checks, notification_checks
from triage_tui.telemetry.settings import unusable_settings
from triage_tui.text import number_of, safe_line

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
FULL = ("arm", "aarch64", "mipsel")
"""Architectures that are tested from start to verdict."""


def examine() -> list[Check]:
    """Look at everything that a run needs or gains from. Nothing on the machine is changed."""
    lacking = dependencies.lacking()
    lost = {found.dependency.package for found in lacking}
    notification, tracing, cell = notification_features(), tracing_features(), cell_features()
    checks: list[Callable[[], list[Check]]] = [
        _kernel,
        lambda: _packages(lacking),
        _settings,
        own_knowledge,
        lambda: notification_checks(notification, tracing),
        lambda: cell_checks(cell),
        lambda: carrier_checks(notification, tracing),
        _emulators,
        _executed,
        *([] if "lupa" in lost else [_rules]),
        _code_view,
        _tools,
        _user,
    ]
    return [result for check in checks for result in check()]


_MOST_HIDING = 4
"""Overrides that are named; `triage-tui rules published` names all."""


def examine_rules(directory: Path) -> list[Check]:
    """Say which functions, hooks and settings of a rule directory of SFEmu are given, differ, or are missing.

    Raises:
        TriageError: it is none, or cannot be read.
    """
    from triage_tui.sfemu import lookup
    from triage_tui.sfemu.rules_dir import find
    from triage_tui.sfemu.running.capabilities import capabilities

    rules = find(directory)
    if rules is None:
        shown = safe_line(str(directory), 200)
        raise TriageError(f"{shown} is no rule directory of SFEmu: it has no entry.lua")
    found = [
        Check(name=one.name, grade=one.grade, found=one.found, cost=one.cost) for one in capabilities(rules)
    ]
    files = lookup.rule_files(rules)
    told = lookup.what_hides(files)
    return [
        *found,
        Check(
            name="rule files",
            grade="limited" if told else "ok",
            found="; ".join(told[:_MOST_HIDING]) or f"{number_of(len(files), 'file')}, none hides another",
            cost="SFEmu asks the first file of a syscall only" if told else "",
        ),
    ]


def exit_code(checks: Iterable[Check]) -> int:
    """Return 0 when a guest can be run here, whatever is limited; 1 when something needed is missing."""
    found = list(checks)
    emulators = [check for check in found if check.name.startswith("emulator ")]
    lacking = any(check.needed and check.grade == "missing" for check in found)
    return 1 if lacking or all(check.grade == "missing" for check in emulators) else 0


def schema() -> dict[str, Any]:
    """Return the JSON Schema of one line of `triage-tui doctor --json`, kept in docs/schemas."""
    document = msgspec.json.schema(Check)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "triage-tui doctor",
        **document,
    }


def _kernel() -> list[Check]:
    system = os.uname()
    supported = system.sysname == "Linux" and system.machine in ("x86_64", "aarch64")
    return [
        Check(
            name="system",
            grade="ok" if supported else "missing",
            found=f"{system.sysname} {system.release} on {system.machine}",
            cost="" if supported else "guests are supervised on Linux for x86-64 (and aarch64) only",
            needed=True,
        )
    ]


def _packages(lacking: list[dependencies.Lacking]) -> list[Check]:
    if not lacking:
        return [Check(name="Python packages", grade="ok", found=dependencies.versions(), needed=True)]
    return [msgspec.convert(found.as_check(), Check) for found in lacking]


def _settings() -> list[Check]:
    return [
        Check(
            name=f"variable {variable}",
            grade="missing",
            found=why,
            cost="no guest is run while it is set to this",
            mend=f"unset {variable}",
            needed=True,
        )
        for variable, why in unusable_settings().items()
    ]


def own_knowledge() -> list[Check]:
    """What a person's own knowledge base files come to; nothing is said where there are none."""
    try:
        from triage_tui.diagnosis.knowledge import read_knowledge
        from triage_tui.rule_places import user_directories

        directories = user_directories()
        base = read_knowledge(map(Path, directories)) if directories else None
    except (ImportError, TriageError):
        # A missing package, and a directory that is not there, are told elsewhere.
        return []
    if base is None:
        return []
    own = sum(not entry.shipped for entry in base.entries)
    if not base.mistakes:
        found = f"{number_of(own, 'entry', 'entries')} of your own"
        return [Check(name="knowledge base", grade="ok", found=found)]
    more = f" (and {len(base.mistakes) - 1} more)" if len(base.mistakes) > 1 else ""
    return [
        Check(
            name="knowledge base",
            grade="limited",
            found=f"{base.mistakes[0].sentence()}{more}",
            cost="entries with mistakes are left out of a diagnosis",
            mend="triage-tui kb lint",
        )
    ]


def _emulators() -> list[Check]:
    checks = []
    # It is said once what is wrong with the directory that was given.
    unusable = unusable_settings()
    for name in architectures.known_names():
        machine = architectures.by_name(name)
        try:
            path = find_qemu(machine, use_given=qemu.DIRECTORY_VARIABLE not in unusable)
        except TriageError as error:
            given = isinstance(error, qemu.GivenDirectoryError)
            checks.append(
                Check(
                    name=f"emulator {name}",
                    grade="missing",
                    found="none",
                    cost=f"no {name} program can be run: {error}",
                    mend=f"unset {qemu.DIRECTORY_VARIABLE}" if given else "triage-tui setup",
                )
            )
            continue
        tested = name in FULL
        checks.append(
            Check(
                name=f"emulator {name}",
                grade="ok" if tested else "limited",
                found=f"{path} ({qemu_version(path)})",
                cost="" if tested else "supervised by the same tables, but not tested from start to verdict",
            )
        )
    return checks


def _executed() -> list[Check]:
    """What becomes of programs that a guest executes; binfmt_misc makes no difference to that."""
    try:
        entries = (one.name for one in _BINFMT.iterdir() if one.name not in ("register", "status"))
        registered = sum(name.startswith("qemu-") for name in entries)
    except OSError:
        registered = 0
    unused = f"; the {number_of(registered, 'emulator')} in binfmt_misc are not used" if registered else ""
    return [
        Check(
            name="executed programs",
            grade="ok",
            found="each runs under its emulator; with run --exec refuse the answer to an execve is that of a "
            f"kernel without binfmt_misc{unused}",
        )
    ]


def _rules() -> list[Check]:
    access = RuleAccess(architectures.by_name("arm"))
    try:
        with RuleHost([], access) as host:
            status = host.status()
    except TriageError as error:
        return [
            Check(
                name="rule host",
                grade="missing",
                found=str(error),
                cost="no rule can act, and what rules could mend stays broken",
                mend="pip install --force-reinstall lupa",
            )
        ]
    lacking = [line for line in status if line.startswith("missing: ")]
    return [
        Check(
            name="rule host",
            grade="limited" if lacking else "ok",
            found="; ".join(line for line in status if line not in lacking),
            cost="; ".join(lacking),
        )
    ]


def _code_view() -> list[Check]:
    """What helps to understand code, and is no dependency."""
    angr = _version("angr")
    return [
        Check(
            name="decompiler",
            grade="ok" if angr else "limited",
            found=f"angr {angr}" if angr else "none",
            cost="" if angr else "the code pane shows disassembly, unless an analysis directory is given",
            mend="" if angr else "pip install angr",
        ),
        _model(),
        Check(
            name="outside agents",
            grade="ok" if (mcp := _version("mcp")) else "limited",
            found=f"mcp {mcp}" if mcp else "none",
            cost="" if mcp else "`triage-tui mcp` cannot offer the runs to agents",
            mend="" if mcp else "pip install 'triage-tui[mcp]'",
        ),
    ]


def _model() -> Check:
    """Whether a model can be asked. None is needed, so none that is set up is no lack."""
    cost = "no second opinion; everything else is the same without it"
    litellm = _version("litellm")
    if litellm is None:
        mend = "pip install 'triage-tui[model]'"
        return Check(name="model", grade="limited", found="none", cost=cost, mend=mend)
    from triage_tui.analyst.settings import NotConfigured, load_settings

    try:
        settings = load_settings()
    except NotConfigured:
        return Check(name="model", grade="ok", found=f"litellm {litellm}, no model is set up")
    except TriageError as error:
        mend = "see docs/analyst-model.md"
        return Check(name="model", grade="limited", found=str(error), cost=cost, mend=mend)
    where = settings.url or "its provider"
    return Check(name="model", grade="ok", found=f"litellm {litellm}, {settings.model} at {where}")


def _version(package: str) -> str | None:
    """Return the version of an installed package without importing it."""
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _tools() -> list[Check]:
    path = shutil.which("gdb-multiarch") or shutil.which("gdb")
    many = path is not None and path.endswith("gdb-multiarch")
    return [
        Check(
            name="debugger",
            grade="ok" if many else "limited",
            found=path or "none",
            cost="" if many else "back traces cannot be compared with those of gdb; no run needs it",
            mend="" if many else "apt-get install gdb-multiarch",
        )
    ]


def _user() -> list[Check]:
    if os.geteuid() != 0:
        return [Check(name="user", grade="ok", found=f"uid {os.geteuid()}")]
    return [
        Check(
            name="user",
            grade="limited",
            found="root",
            cost="guests get an unprivileged host id, which needs Linux 5.19; an ordinary user is better",
            mend="run it as an ordinary user",
        )
    ]
