"""The whole way with real parts: a package is unpacked, its program run, the run kept and judged."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.evaluation.conftest import corpus
from tests.runs.build import write_run
from tests.setup.conftest import Archive
from triage_tui.cli.main import main
from triage_tui.errors import TriageError
from triage_tui.evaluation.capture import (
    Engine,
    capture,
    captured_dir,
    captured_run,
    engine_of,
    remove_leftovers,
)
from triage_tui.evaluation.corpus import load_corpus
from triage_tui.evaluation.evaluate import evaluate
from triage_tui.evaluation.packages import cached, download, packages_dir
from triage_tui.guest.launch import check_host
from triage_tui.guest.spec import LaunchSpec
from triage_tui.retry.start import Start, read_start, write_start
from triage_tui.runs.model import Statistics, Syscall
from triage_tui.runs.reader import load_run
from triage_tui.setup import sources
from triage_tui.setup.apt import Apt, native_architecture

BASE: dict[str, Any] = {"arch": "armel", "packages": ["tool:armel"]}
MISSING = BASE | {
    "id": "cat-file",
    "cause": "missing_file",
    "argv": ["/bin/busybox", "cat", "/etc/wanted.conf"],
}
SERVED = BASE | {
    "id": "cat-input",
    "cause": "normal_exit",
    "healthy": True,
    "argv": ["/bin/busybox", "cat"],
    "stdin": {"text": "hello\n"},
}
LOST = BASE | {"id": "lost", "cause": "permission", "argv": ["/x"], "prepare": [{"copy": "/a", "from": "/b"}]}


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    code = main(["eval", "--json", *arguments])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


@pytest.mark.usefixtures("package")
def test_cases_are_run_once_kept_and_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, progress = evaluated(capsys, corpus(tmp_path, MISSING, SERVED, LOST), "--jobs", "2")
    assert code == 1, "a case that cannot be prepared is no success"
    missing, served, lost = told["per_case"]
    assert (missing["right"], missing["answers"][0]["cause"]) == (True, "missing_file")
    assert (served["right"], served["called_healthy"]) == (True, True)
    assert (lost["prepared"], lost["right"]) == (False, False)
    assert "needs a file at /b" in lost["problem"]
    assert "lost cannot be prepared" in progress
    assert told["top1"] == pytest.approx(2 / 3, abs=0.001)
    assert told["unsupported_claims"] == 0
    assert read_start(Path(missing["run"])).exec_policy == "refuse", "the labels know no binfmt_misc"
    assert 0 < missing["capture_ms"] < missing["diagnosis_ms"]
    assert not (tmp_path / "executed").exists(), "a maintainer script was run"
    stale, young = (tmp_path / "cache" / "triage-tui" / "evaluation" / f"tmp-{n}" for n in "ab")
    for tree in (stale, young):
        tree.mkdir()
    os.utime(stale, (0, 0))
    remove_leftovers()
    assert (stale.exists(), young.exists()) == (False, True), "another evaluation may be at work"
    young.rmdir()
    # Nothing but the package and the kept runs is left.
    left = {path.name for path in (tmp_path / "cache" / "triage-tui" / "evaluation").iterdir()}
    assert left == {"packages", "runs"}

    # A label changes nothing of the run, so the same run is judged by the new one.
    relabelled = corpus(tmp_path, MISSING | {"cause": "permission", "id": "cat-file"}, SERVED)
    code, told, progress = evaluated(capsys, relabelled)
    assert code == 0
    assert told["per_case"][0]["run"] == missing["run"]
    assert not told["per_case"][0]["right"]
    assert "captured" not in progress

    code, told, progress = evaluated(capsys, corpus(tmp_path, MISSING), "--fresh", "--only", "cat-file")
    assert "cat-file: captured" in progress
    assert told["per_case"][0]["run"] != missing["run"]

    # A kept run is a copy: a damaged one is had again. A mistaken case counts, and costs no other.
    snapshot = Path(told["per_case"][0]["run"]) / "snapshot.json"
    snapshot.write_bytes(snapshot.read_bytes()[:300])
    mistaken = MISSING | {"id": "typo", "cause": "missing_fil"}
    code, told, progress = evaluated(capsys, corpus(tmp_path, mistaken, MISSING))
    assert (code, told["cases"], told["top1"]) == (1, 2, 0.5)
    assert "'missing_fil' is no cause" in told["per_case"][0]["problem"]
    assert "it is run again" in progress
    assert told["per_case"][1]["right"]

    # Its root was removed; made again, the program of the run can be read.
    kept = Path(told["per_case"][1]["run"])
    reading = ["binary", "info", "-", "--run", "last", "-C", str(kept.parent.parent)]
    assert main(reading) == 2
    assert "cannot be read any more" in capsys.readouterr().err
    assert main(["eval", corpus(tmp_path, MISSING), "--roots"]) == 0
    root = load_run(kept).snapshot.target.rootfs
    assert f"cat-file: its root file system is {root}" in capsys.readouterr().err
    assert main(reading) == 0
    assert "architecture: arm" in capsys.readouterr().out

    assert main(["eval", corpus(tmp_path, MISSING)]) == 0
    table = capsys.readouterr().out
    assert "cat-file  missing_file  missing_file" in table
    assert "1 case: top-1 100 %" in table


@pytest.mark.usefixtures("package")
def test_interfaces_of_a_case_are_there(tmp_path: Path, qemu_dir: Path) -> None:
    """Both have their address, and are seen by a real program."""
    case = BASE | {
        "id": "links",
        "cause": "normal_exit",
        "argv": ["/bin/busybox", "ifconfig", "wan0"],
        "network": ["lo", "lan0", "wan0"],
    }
    [loaded] = load_corpus(Path(corpus(tmp_path, case))).cases
    run = load_run(capture(loaded, engine_of(qemu_dir), threading.Event()))
    printed = run.text_file(run.snapshot.guest_output)
    assert "192.168.2.1" in printed
    assert "UP" in printed
    assert "the interface lan0 (192.168.1.1, a bridge without ports)" in run.snapshot.engine.contained


@pytest.mark.parametrize(
    "names", [["lo"], ["a b"], ["../x"], ["-x"], ["n" * 16], ["a", "a"], [f"e{n}" for n in range(17)]]
)
def test_names_that_no_interface_can_have_are_refused(names: list[str]) -> None:
    with pytest.raises(TriageError, match="interface"):
        check_host(LaunchSpec(program="/bin/x", interfaces=names))


@pytest.mark.parametrize(
    ("exec_policy", "ret", "lost", "is_kept"),
    [("emulate", 0, 0, False), ("emulate", -2, 0, True), ("emulate", -2, 1, False), ("refuse", 0, 1, True)],
)
def test_a_kept_run_that_started_programs_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exec_policy: str, ret: int, lost: int, is_kept: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    [case] = load_corpus(Path(corpus(tmp_path, MISSING))).cases
    engine = Engine(tmp_path, "1")
    call = Syscall(seq=1, name="execve", ret=ret, errno="ENOENT" if ret else None, path="/bin/x")
    counts = Statistics(syscalls=1 + lost)
    run_dir = write_run(captured_dir(case, engine) / "ai_runs", [call], statistics=counts)
    start = Start(program="/bin/y", argv=["y"])
    write_start(run_dir, msgspec.structs.replace(start, exec_policy=exec_policy))
    assert captured_run(case, engine) == (run_dir if is_kept else None)


@pytest.mark.usefixtures("package")
def test_nothing_is_run_or_kept_once_it_is_cancelled(tmp_path: Path, qemu_dir: Path) -> None:
    waits = BASE | {
        "id": "waits",
        "cause": "network_wait",
        "argv": ["/bin/busybox", "cat"],
        "stdin": "open",
    }
    [case] = load_corpus(Path(corpus(tmp_path, waits))).cases
    engine = engine_of(qemu_dir)
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    with pytest.raises(TriageError, match="cancelled"):
        capture(case, engine, cancel)
    assert captured_run(case, engine) is None

    # What is kept makes room for a whole new run only.
    kept = captured_dir(case, engine) / "ai_runs" / "20260131_020000_00000001"
    kept.mkdir(parents=True)
    [result] = evaluate([case], engine, cancel, mistakes={}, fresh=True)
    assert "interrupted" in result.problem
    assert captured_run(case, engine) == kept


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.yaml"], "cannot read none.yaml"),
        (["CORPUS", "--only", "nobody"], "no case 'nobody'"),
        (["CORPUS", "--only", ","], "--only takes"),
        (["CORPUS", "--jobs", "0"], "--jobs takes 1 to"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    path = corpus(tmp_path, MISSING)
    assert main(["eval", *(path if word == "CORPUS" else word for word in arguments)]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert "Traceback" not in err


def test_a_package_that_nobody_offers_costs_only_the_cases_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real archive of our own, reached through the real apt."""
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "Packages").touch()
    native = native_architecture()
    Archive(archive, native).add("here", {"bin/here": b"#!/bin/sh\n"})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = Archive(archive, native).source
    monkeypatch.setattr(sources, "_host_archive", lambda cache, archs: Apt(cache / "apt", archs, source))
    monkeypatch.setattr(sources, "host_archive_has_all", lambda _release: True)
    names = {"one": ["here"], "two": ["here", "gone"], "three": ["lost"]}
    cases = [
        BASE | {"id": name, "cause": "unknown", "argv": ["/x"], "packages": [f"{p}:{native}" for p in needs]}
        for name, needs in names.items()
    ]
    failed = download(load_corpus(Path(corpus(tmp_path, *cases))).cases)
    assert failed == {
        "two": f"the package archive does not offer gone:{native}",
        "three": f"the package archive does not offer lost:{native}",
    }
    found = cached(f"here:{native}")
    assert found is not None
    assert found.parent == packages_dir()
