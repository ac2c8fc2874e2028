"""`start.json`: how a run was started, so that a retry starts in the same way.

It holds the environment's values (which may be secrets of the target) and is readable by its owner only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from triage_tui.errors import TriageError
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.rulebook.start_settings import StartRule
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.runs.writer import START_FILE as START_FILE
from triage_tui.sfemu.deciding import is_taken_over
from triage_tui.text import safe_line

MIN_PROCESSES, MAX_PROCESSES = 16, 32_768
"""Least and most of `Start.max_processes`: QEMU takes a few threads to start."""
RULE_BUDGETS = ("instructions", "memory-kb", "wall-ms", "calls-per-second", "hits")
"""Budgets of one rule that a person can set; a rule's header can only ask for less."""
_FIELDS = {"processor": "processor", "directory": "cwd", "user": "user"}
"""Settings that rules change -> the field of `Start` that holds them as they are."""


class SfemuRules(msgspec.Struct, kw_only=True):
    """A rule directory of SFEmu, which a person said to trust, and the switches of its emulator."""

    directory: str
    idle_ms: int = 5000
    """Time without a call after which `idle` is called, 0 for never (-rules-idle-ms)."""
    keep: int = 256
    """How many files of calls its Lua keeps (-rules-ctx-keep)."""
    shadow_stack: bool = False
    """Whether c_get_shadowstack looks for the call stack (-shadowstack)."""
    target_id: str = ""
    """The name under which what is approved is published into the directory; "": it is not."""

    def __post_init__(self) -> None:
        """Refuse switches that are none.

        Raises:
            TriageError: a number is negative or too large.
        """
        if not 0 <= self.idle_ms <= 3_600_000 or not 0 <= self.keep <= 1_000_000:
            raise TriageError("idle time and kept files of a rule directory are numbers from 0 on")


class Start(msgspec.Struct, kw_only=True):
    """What the person asked to run. Times are seconds."""

    program: str
    argv: list[str]
    rootfs: str | None = None
    cwd: str = "/"
    env: dict[str, str] = {}
    stdin: str = "null"
    user: int = 0
    interfaces: list[str] = []
    """Names of network interfaces that the guest has besides `lo`."""
    qemu_args: list[str] = []
    processor: str = ""
    """Model of the processor, empty for what the emulator or `qemu_args` choose."""
    triggers: TriggerLimits = TriggerLimits()
    """When to freeze it."""
    probes: list[str] = []
    """Questions to its service, in the form of `probe.parse_question`; none: whatever it listens on."""
    probing: bool = True
    """Whether its service is asked at all."""
    memory: Literal["small", "full"] = "small"
    """How much of its memory is kept at a stop: the pieces that explain it, or all."""
    observe: Literal["full", "watched"] = "full"
    """Every syscall, or only those that rules may hook."""
    exec_policy: Literal["emulate", "refuse"] = "emulate"
    """What an execve of a foreign program gets: its emulator, or ENOEXEC."""
    checkpoint: bool = False
    """Whether a checkpoint is taken at each stop, where that can be, for retries to go on from."""
    full_trace: bool = False
    """Whether the text of all calls goes into the run record."""
    logs: list[str] = []
    """Host paths of logs that are put beside each stop, lined up by their times."""
    max_processes: int = 256
    """Most processes and threads of the guest together."""
    allow_root: bool = False
    carrier: str = ""
    """How its calls are held, one of the guest's `CARRIERS`; empty leaves the choice."""
    sfanalysis: str | None = None
    """Host directory of SFAnalysis results of the firmware."""
    sfemu: SfemuRules | None = None
    """A rule directory of SFEmu that runs in place of the rulebook's rules."""
    seed: int = 0
    """Unix time in nanoseconds at which its rounds began, 0 for none: the rules' clock begins there in each
    of them, and the emulator's pseudo-random numbers follow from it."""
    allow: list[str] = []
    """Host calls that containment lets the guest make, by name."""
    rule_budget: dict[str, int] = {}
    """Budgets of the rule host that differ from its own: names of `RULE_BUDGETS`."""
    rule_failure: Literal["", "open", "closed"] = ""
    """What the guest gets where a rule fails; empty leaves it to the rule's header."""

    def __post_init__(self) -> None:
        """Refuse limits and budgets that are none.

        Raises:
            TriageError: a limit that is too small or too large, a name that is not known, or an amount that
                is not positive.
        """
        if not MIN_PROCESSES <= self.max_processes <= MAX_PROCESSES:
            raise TriageError(
                f"the guest cannot have at most {self.max_processes} processes and threads: "
                f"give {MIN_PROCESSES} to {MAX_PROCESSES}"
            )
        for name, amount in self.rule_budget.items():
            if name not in RULE_BUDGETS or amount < 1:
                known = ", ".join(RULE_BUDGETS)
                raise TriageError(
                    f"{safe_line(name, 40)}={amount} is no rule budget: give {known} a positive number"
                )


def with_settings(start: Start, rules: Iterable[StartRule]) -> Start:
    """Return a start with what active rules change of it; `start` itself stays what a person asked for."""
    changes: dict[str, object] = {}
    environment, interfaces = dict(start.env), list(start.interfaces)
    for rule in rules:
        match rule.setting, rule.value:
            case "environment", dict() as variables:
                for name, value in variables.items():
                    environment.pop(name, None)
                    if value is not None:
                        environment[name] = value
            case "interfaces", tuple() as names:
                interfaces += [name for name in names if name not in interfaces]
            case "arguments", tuple() as vector:
                changes["argv"] = list(vector)
            case "helpers", emulate:
                changes["exec_policy"] = "emulate" if emulate else "refuse"
            case setting, value:
                changes[_FIELDS[setting]] = value
    return msgspec.structs.replace(start, env=environment, interfaces=interfaces, **changes)


def write_start(run_dir: Path, start: Start) -> None:
    """Keep `start` with a run."""
    # Arguments and paths may hold any byte; the escapes of ASCII JSON keep those that are no UTF-8.
    text = json.dumps(msgspec.to_builtins(start), indent=1)
    write_atomic(run_dir / START_FILE, text + "\n", mode=0o600)


def read_start(run_dir: Path) -> Start:
    """Return how a run was started.

    Raises:
        TriageError: the run does not say (it is from elsewhere, or its file is damaged).
    """
    path = run_dir / START_FILE
    if not path.exists() and is_taken_over(run_dir):
        raise TriageError(
            f"run {run_dir.name} was made under SFEmu, which alone knows how it was started: start it there"
        )
    if not path.exists():
        raise TriageError(
            f"run {run_dir.name} cannot be retried here: {START_FILE} (how it was started) is missing"
        )
    try:
        start = msgspec.convert(json.loads(read_bounded(path, 4 << 20, whole=True)), Start)
        start.triggers.check()
        return start
    except (ValueError, RecursionError, TriageError) as error:
        reason = safe_line(str(error), 200)
        raise TriageError(f"{START_FILE} of run {run_dir.name} is damaged: {reason}") from error
