"""One fixture per phase: what is asked with, and that the form in the prompt is the one that is read."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from triage_tui.analyst.briefing import prompt_values
from triage_tui.analyst.preview import preview, system_alone
from triage_tui.analyst.prompts import PHASES, SHIPPED, Prompts
from triage_tui.analyst.replies import Replies, ReplyError
from triage_tui.diagnosis.knowledge import CAUSES
from triage_tui.proposals.templates import load_library
from triage_tui.runs.reader import Run
from triage_tui.runs.redaction import Redaction

_FORM = re.compile(r"```json\n(.*?)```", re.DOTALL)
_HOLDS = {
    "classify": ("causes that come into question", "what would tell them apart"),
    "collect": ("with the tools", "suspicious point"),
    "hypothesize": ("`contrary`", "provide_file:"),
    "propose": ("function do_syscall(num", "c_provide_file", "provide_file:"),
    "refine": ("the retry was judged a failure", "rule_abi"),
    "repair": ("was refused", "c_read_string"),
}
_DATA = {
    "classify": ["target and end", "failed calls, most relevant first", "hypotheses of the knowledge base"],
    "collect": ["last 40 syscalls, oldest first", "end of the program's output"],
    "hypothesize": ["registers", "memory objects"],
    "propose": ["the hypothesis"],
    "refine": ["what was tried, and what came of it"],
    "repair": ["the rule as you wrote it", "why it was refused"],
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase(run: Run, phase: str) -> None:
    found = preview(run, phase, (), Redaction.of(run))
    system, user = (message["content"] for message in found.messages)
    assert found.files[:2] == ("base/common.md", f"base/{phase}.md")
    assert "understanding/generic/missing_resource.md" in found.files
    assert found.files[-1] == "understanding/mips/always.md"
    assert f"# This phase: {phase}" in system
    for text in (*_HOLDS[phase], "missing_interface", "# MIPS"):
        assert text in system
    for title in _DATA[phase]:
        assert re.search(rf"^<<< \w+ {re.escape(title)}$", user, re.MULTILINE), title
    assert 'syscall/3  openat(AT_FDCWD, "/etc/x.conf", O_RDONLY) = -1 ENOENT' in user
    assert bool(found.tools) == (phase == "collect")
    # The example in the prompt is a reply that is understood.
    [form] = _FORM.findall(system)
    assert getattr(Replies(), phase)(form)


@pytest.mark.parametrize("arch", ["armeb", "aarch64", "mips64el", "ppc64le", "i386", "riscv64", "s390x"])
def test_each_family_of_processors_is_told_of(arch: str) -> None:
    found = Prompts().assemble("classify", arch, [], prompt_values())
    assert [name for name in found.names if name.startswith("understanding/")]


def test_the_order_and_the_places_of_prompts(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for name, text in {
        "base/classify.md": "My own words about @causes@.",
        "understanding/generic/printer.md": "applies: missing_device lp0\n\nPrinters.",
        "understanding/mipsel/lp0.md": "Little-endian printers.",
        "understanding/mips/always.md": "MIPS by me.",
        "understanding/arm/lp0.md": "ARM printers.",
    }.items():
        path = mine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    prompts = Prompts([mine])
    found = prompts.assemble("classify", "mipsel", ["lp0"], prompt_values())
    assert found.names == (
        "base/common.md",
        "base/classify.md",
        "understanding/generic/printer.md",
        "understanding/mips/always.md",
        "understanding/mipsel/lp0.md",
    )
    assert "My own words about arguments" in found.text
    assert found.text.endswith("Printers.\n\nMIPS by me.\n\nLittle-endian printers.")
    assert prompts.files["base/classify.md"].replaces == SHIPPED / "base" / "classify.md"
    assert prompts.files["understanding/arm/lp0.md"].replaces is None


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("base/think.md", b"x", "is no prompt"),
        ("understanding/arm/Bad Name.md", b"x", "is no prompt"),
        ("readme.md", b"x", "is no prompt"),
        ("base/classify.md", b"\xff\xfe", "not UTF-8"),
        ("base/classify.md", b"x" * 70_000, "longer than"),
        ("base/classify.md", b"@secrets@", "@secrets@, which stands for nothing"),
    ],
)
def test_a_wrong_prompt_is_named_and_costs_itself_alone(
    tmp_path: Path, name: str, text: bytes, says: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    (tmp_path / "base").mkdir(exist_ok=True)
    (tmp_path / "base/propose.md").write_text("My own.")
    [problem] = Prompts([tmp_path]).check(prompt_values())
    assert says in problem
    assert str(path) in problem
    assert system_alone("classify", [tmp_path]) == system_alone("classify", [])
    assert "My own." in system_alone("propose", [tmp_path])[0]


def test_shipped_prompts_name_only_what_exists() -> None:
    prompts = Prompts()
    assert {f"base/{name}.md" for name in (*PHASES, "common")} <= set(prompts.files)
    templates = load_library().templates
    for phase in ("hypothesize", "propose", "refine", "repair"):
        text = prompts.assemble(phase, "arm", (), prompt_values()).text
        assert all(f"- {name}:" in text for name in templates)
    arches = {name.split("/")[1] for name in prompts.files if name.startswith("understanding/")}
    assert {"generic", "arm", "mips"} <= arches


@pytest.mark.parametrize("cause", sorted(CAUSES - {"unknown"}))
def test_each_cause_has_something_to_be_understood_by(cause: str) -> None:
    found = Prompts().assemble("hypothesize", "arm", [cause], prompt_values())
    assert any(name.startswith("understanding/generic/") for name in found.names)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("I think that the file is missing.", "prose"),
        ("", "prose"),
        ('{"hypotheses": [', "no whole JSON object"),
        ('{"hypotheses": 3}', "another form"),
        ("[" * 5000, "prose"),
        ('{"a":' * 100_000, "no whole JSON object"),
        ('{"hypotheses": [{"cause": "unknown", "confidence": 7, "title": "x"}]}', "between 0 and 1"),
        ('{"hypotheses": [{"cause": "unknown", "confidence": NaN, "title": "x"}]}', "between 0 and 1"),
        ('{"hypotheses": [{"confidence": 0.5}]}', "another form"),
    ],
)
def test_replies_that_cannot_be_read(text: str, says: str) -> None:
    with pytest.raises(ReplyError, match=says):
        Replies().hypothesize(text)


def test_no_rule_needs_a_reason() -> None:
    assert Replies().propose('{"reason": "a part is missing"}').proposal is None
    with pytest.raises(ReplyError, match="neither a proposal nor a reason"):
        Replies().repair('{"causes": []}')


@pytest.mark.parametrize(
    "around",
    [
        "{0}",
        "Sure!\n```json\n{0}\n```\nDone.",
        "a {{b}} c {0}",
        '<think>{{"hypotheses": []}} or {{"causes": 1}}, no:</think>\n{0}',
    ],
)
def test_the_object_is_found_in_what_stands_around_it(around: str) -> None:
    reply = '{"hypotheses": [{"cause": "unknown", "confidence": 0.2, "title": "x", "extra": [1]}]}'
    assert Replies().hypothesize(around.format(reply)).hypotheses[0].cause == "unknown"


def test_a_prompt_that_is_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    os.mkfifo(tmp_path / "base/classify.md")
    [problem] = Prompts([tmp_path]).check(prompt_values())
    assert "no regular file" in problem
