"""Run directories, rulebooks and settings in which every text is an attack."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import msgspec

from tests.campaign.states import happened, on_disk, state_of, target
from tests.hostile.corpus import ATTACKS, BLOCK, FILE_NAMES, SIZE
from tests.ui import fixtures
from triage_tui.campaign.model import Need, Outcome, Progress, RuleOutcome
from triage_tui.runs.analysis_model import Step
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.memory_model import MemoryField
from triage_tui.runs.model import Printed, Probe, RuleHit, Unavailable
from triage_tui.runs.reader import load_run
from triage_tui.runs.writer import encode_json
from triage_tui.ui.yaml_files import MAX_SCALAR

_KEPT = {
    "reason", "kind", "method", "risk", "source", "file", "pseudocode_file", "link", "sha256", "files",
    "schema_version", "fnv1a32", "guest_output", "diagnosis_md", "regs_txt", "backtrace_txt", "retry_log",
    "confidence", "outcome", "state", "on_failure", "stream", "action", "parent_run", "rootfs",
    "rule", "target_id", "word", "rung", "how", "again", "later",
}  # fmt: skip
"""Fields that keep their value, so that the record can be read and its parts belong together."""
CODE = "code-of-the-frame"
SURROGATES_RUN = "20251118_150000_00000007"


class _Attacks:
    """Gives one attack after the other, so that each meets each kind of field sooner or later."""

    def __init__(self) -> None:
        self._next = itertools.cycle(ATTACKS)

    def text(self) -> str:
        return next(self._next)

    def value(self, value: Any, key: str = "") -> Any:
        """Return a decoded JSON value with every free text replaced."""
        if isinstance(value, dict):
            return {name: self.value(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return value if key in _KEPT else [self.value(item, key) for item in value]
        if isinstance(value, str) and key not in _KEPT:
            return self.text()
        return value


def _richer(run_dir: Path) -> None:
    """Add what the plain run has none of, so that there is a text to replace in every part."""
    snapshot = load_run(run_dir).snapshot
    snapshot.unavailable += [Unavailable(what="x", why="y")] * len(ATTACKS)
    snapshot.rule_hits += [RuleHit(rule="r1", hits=1, syscall="x", disabled="y", asked_restart="z")]
    snapshot.probes += [Probe(target="t", outcome="answered", detail="d", reply="r")] * 4
    snapshot.previous_regs = list(snapshot.regs)
    for process in snapshot.processes:
        process.argv = ["x"] * 40
        process.env_keys = ["K"] * 5
    snapshot.memory[0].kind = "k"
    snapshot.memory[0].fields = [MemoryField(name="f", offset=0, size=4, text="t")] * 4
    for call in snapshot.recent_syscalls[-3:]:
        call.note, call.peer, call.request, call.interface = "n", "p", "r", "i"
        call.printed = Printed(stream="stdout", offset=0, size=40)
    (run_dir / "snapshot.json").write_bytes(encode_json(snapshot))


def plant_run(runs_dir: Path, run_id: str = fixtures.EXIT_RUN) -> Path:
    """A run whose every free text is an attack: snapshot, trace, diagnosis, events, logs, rules, names."""
    make = fixtures.make_retry_run if run_id == fixtures.RETRY_RUN else fixtures.make_exit_run
    run_dir = make(runs_dir, run_id)
    _richer(run_dir)
    attacks = _Attacks()
    link = load_run(run_dir).diagnosis.hypotheses[0].evidence[0].link  # type: ignore[union-attr]
    for name in ("snapshot.json", "diagnosis.json", "verdict.json"):
        path = run_dir / name
        if path.exists():
            data = attacks.value(msgspec.json.decode(path.read_bytes()))
            if name == "diagnosis.json":
                _hostile_diagnosis(data, link)
            path.write_bytes(encode_json(data))
    calls = [msgspec.json.decode(line) for line in (run_dir / "trace.jsonl").read_bytes().splitlines()]
    (run_dir / "trace.jsonl").write_bytes(b"".join(encode_line(attacks.value(one)) + b"\n" for one in calls))
    environment = [f"{attack}={attack}" for attack in ATTACKS] + ["WIFI_PSK=correct-horse"]
    (run_dir / "environment.json").write_bytes(encode_json({2: environment}))
    for name in ("guest.log", "stdout.log", "rules.log", "supervisor.log", *FILE_NAMES):
        (run_dir / "logs" / name).write_bytes(BLOCK)
    for name in ("retry.log", "regs.txt", "backtrace.txt", "diagnosis.md"):
        (run_dir / name).write_bytes(BLOCK)
    for path in sorted((run_dir / "pseudocode").iterdir()):
        path.write_bytes(BLOCK[: 64 << 10] + b"\n" + CODE.encode() + b"\n")
    for path in (run_dir / "rules_patch").rglob("*.lua"):
        path.write_bytes(f"-- id: {ATTACKS[0]}\n".encode() + BLOCK[: 64 << 10])
    for name in FILE_NAMES:
        (run_dir / "rules_patch/fix/syscall" / f"{name}.lua").write_bytes(BLOCK[: 8 << 10])
    for path in sorted((run_dir / "memory").glob("*")):
        path.write_bytes("".join(ATTACKS).encode("utf-8", "surrogatepass")[:4096])
    _hostile_events(run_dir, attacks)
    _hostile_analysis(run_dir)
    return run_dir


def _hostile_analysis(run_dir: Path) -> None:
    """What a model was asked and answered, as another machine may have recorded it."""
    directory = run_dir / "analyst" / "007"
    directory.mkdir(parents=True)
    steps = [
        Step(step=1, kind="tool", phase=attack, wall=attack, tool=attack, arguments=attack, outcome=attack)
        for attack in ATTACKS
    ]
    (directory / "steps.jsonl").write_bytes(b"".join(encode_line(step) + b"\n" for step in steps) + BLOCK)


def _hostile_diagnosis(data: dict[str, Any], link: str) -> None:
    best = data["hypotheses"][0]
    best["source"] = "model"
    # The text of a citation is the model's too.
    best["explanation"] = " ".join(f"{attack} [{attack[:300]}]({link})" for attack in ATTACKS)
    best["wanted"] = list(ATTACKS)
    best["evidence"] += [{"link": attack, "says": attack} for attack in ATTACKS]
    data["unknown_next"] = "\n".join(ATTACKS)
    texts = ("id", "kind", "says", "why", "what_it_would_tell", "cost")
    data["experiments"] = [dict.fromkeys(texts, attack) for attack in ATTACKS]
    data["headline"] = " ".join(a for a in ATTACKS if a not in SIZE)


def _hostile_events(run_dir: Path, attacks: _Attacks) -> None:
    lines = (run_dir / "events.jsonl").read_bytes().splitlines()
    events = [(event["kind"], event["payload"]) for event in map(msgspec.json.decode, lines)]
    hostile = [
        (kind, payload if kind in ("captured", "retry_finished", "retry_started") else attacks.value(payload))
        for kind, payload in events
    ]
    hostile += [("rejected", {"reason": attack}) for attack in ATTACKS]
    hostile += [
        ("experiment_finished", {"id": attack, "learnt": attack, "run": attack}) for attack in ATTACKS
    ]
    fixtures.write_events(run_dir, [*hostile, ("proposed", {"files": ["fix/syscall/ioctl.lua"]})])


def plant_workspace(root: Path) -> Path:
    """A workspace of such runs, and of directories that are no runs; $XDG_CONFIG_HOME goes to `config`."""
    runs_dir = root / "ai_runs"
    plant_run(runs_dir)
    plant_run(runs_dir, fixtures.RETRY_RUN)
    fixtures.make_loop_run(runs_dir)
    for name in FILE_NAMES:
        (runs_dir / name).mkdir()
    surrogates = runs_dir / SURROGATES_RUN
    surrogates.mkdir()
    (surrogates / "snapshot.json").write_text('{"run_id": "\\ud800\\udfff 7777 \\u001b[31m", "reason": 7')
    _plant_rules(root)
    _plant_campaign(root)
    _plant_settings(root / "config" / "triage-tui")
    return root


def _plant_rules(root: Path) -> None:
    target = load_run(root / "ai_runs" / fixtures.EXIT_RUN).snapshot.target.target_id
    directory = root / "rulebook" / target / "current" / "syscall"
    directory.mkdir(parents=True)
    (directory / "ioctl.lua").write_bytes(f"-- id: {ATTACKS[0]}\n".encode() + BLOCK[: 32 << 10])


def _plant_campaign(root: Path) -> None:
    """A campaign with a target for each attack, which has it wherever there is text, and no run."""
    texts = [text for text in ATTACKS if len(text) < 10_000]
    last: dict[int, Progress | Outcome] = {}
    for number, text in enumerate(texts):
        last[number] = Outcome(
            word=text,
            cause=text,
            signature=text,
            headline=text,
            ended=text,
            rules=[RuleOutcome(id=text, template=text, title=text, helped=True)],
            needs=[Need(template=text, subject=text, needs_input=text, risk=text)],
        )
    last[len(texts)] = happened(len(texts), "refused", texts[0])
    targets = [target(number, name=text, group=text) for number, text in enumerate([*texts, texts[0]])]
    state = state_of(targets, last)
    state.campaign.given, state.campaign.emulators = texts, {texts[0]: texts[0]}
    on_disk(root, state)
    on_disk(root, state)


def _plant_settings(config: Path) -> None:
    (config / "themes").mkdir(parents=True)
    # One that is too long has the whole file refused.
    short = [attack for attack in ATTACKS if len(attack) <= MAX_SCALAR]
    texts = {str(number): attack for number, attack in enumerate(short)}
    keys = {**dict.fromkeys(short, "x"), "sort": ATTACKS[0], "story": "▶", "zoom": ATTACKS[-2]}
    (config / "keys.yaml").write_text(msgspec.yaml.encode(keys).decode())
    theme = {"name": ATTACKS[0], "colors": {"primary": "#112233"}, "roles": texts}
    (config / "themes" / "hostile.yaml").write_text(msgspec.yaml.encode(theme).decode())
    (config / "themes" / f"{os.fsdecode(b'n7777')}\n\x1b[31m.yaml").write_text("\x1b[31m: [")
    (config / "settings.yaml").write_text(msgspec.yaml.encode({ATTACKS[0]: ATTACKS[1]}).decode())
