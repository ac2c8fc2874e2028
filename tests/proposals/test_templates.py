"""A person's own rule templates override visibly; a mistake costs itself, and is told with its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.runs.build import write_run
from triage_tui.cli.main import main
from triage_tui.diagnosis.knowledge_base.in_force import IN_FORCE
from triage_tui.diagnosis.report import diagnose, write_report
from triage_tui.proposals.build import propose
from triage_tui.proposals.templates import load_library, templates_schema
from triage_tui.resources import shipped
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run, load_run

OWN: dict[str, Any] = {
    "id": "make_directory", "title": "My own {directory}", "intent": "i", "effect": "e", "risk": "low",
    "risk_text": "r", "inverse": "u", "hit_limit": 2, "parameters": ["directory"],
    "lua": {"default": "local d = @directory@\nfunction do_syscall() return 0, 0 end\n"},
}  # fmt: skip


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a person's templates."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    directory = tmp_path / "config" / "triage-tui" / "rules" / "templates"
    directory.mkdir(parents=True)
    return directory


def write(directory: Path, *templates: object, name: str = "mine.yaml", **more: object) -> Path:
    path = directory / name
    path.write_text(yaml.safe_dump({"schema": 1, "templates": list(templates), **more}))
    return path


def proposed(tmp_path: Path) -> Run:
    """A run that could not make a file because its directory is missing, with rules proposed."""
    call = Syscall(
        seq=1, name="openat", arguments=["AT_FDCWD", '"/var/x/y"', "O_WRONLY|O_CREAT"], ret=-2,
        errno="ENOENT", path="/var/x/y",
    )  # fmt: skip
    run = load_run(write_run(tmp_path / "w" / "ai_runs", [call]))
    diagnosis = diagnose(run)
    for hypothesis in diagnosis.hypotheses:
        hypothesis.parameters |= {"directory": "/var/x", "syscalls": "openat", "path": "/var/x/y"}
        hypothesis.proposals[:0] = ["make_directory"]
    diagnosis.proposals = propose(run, diagnosis)
    write_report(run, diagnosis)
    return load_run(run.dir)


def test_an_own_template_takes_the_place_of_a_shipped_one_and_says_so(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(own, OWN)
    library = load_library()
    [told] = library.overridden
    assert told == f"{path} replaces template make_directory of {shipped('rules')}/templates/files.yaml"
    assert library.templates["make_directory"].origin == str(path)
    assert library.templates["provide_file"].origin == ""
    run = proposed(tmp_path)
    assert run.diagnosis is not None
    [mine] = [one for one in run.diagnosis.proposals if one.template == "make_directory"]
    assert (mine.title, mine.origin) == ("My own /var/x", str(path))
    assert 'local d = "/var/x"' in (run.dir / "rules_patch" / mine.files[0]).read_text()
    assert f"By the template `make_directory` of `{path}`, which did not ship." in (
        run.dir / "diagnosis.md"
    ).read_text().replace("\\", "")
    assert main(["show", "last", "-C", str(tmp_path / "w")]) == 0
    assert "which did not ship" in " ".join(capsys.readouterr().out.split())
    # Changed, and taken away: what is in force follows at once.
    write(own, OWN | {"title": "Yet another way to {directory}"})
    assert load_library().templates["make_directory"].title == "Yet another way to {directory}"
    path.unlink()
    assert load_library().templates["make_directory"].origin == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"title": 3}, "key templates[1].title: needs a text"),
        ({"hit_limit": "many"}, "key templates[1].hit_limit: needs a whole number"),
        ({"hit_limit": -1}, "key templates[1].hit_limit"),
        ({"risk": "none"}, "key templates[1].risk"),
        ({"id": "../x"}, "key templates[1].id"),
        ({"surprise": 1}, "unknown key `surprise`"),
        ({"lua": {"defalt": "x"}}, "there is no kind of call 'defalt'; did you mean default?"),
        ({"lua": {"default": "x = @directry@"}}, "@directry@ stands for nothing; did you mean directory?"),
        ({"uses": ["nothing"]}, "there is no snippet 'nothing'"),
        ({"lua": {"default": "x = = 1"}}, "is no Lua: "),
        ({"id": "good"}, "the same id is used in"),
    ],
)
def test_a_mistake_costs_that_template_alone(
    own: Path, change: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(own, OWN | {"id": "good"}, OWN | {"id": "other"} | change)
    library = load_library()
    assert "good" in library.templates
    assert "make_directory" in library.templates
    assert main(["kb", "lint"]) == 1
    told = capsys.readouterr().out
    assert says in told, told
    assert told.startswith(f"error: {path}:")
    if "no Lua" not in says:
        assert "other" not in library.templates


def test_whole_files_that_cannot_be_used_are_told_and_the_rest_goes_on(own: Path) -> None:
    write(own, OWN)
    (own / "bad.yaml").write_text("schema: 1\ntemplates: [\n")
    (own / "bomb.yaml").write_text("schema: 1\na: &a [x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8)
    ))  # fmt: skip
    os.mkfifo(own / "fifo.yaml")
    write(own, name="regex.yaml", contents=[{"path": "(", "text": "x", "risk": "r"}, 7], snippets=3)
    library = load_library()
    assert library.templates["make_directory"].origin
    told = [mistake.sentence() for mistake in library.mistakes]
    for name, says in (
        ("bad.yaml", "no usable YAML"),
        ("bomb.yaml", "more than"),
        ("fifo.yaml", "regular file"),
        ("regex.yaml", "RE2 refuses"),
        ("regex.yaml", "key contents[1]"),
        ("regex.yaml", "key snippets"),
    ):
        assert any(name in text and says in text for text in told), (name, told)
    base = IN_FORCE.current()
    assert base.entries
    assert any("bomb.yaml" in mistake.file for mistake in base.mistakes)
    assert any("replaces template make_directory" in text for text in base.overridden)


def test_an_own_content_comes_before_a_shipped_one(own: Path) -> None:
    write(own, contents=[{"path": "^/etc/hosts$", "text": "mine\n", "risk": "r"}])
    known = next(one for one in load_library().contents if one.path.search("/etc/hosts"))
    assert known.text == "mine\n"


def test_the_published_schema_accepts_what_shipped_and_refuses_what_is_wrong() -> None:
    schema = templates_schema()
    for path in (shipped("rules") / "templates").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)
    for wrong in ({"risk": "none"}, {"hit_limit": "x"}, {"surprise": 1}, {"id": "No Id"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"schema": 1, "templates": [OWN | wrong]}, schema)


def test_every_template_that_shipped_writes_a_rule_or_asks_a_person() -> None:
    library = load_library()
    assert not library.mistakes
    assert all(one.lua or one.start or one.plugin or one.needs_input for one in library.templates.values())


def test_no_run_comes_to_the_end_of_what_a_proposed_plugin_may_do() -> None:
    """Every reading of the clock is a hit: without the rule the time would leap in the middle of a run."""
    plugins = {one.id: one.hit_limit for one in load_library().templates.values() if one.plugin}
    assert {"hardware_clock", "interface_table", "silent_peer"} <= plugins.keys()
    assert [name for name, limit in plugins.items() if limit < 10**8] == []
