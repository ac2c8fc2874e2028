"""Start a guest with the rules that are active for its target, and change its rules while it is frozen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from triage_tui.errors import TriageError
from triage_tui.guest.calls.access import RuleAccess
from triage_tui.guest.cell.policy import ContainmentPolicy
from triage_tui.guest.checkpoint.guest_side import GoesOn
from triage_tui.guest.checkpoint.obstacles import START_OVER
from triage_tui.guest.freezing.stops import Stop
from triage_tui.guest.spec import (
    LaunchSpec,
    ResourceLimits,
    architecture_of,
    carrier_of_environment,
    resolve_target,
)
from triage_tui.guest.supervisor import Guest
from triage_tui.retry.addresses import AddressNames
from triage_tui.retry.checkpoints import goes_on
from triage_tui.retry.probe import parse_question, prober
from triage_tui.retry.sfemu_rules import patient, sfemu_host
from triage_tui.retry.start import Start, with_settings
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations, layers
from triage_tui.rulebook.generations import Generation
from triage_tui.rulebook.layers import LayeredRule
from triage_tui.rulebook.layers_in_words import started_in_words
from triage_tui.rulebook.places import OWN, target_directory
from triage_tui.rulebook.start_settings import StartRule, start_rules
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.sources import Limits
from triage_tui.runs.model import AT_START, RuleHit, StartSetting
from triage_tui.runs.reader import Run
from triage_tui.text import recordable, safe_line

if TYPE_CHECKING:
    from triage_tui.sfemu.running.directory import DirectoryHost

Narrator = Callable[[str], None]
Wanted = Callable[[], bool | str]
"""Whether a person wants the running guest frozen, or why its time is over; see `Guest.run_until_stop`."""

MAX_TOLD_LINES = 200
"""Lines of one guest's output that are narrated."""


def launch_spec(start: Start) -> LaunchSpec:
    """Return the engine's form of a start."""
    stdin = start.stdin if start.stdin in ("null", "open") else Path(start.stdin)
    return LaunchSpec(
        program=start.program,
        argv=list(start.argv),
        rootfs=Path(start.rootfs).absolute() if start.rootfs is not None else None,
        cwd=start.cwd,
        env=dict(start.env),
        stdin=cast("Path", stdin),
        user=start.user,
        interfaces=list(start.interfaces),
        qemu_args=list(start.qemu_args),
        seed=start.seed,
        processor=start.processor,
        allow_root=start.allow_root,
        observe=start.observe,
        exec_policy=start.exec_policy,
        full_trace=start.full_trace,
        checkpoint=start.checkpoint,
        triggers=patient(start),
        target_id=start.sfemu.target_id if start.sfemu is not None else "",
        limits=ResourceLimits(processes=start.max_processes),
        carrier=start.carrier or carrier_of_environment(),
    )


def rule_limits(start: Start) -> Limits:
    """Return the rule host's budgets as a start sets them."""
    budget, default = start.rule_budget, Limits()
    return replace(
        default,
        instructions=budget.get("instructions", default.instructions),
        memory_bytes=budget["memory-kb"] << 10 if "memory-kb" in budget else default.memory_bytes,
        wall_seconds=budget["wall-ms"] / 1000 if "wall-ms" in budget else default.wall_seconds,
        calls_per_second=budget.get("calls-per-second", default.calls_per_second),
        hits=budget.get("hits", default.hits),
    )


