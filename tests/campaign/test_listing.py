"""`campaign --list`: what would be run, what was left out, and mistakes in one sentence each."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import jsonschema
import pytest

from tests.campaign.made_roots import ELF, make_root
from triage_tui.cli import campaign_listing
from triage_tui.cli.command_schemas import schema
from triage_tui.cli.main import main

RCS = "#!/bin/sh\nmount -a\ncd /www\nexport LEVEL='two words'\nhttpd -p 80 'a b'\nntpd -p $(nvram get ntp)\n"


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def _root(place: Path) -> Path:
    make_root(place, {"/sbin/httpd": ELF, "/sbin/ntpd": ELF})
    return make_root(place, {"/www/index": "x", "/etc/init.d/rcS": RCS})


def test_what_would_be_run_and_what_would_not_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _root(tmp_path / "fw")
    assert main(["campaign", "--list", "--rootfs", "fw"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"{root}: 1 target",
        "    1 httpd (mipsel): httpd -p 80 'a b'",
        "      /sbin/httpd in /www 'LEVEL=two words' [/etc/init.d/rcS line 5]",
        "  left out:",
        "    - ntpd -p $(nvram get ntp): what `nvram get ntp` prints is not known",
        "      [/etc/init.d/rcS line 6]",
        "    - mount: tools that do their work and end, no services [/etc/init.d/rcS]",
        "",
    ]
    assert err == f"looking for services in {root}\n"
    assert not (tmp_path / "campaigns").exists()


def test_the_list_is_one_object_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _root(tmp_path / "fw")
    assert main(["campaign", "--list", "--json", "--rootfs", "fw"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    form = schema("campaign-targets")
    for line in lines:
        jsonschema.validate(line, form)
    assert [line["kind"] for line in lines] == ["target", "left_out", "left_out"]
    assert (lines[0]["name"], lines[0]["group"], len(lines[0]["target"])) == ("httpd", "fw", 16)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "nothing to list: name a file of targets, or root file systems with --rootfs DIR"),
        (["--rootfs", "bare"], "no service to run was found in {}/bare: name its programs in a target file"),
        (
            ["--rootfs", "nowhere"],
            "the root file system nowhere does not exist: give the directory into which",
        ),
        (["--rootfs", "file"], "the root file system file is no directory: give the directory into which"),
        (
            ["bad.yaml"],
            "bad.yaml has 1000 mistakes, the first in line 3, column 11: targets[0].root: there is no",
        ),
        (["file"], "file, line 1, column 1: must be a mapping with schema, defaults, roots, targets, and is"),
    ],
)
def test_what_cannot_be_listed_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    make_root(tmp_path / "bare", {"/etc/passwd": "root:x:0:0::/:/bin/sh\n"})
    (tmp_path / "file").write_text("x")
    entries = "".join(f"  - root: lost{number}\n    program: /x\n" for number in range(1000))
    (tmp_path / "bad.yaml").write_text(f"schema: 1\ntargets:\n{entries}")
    assert main(["campaign", "--list", *arguments]) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("triage-tui: " + sentence.format(tmp_path))
    if arguments == ["bad.yaml"]:
        assert len(err) == 22
        assert err[0].startswith("bad.yaml: line 3, column 11: targets[0].root: there is no directory")
        assert err[-2].startswith("and 980 more, in lines 43, 45, 47, ")
        assert err[-2].endswith(" and further ones up to 2001")


def test_no_name_of_a_root_reaches_the_terminal_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b]52;c;eA==\x07\u202e\x9b2J"
    root = make_root(tmp_path / f"fw{evil}", {f"/sbin/{evil}": ELF, "/sbin/d": ELF})
    make_root(
        root,
        {
            "/etc/init.d/rcS": f"#!/bin/sh\n'{evil}' '{evil}'\nd {evil} $({evil})\n"
            f"export X='{evil}'\nd '{evil}'\n",
            f"/etc/init.d/{evil}": f"#!/bin/sh\nlost{evil}\n",
        },
    )
    for options in ([], ["--json"]):
        assert main(["campaign", "--list", *options, "--rootfs", str(root)]) == 0
        out, err = capsys.readouterr()
        assert "d" in out
        assert all(line.isprintable() for text in (out, err) for line in text.splitlines())


def test_a_signal_ends_the_search_with_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_root(tmp_path / "fw", {"/etc/init.d/rcS": "#!/bin/sh\n" + "true\n" * 12000})

    def asked_to_end(_text: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(campaign_listing, "say", asked_to_end)
    assert main(["campaign", "--list", "--rootfs", str(root)]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err.splitlines()[-1] == "triage-tui: ended by SIGTERM"
