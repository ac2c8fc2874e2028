"""Lint of knowledge base files: every mistake, where it is, and what to do about it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.diagnosis.knowledge_base.writing import GOOD, write
from triage_tui.diagnosis.knowledge import read_knowledge
from triage_tui.diagnosis.knowledge_base.lint import Linted, lint

BROKEN = """\
schema: 1
entries:
  - id: first
    version: 1
    cause: missing_fiel
    title: 'Missing {subject.pth}'
    subject: {fact: failed_call, where: {errnoo: ENOENT, path: {regex: '(a'}}}
    when:
      all:
        - {fact: message, after: said}
        - not: {fact: child, as: gone}
    confidence: {base: 0.5}
    explanation: ['The call {subject.cite} and {gone.cite}.']
    proposals: [open_devise]
  - id: second
    version: 1
    cause: missing_file
    title: 'Fine'
    subject: {fact: end}
    confidence: {base: 0.5}
    explanation: ['It is {subject.cite}.']
    proposals: [open_devise]
  - id: second
    version: 1
    cause: missing_file
    title: 'Fine'
    subject: {fact: end}
    confidence: {base: 0.5}
    explanation: ['It is {subject.cite}.']
"""


def told(found: Linted) -> list[tuple[int, str, str]]:
    return [(one.line, one.entry, one.key) for one in found.mistakes if one.severity == "error"]


def test_all_mistakes_are_listed_with_line_entry_and_key(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    found = lint([tmp_path])
    assert told(found) == [
        (5, "first", "cause"),
        (6, "first", "title"),
        (7, "first", "subject.where.errnoo"),
        (7, "first", "subject.where.path"),
        (10, "first", "when.all[0].after"),
        (13, "first", "explanation[0]"),
        (22, "second", "proposals[0]"),
        (23, "second", "id"),
    ]
    sentences = {one.key: one.sentence() for one in found.mistakes if one.entry == "first"}
    assert sentences["cause"].endswith("unknown cause 'missing_fiel'; did you mean missing_file?")
    assert "did you mean errno?" in sentences["subject.where.errnoo"]
    assert "RE2 refuses" in sentences["subject.where.path"]
    assert "{gone.cite} names nothing" in sentences["explanation[0]"]
    assert all("\n" not in text and str(tmp_path / "broken.yaml") in text for text in sentences.values())


@pytest.mark.parametrize(
    ("change", "key", "what"),
    [
        ({"title": "{said.text}", "when": {"any": [{"fact": "end"}, {"fact": "message", "as": "said"}]}},
         "title", "has a fact only sometimes"),
        ({"subject": {"fact": "failed_call", "as": "x"}}, "subject.as", "the subject has its name already"),
        ({"when": {"fact": "end", "where": {"pid": {"same_as": "subject.colour"}}}},
         "when.where.pid", "failed_call has no field colour"),
        ({"when": {"fact": "end", "where": {"pid": {"not": {"same_as": "other.pid"}}}}},
         "when.where.pid", "no fact is named other"),
        ({"when": {"fact": "end", "count": {"at_least": 3, "at_most": 1}}}, "when.count", "is never so"),
        ({"wanted": ["why {nobody.pid} did it"]}, "wanted[0]", "{nobody.pid} names nothing"),
        ({"subject": {"fact": "end"}, "title": "x", "explanation": ["{subject.cite} {subject.strerror}"]},
         "explanation[0]", "only a failed_call has strerror"),
        ({"cases": {"positive": ["a"], "negative": ["a"]}}, "cases", "a is both positive and negative"),
        ({"cases": {"positive": ["../../etc/passwd"]}}, "cases.positive", "needs a list of names"),
        ({"cases": {"positive": ["none-such"]}}, "cases.positive[0]", "there is no recorded case none-such"),
        ({"confidence": {"base": float("nan")}}, "confidence.base", "needs a number between -1 and 1"),
        ({"explanation": []}, "explanation", "needs at least one sentence"),
        ({"title": "\x1b[2J {subject.path}"}, "title", "holds a character that cannot be shown"),
        ({"wanted": ["[see](ev:syscall/1)"]}, "wanted[0]", "holds a link of its own"),
        ({"adjust": [{"when": {"fact": "end"}, "add": -0.1, "says": "\u202ea"}]}, "adjust[0].says",
         "holds a character that cannot be shown"),
    ],
)  # fmt: skip
def test_mistakes_between_the_parts_of_an_entry(
    change: dict[str, Any], key: str, what: str, tmp_path: Path
) -> None:
    found = lint([write(tmp_path, GOOD | change)])
    (mistake,) = [one for one in found.mistakes if one.severity == "error"]
    assert (mistake.key, mistake.entry) == (key, "mine")
    assert what in mistake.what


def test_a_users_entry_is_warned_about_what_a_shipped_one_is_refused_for(tmp_path: Path) -> None:
    found = lint([write(tmp_path, GOOD)])
    assert found.errors == 0
    assert {one.what for one in found.mistakes} == {
        "no positive recorded case",
        "no negative recorded case",
        "no evidence is wanted",
        "nothing ever speaks against it",
    }


def nested(levels: int) -> str:
    condition = "{fact: end}"
    for _ in range(levels):
        condition = f"{{not: {condition}}}"
    return f"schema: 1\nentries:\n  - {{id: deep, when: {condition}}}\n"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("schema: 1\na: &a [x, x, x, x, x, x, x, x, x, x]\n"
         + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in pairwise("abcdefghi")),
         6, "holds more than 100000 values"),
        ("schema: 1\nentries: &me [*me]\n", 2, "the alias *me stands for nothing before it"),
        ("schema: 1\nentries: " + "[" * 5000, 2, "nested more than 60 levels deep"),
        ("schema: 1\nentries: '" + "x" * 9000 + "'\n", 2, "a value is longer than 8000 characters"),
        ("schema: 1\nentries:\n" + "  - {id: a}\n" * 1001, 2, "holds 1001 entries, more than the 1000"),
        ("schema: 1\nx: &a 1\n<<: {schema: *a}\nentries: 3\n", 2, "unknown key"),
        ("schema: 1\n" + "x" * (1 << 20), 0, "more than the 1048576 read here"),
        (nested(30), 3, "conditions are nested more than 20 levels deep"),
        ("schema: 1\nentries:\n  - id: a\n" + "".join(f"    key{n}: 1\n" for n in range(9000)), 3,
         "it has 200 mistakes or more; what follows was not looked at"),
    ],
    ids=["billion-laughs", "endless", "deep", "long", "many", "merge", "giant", "deep-condition", "wrong"],
)  # fmt: skip
def test_a_hostile_file_costs_a_sentence(text: str, line: int, what: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    found = lint([path])
    assert any(one.line == line and what in one.what for one in found.mistakes), found.mistakes
    assert len(found.mistakes) < 250


def test_a_directory_of_too_much_is_read_in_part(tmp_path: Path) -> None:
    write(tmp_path, GOOD, name="a.yaml")
    for number in range(9):
        (tmp_path / f"b{number}.yaml").write_text("# " + "x" * ((1 << 20) - 10))
    base = read_knowledge([tmp_path])
    assert any(entry.id == "mine" for entry in base.entries)
    what = "it holds more than 8 MiB; b7.yaml and what follows is not read"
    assert what in {one.what for one in base.mistakes}


def test_a_file_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "directory.yaml").mkdir()
    (tmp_path / "nowhere.yaml").symlink_to(tmp_path / "none")
    found = lint([tmp_path])
    assert sorted(one.what.split(": ")[-1].split(" is ")[-1] for one in found.mistakes) == [
        "No such file or directory",
        "not a regular file, so it was not read",
    ]


def test_what_replaces_a_shipped_entry_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD | {"id": "missing-file"})
    found = lint([path])
    assert found.errors == 0
    (note,) = found.overridden
    assert note.startswith(f"{path}:3 replaces entry missing-file of ")
    assert [entry.id for entry in found.entries] == ["missing-file"]
