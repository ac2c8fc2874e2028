"""The benchmark with real parts: cases are played to their end, judged by their criterion, and kept."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.conftest import corpus
from tests.runs.build import failed_open, write_run
from triage_tui.cli.main import main
from triage_tui.evaluation import client
from triage_tui.evaluation.bench_case import Outcome
from triage_tui.evaluation.bench_summary import changes, figures, markdown, report, sentences
from triage_tui.evaluation.success import how, mistake_in, strace_line, unmet
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run

BASE: dict[str, Any] = {"arch": "armel", "packages": ["tool:armel"]}
LOCKED = BASE | {
    "id": "spool",
    "cause": "missing_dir",
    "remedy": "rule",
    "fixable": True,
    "verified": True,
    "argv": ["/bin/busybox", "crond", "-f", "-c", "/var/spool/cron/crontabs"],
    "success": {"outcome": "hang", "how": "sleep_loop"},
}
STATIC = BASE | {
    "id": "page",
    "cause": "network_wait",
    "remedy": "none",
    "healthy": True,
    "argv": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/"],
    "prepare": [{"file": "/index.html", "text": "all is well"}],
    "success": {"outcome": "hang", "probe": True},
    "fix": {
        "kind": "probe",
        "probe": {"port": 8080, "send": "GET / HTTP/1.0\r\n\r\n", "expect": "all is well"},
    },
}
SHORT = BASE | {
    "id": "short",
    "cause": "missing_file",
    "remedy": "content",
    "argv": ["/bin/busybox", "cat", "/etc/wanted.conf"],
    "success": {"outcome": "exit"},
}
BROKEN = BASE | {"id": "broken", "cause": "permission", "argv": ["/x"], "success": {"output": "("}}


def benched(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    code = main(["bench", "--json", *arguments])
    out, err = capsys.readouterr()
    return code, json.loads(out), err


@pytest.mark.usefixtures("package")
def test_cases_are_played_to_their_end_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = corpus(tmp_path, LOCKED, STATIC, SHORT, BROKEN)
    code, told, _ = benched(capsys, cases, "--jobs", "3")
    assert code == 1, "a case that cannot be played is no success"
    spool, page, short, broken = told["per_case"]
    assert (spool["reached"], spool["unmet"], spool["rounds"] >= 2) == (True, [], True)
    assert spool["approved"]
    assert spool["masked"], "what a rule supplied is told"
    assert (page["reached"], page["unmet"], page["approved"], page["touched"]) == (True, [], [], False)
    assert (short["reached"], short["unmet"]) == (True, [])
    assert "no regular expression" in broken["problem"]
    assert (told["fixable"], told["reached_fixable"], told["healthy_touched"]) == (1, 1.0, 0)
    left = {path.name for path in (tmp_path / "cache" / "triage-tui" / "evaluation").iterdir()}
    assert left == {"packages", "bench"}, "neither roots nor guests are left"

    # What this version played is not played again, and another criterion is another case.
    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(told))
    other = SHORT | {"success": {"outcome": "hang"}}
    code, told, said = benched(capsys, corpus(tmp_path, other, LOCKED), "--compare", str(earlier))
    assert code == 0
    assert "1 of 2 cases were played with this version already" in said
    assert told["per_case"][0]["unmet"] == ["outcome is 'exit', not 'hang'"]
    assert "worse: short: no longer reached" in said


def test_what_is_no_result_or_no_number_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = corpus(tmp_path, LOCKED)
    (tmp_path / "x.json").write_text("[]")
    for arguments, said in (
        (["--compare", str(tmp_path / "x.json")], "x.json is no result of `triage-tui bench --json`"),
        (["--compare", str(tmp_path / "none.json")], "none.json"),
        (["--jobs", "0"], "--jobs takes 1 to 64, not 0"),
        (["--only", "nobody"], "there is no case 'nobody'"),
    ):
        assert main(["bench", cases, *arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert said in lines[-1]
        assert len(lines) == 1


def test_criteria(tmp_path: Path) -> None:
    calls = [
        failed_open(1, "/etc/x.conf"),
        Syscall(seq=2, name="write", arguments=["1", "0x40800000", "1"], ret=1, pid=7),
        Syscall(seq=3, name="exit_group", arguments=["0"], pid=8),
    ]
    run = load_run(write_run(tmp_path, calls))
    assert strace_line(calls[0]).endswith('openat(AT_FDCWD,"/etc/x.conf",O_RDONLY) = -1 errno=2 (ENOENT)')
    met = {
        "outcome": "exit",
        "code": 1,
        "output": "^no config.*\nbye$",
        "strace": r"7 write\(\d+,0x[0-9a-f]+,1\) = 1",
    }
    assert unmet(met, run, None) == []
    wrong = {"outcome": "hang", "how": "spin", "output": "^bye", "strace": "connect", "probe": True}
    assert len(unmet(wrong, run, False)) == 5
    # Who goes into the background has ended for who started it, and another's end is none.
    first = [Syscall(seq=1, name="getpid", pid=2), Syscall(seq=2, name="exit_group", arguments=["0"], pid=3)]
    idle = load_run(write_run(tmp_path, first, reason="idle", exit_code=None))
    assert unmet({"outcome": "hang"}, idle, None) == []
    first[1].pid = 2
    idle = load_run(write_run(tmp_path, first, reason="idle", exit_code=None))
    assert unmet({"outcome": "exit", "code": 0}, idle, None) == []
    idle.snapshot.trigger.syscall_name = "clock_nanosleep_time64"
    assert how(idle.snapshot) == "sleep_loop"


@pytest.mark.parametrize(
    ("success", "said"),
    [("yes", "needs a mapping"), ({"cod": 1}, "'cod' is no part"), ({"output": "(?P<"}, "no regular expr")],
)
def test_mistakes_in_a_criterion(success: object, said: str) -> None:
    assert said in mistake_in(success)


def test_a_client_takes_only_the_answer_that_it_expects(capfd: pytest.CaptureFixture[str]) -> None:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"220 " + connection.recv(100))

        thread = threading.Thread(target=serve)
        thread.start()
        asked = {"port": server.getsockname()[1], "send": "hello"}
        assert client.ask(asked | {"expect": "^220 hello$"})
        assert not client.ask(asked | {"expect": "^500"})
        thread.join()
    asked = {"path": "/run/it's x", "send": "a b"}
    words = shlex.split(client.command(asked, "/tmp/a root"))
    assert json.loads(words[-1]) == {"path": "/tmp/a root/run/it's x", "send": "a b"}
    assert asked["path"] == "/run/it's x", "the case itself stays as it is"


def test_figures_count_what_was_not_played_as_not_reached() -> None:
    one = {"arch": "armel", "cause": "missing_file", "remedy": "rule", "healthy": False, "stretch": False}
    outcomes = [
        Outcome(id="a", fixable=True, reached=True, approved=["x"], rounds=2, seconds=3.0, **one),  # type: ignore[arg-type]
        Outcome(id="b", fixable=True, problem="its packages | are not there", **one),  # type: ignore[arg-type]
    ]
    told = figures(outcomes)
    assert (told["reached_fixable"], told["not_played"], told["rounds_median"]) == (0.5, 1, 2)
    assert any("50 %" in line for line in sentences(outcomes))
    assert re.search(r"\| b \| missing_file \| rule \| not played: its packages \\\| are", markdown(outcomes))
    assert figures([])["reached_fixable"] is None


def test_a_result_is_compared_with_an_earlier_one() -> None:
    one = {"arch": "armel", "cause": "missing_file", "remedy": "rule", "healthy": False, "stretch": False}
    outcomes = [
        Outcome(id="a", fixable=True, reached=True, approved=["x"], rounds=2, seconds=3.0, **one),  # type: ignore[arg-type]
        Outcome(id="b", fixable=True, rounds=1, seconds=5.0, **one),  # type: ignore[arg-type]
    ]
    same = report(outcomes)
    same["per_case"] = {entry["id"]: entry for entry in same["per_case"]}
    assert changes(outcomes, same) == ["nothing is better or worse than in the earlier result"]
    same["per_case"]["b"]["reached"] = True
    same["reached_fixable"] = 1.0
    compared = changes(outcomes, same)
    assert compared == ["worse: b: no longer reached", "reached_fixable: 1 -> 0.5"]
    assert report(outcomes, compared)["compared"] == compared
    assert "- worse: b: no longer reached" in markdown(outcomes, compared)
    # Other cases: no figures are held against each other.
    del same["per_case"]["a"]
    same["per_case"]["c"] = {}
    assert changes(outcomes, same)[1:] == [
        "1 cases of the earlier result were not among these",
        "1 cases are not in the earlier result",
    ]