class RunningGuest:
    """A guest, the rule host that answers for it, and the generation of rules that it runs with."""

    def __init__(
        self,
        workspace: Workspace,
        start: Start,
        narrate: Narrator,
        cancel: threading.Event,
        asks_person: bool = False,
        before: Run | None = None,
    ) -> None:
        """Start the guest, frozen before its first instruction.

        `asks_person`: where a rule directory of SFEmu prompts, the guest is frozen for a person. With
        `before` it stands where the checkpoint of that run was taken.

        Raises:
            TriageError: it cannot be run, or its active rules were changed; nothing is left behind.
        """
        spec = launch_spec(start)
        # A target is what a person asked to run, whatever rules change of its start.
        self.target, elf = resolve_target(spec)
        self._rulebook = workspace.rulebook
        names = AddressNames()
        self._access = RuleAccess(architecture_of(elf, spec.program), names.describe, names.callers)
        self._start = start
        self._clock_offset_ns = start.seed - time.monotonic_ns() if start.seed else None
        """What the rules' clock adds to the monotonic one: in every round it begins at the seed."""
        self._host: RuleHost | DirectoryHost | None = None
        self._directory = sfemu_host(start, spec, self._access, asks_person, narrate, cancel.is_set)
        self._past_hits: dict[tuple[str, str, str], RuleHit] = {}
        self._past_log: list[str] = []
        self.generation: Generation | None = None
        """The active generation of the target, one of the layers."""
        self._rules: list[LayeredRule] = []
        self._load_rules()
        self._settings: list[StartRule] = []
        asker = prober(parse_question(text) for text in start.probes) if start.probing else None
        try:
            self._settings = self._active_settings()
            if self._settings:
                spec = launch_spec(with_settings(start, self._settings))
                self._describe(spec)
            self.goes_on = self._checkpoint(before, spec) if before is not None else None
            self.guest = Guest.start(
                spec,
                self._host,
                _listener(narrate),
                cancel,
                ContainmentPolicy.allowing(start.allow),
                access=self._access,
                prober=asker,
                goes_on=self.goes_on,
            )
        except BaseException as error:
            self._close_host()
            if self._settings and isinstance(error, TriageError):
                raise TriageError(f"{error} (it was started with {self._settings_in_words()})") from error
            raise
        if self._directory is not None:
            self._directory.attach(self.guest)
        for told in started_in_words(self._as_loaded()) if self._directory is None else ():
            narrate(told)
        if before is not None and self.goes_on is not None:
            call = safe_line(self.goes_on.checkpoint.facts.call, 60)
            narrate(
                f"it goes on from the checkpoint of run {before.run_id}, at {call}: "
                f"{self.guest.restored_by} calls restored it"
            )
        if self._settings:
            narrate(f"started with {self._settings_in_words()}")
        if self.guest.carrier != "seccomp-notify":
            held = next(note for note in self.guest.contained if note.startswith("seccomp"))
            narrate(f"watched calls cost more in this run: {held}")

    def _checkpoint(self, before: Run, spec: LaunchSpec) -> GoesOn:
        """Return what to go on from.

        Raises:
            TriageError: there is no checkpoint that fits.
        """
        if self._directory is not None:
            raise TriageError("a guest with a rule directory of SFEmu starts over: its Lua kept a state")
        then = [(one.setting, one.says) for one in before.snapshot.start_settings]
        if [(one.setting, one.says) for one in self._settings] != then:
            raise TriageError(
                "the active rules change how the program is started, which a checkpoint is too late for: "
                f"{START_OVER}"
            )
        return goes_on(before, spec, self.target)

    def run(self, cancel: threading.Event, wanted: Wanted) -> Stop:
        """Let the guest run until it is frozen, by itself or because it is `wanted`, or gone."""
        return self.guest.run_until_stop(cancel, wanted)

    def resume(self, cancel: threading.Event, wanted: Wanted) -> Stop:
        """Let the frozen guest go on with the rules that are active now.

        Raises:
            TriageError: a rule hooks a call that this process is not watched at, or changes how it is
                started, so it must start again.
        """
        before = self._host
        self._load_rules()
        try:
            if _values(self._active_settings()) != _values(self._settings):
                raise TriageError("the active rules change how the program is started")
            self.guest.resume(self._host)
        except TriageError:
            if self._host is not before:
                self._close_host()
            self._host = before
            raise
        if before is not None and before is not self._host:
            self._remember_hits(before)
            self._past_log += before.log
            before.close()
        return self.guest.run_until_stop(cancel, wanted)

    def rule_hits(self) -> list[RuleHit]:
        """Return what each rule did, rules that were replaced by a resume included."""
        hits = dict(self._past_hits)
        for hit in self._host.hits() if self._host is not None else []:
            hits[_key(hit)] = _added(hits.get(_key(hit)), hit)
        layer_of = {rule.sha256: rule.layer for rule in self._rules}
        applied = (_applied(one, layer_of.get(one.sha256, "target")) for one in self._settings)
        return [*hits.values(), *applied]

    def start_settings(self) -> list[StartSetting]:
        """Return what rules changed of the start."""
        return [StartSetting(rule=one.rule, setting=one.setting, says=one.says) for one in self._settings]

    @property
    def rule_clock_offset_ns(self) -> int:
        """What the rules' clock adds to the times of the record, 0 without rules."""
        return self._host.clock_offset_ns if self._host is not None else 0

    def problems(self) -> list[str]:
        """Return what went wrong in the supervision, failed rules included, one sentence each."""
        return list(self.guest.problems)

    def rule_log(self) -> list[str]:
        """Return what rules logged and why some were switched off, untrusted text."""
        said = [*self._past_log, *self.guest.rule_log]
        return said + (self._host.log if self._host is not None else [])

    def end(self) -> None:
        """End the guest and its rule host; may be repeated."""
        self.guest.end()
        self._close_host()

    def _as_loaded(self) -> list[LayeredRule]:
        """Return the rules; those that could not be loaded say why."""
        hits = self._host.hits() if isinstance(self._host, RuleHost) else []
        # By their order: files of the same text have the same id and the same SHA-256.
        asked = zip(layers.asked(layers.acting(self._rules)), hits, strict=True)
        failed = {id(rule): hit.disabled for rule, hit in asked if hit.disabled is not None and not hit.calls}
        return [replace(rule, problem=failed.get(id(rule), rule.problem)) for rule in self._rules]

    def _settings_in_words(self) -> str:
        return ", ".join(f"{one.says} by rule {one.rule}" for one in self._settings)

    def _active_settings(self) -> list[StartRule]:
        """Return the start settings of the rules that were loaded.

        Raises:
            TriageError: one cannot be applied, or two of them do not agree.
        """
        acting = layers.acting(self._rules)
        by_layer: dict[Path, dict[str, bytes]] = {}
        for rule in acting:
            by_layer.setdefault(rule.directory, {})[rule.name] = rule.source
        return start_rules(*by_layer.values())

    def _describe(self, spec: LaunchSpec) -> None:
        """Have the record say how the program is really started."""
        self.target.argv = [recordable(argument) for argument in spec.argv]
        self.target.cwd = recordable(spec.cwd)
        self.target.env_keys = sorted(map(recordable, spec.env))

    def _load_rules(self) -> None:
        target = self.target.target_id
        self.generation = generations.current(target_directory(self._rulebook, target))
        # A rule directory of SFEmu has what was approved in files of its own.
        self._rules = layers.layered(self._rulebook, target) if self._directory is None else []
        acting = layers.acting(self._rules)
        sources = layers.to_sources(acting)
        if (self._rulebook / OWN).is_dir():
            layers.note_own(self._rulebook, target, acting)
        if failure := self._start.rule_failure:
            sources = [replace(rule, budget=replace(rule.budget, on_failure=failure)) for rule in sources]
        if self._directory is not None:
            self._host = self._directory
        elif sources:
            limits = rule_limits(self._start)
            self._host = RuleHost(sources, self._access, limits, self._clock_offset_ns)
        else:
            self._host = None

    def _remember_hits(self, host: RuleHost | DirectoryHost) -> None:
        for hit in host.hits():
            self._past_hits[_key(hit)] = _added(self._past_hits.get(_key(hit)), hit)

    def _close_host(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None


def _key(hit: RuleHit) -> tuple[str, str, str]:
    """Return what tells rules apart: one that was edited while the guest was frozen is another."""
    return hit.rule, hit.syscall, hit.sha256


def _values(settings: list[StartRule]) -> list[object]:
    """Return what rules set, whatever else is different about them."""
    return [(one.setting, one.value) for one in settings]


def _applied(rule: StartRule, layer: str) -> RuleHit:
    """Return the account of a rule that changed the start: that was its one hit."""
    return RuleHit(
        rule=rule.rule,
        sha256=rule.sha256,
        layer=layer,
        template=rule.template,
        syscall=AT_START,
        hits=1,
        calls=1,
        matches=1,
    )


def _added(past: RuleHit | None, hit: RuleHit) -> RuleHit:
    """Return the account of a rule over two of its lives; its state is that of the later one."""
    if past is not None:
        for name in ("hits", "matches", "calls", "errors", "skipped", "time_total_us"):
            setattr(hit, name, getattr(hit, name) + getattr(past, name))
        hit.time_max_us = max(hit.time_max_us, past.time_max_us)
        hit.asked_restart = hit.asked_restart or past.asked_restart
    return hit


def _listener(narrate: Narrator) -> Callable[[str, str], None]:
    """Turn the guest's events into narration: its lines, up to a limit, and each problem."""
    rest = ""
    told = 0

    def on_event(kind: str, text: str) -> None:
        nonlocal rest, told
        if kind != "output":
            narrate(f"{kind}: {text}")
            return
        if told > MAX_TOLD_LINES:
            return
        *lines, rest = (rest + text).split("\n")
        # A line without an end must not grow without an end.
        rest = rest[-4096:]
        for line in lines[: MAX_TOLD_LINES - told]:
            narrate(f"guest: {line}")
        told += len(lines)
        if told > MAX_TOLD_LINES:
            narrate(
                f"the guest prints more than {MAX_TOLD_LINES} lines: the rest is only kept in logs/guest.log"
            )

    return on_event
