"""What start rules are proposed with: from the record and the root file system, else a placeholder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import load_case, run_of
from tests.proposals.test_blocked_and_copied import run_of as traced
from triage_tui.diagnosis.report import diagnose
from triage_tui.proposals.build import propose
from triage_tui.proposals.start_scripts import command_line
from triage_tui.proposals.start_values import start_literals
from triage_tui.rulebook.placeholders import unfilled
from triage_tui.rulebook.start_settings import read_start_rule
from triage_tui.runs.diagnosis_model import Hypothesis, Proposal
from triage_tui.runs.model import StartSetting
from triage_tui.runs.reader import Run


def recorded(name: str, tmp_path: Path, root: Path | None = None) -> Run:
    run = run_of(load_case(name), tmp_path / "run")
    run.snapshot.target.rootfs = str(root) if root is not None else None
    return run


def proposed(run: Run, template: str) -> Proposal:
    return next(one for one in propose(run, diagnose(run)) if one.template == template)


def value_of(run: Run, proposal: Proposal) -> object:
    (file,) = proposal.files
    return read_start_rule(file, (run.dir / "rules_patch" / file).read_bytes()).value


def script(root: Path, text: str, name: str = "etc/init.d/S50") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/usr/sbin/httpd -f -h /www &", ("-f", "-h", "/www")),
        ("  nice httpd '-c' \"/etc/a b\" >/dev/null 2>&1", ("-c", "/etc/a b")),
        ("start-stop-daemon -S -x /usr/sbin/httpd -- -p 80", ("-p", "80")),
        ("::respawn:/usr/sbin/httpd -f", ("-f",)),
        ("httpd -p $PORT", None),
        ("httpd -p 'unfinished", None),
    ],
)
def test_a_start_script_tells_the_arguments_where_no_shell_is_needed(
    line: str, words: tuple[str, ...] | None, tmp_path: Path
) -> None:
    script(tmp_path, f"#!/bin/sh\n# httpd -commented\nkillall httpd -9\nmyhttpd -x\n{line}\n")
    found = command_line(str(tmp_path), "/usr/sbin/httpd")
    assert found is not None
    assert (found.script, found.line, found.words) == ("/etc/init.d/S50", 5, words)


def test_scripts_that_lead_out_of_the_root_are_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("httpd -secret\n")
    script(tmp_path / "root", "nothing\n")
    (tmp_path / "root/etc/inittab").symlink_to(outside)
    assert command_line(str(tmp_path / "root"), "httpd") is None
    assert command_line(str(tmp_path / "root"), "a(b") is None


def test_arguments_come_from_the_start_scripts_or_from_a_person(tmp_path: Path) -> None:
    root = tmp_path / "root"
    run = recorded("applet-nc-bind", tmp_path, root)
    script(root, "nc -l $(cat port)\n")
    asks = proposed(run, "correct_arguments")
    assert asks.needs_input
    assert "/etc/init.d/S50, line 1: nc -l $(cat port)" in asks.needs_input
    text = (run.dir / "rules_patch" / asks.files[0]).read_bytes()
    assert len(unfilled(text)) == 1
    script(root, "nc -l -p 80\n", "etc/rc.local")
    known = proposed(run, "correct_arguments")
    assert known.needs_input is None
    assert value_of(run, known) == ("/bin/busybox", "nc", "-l", "-p", "80")


def test_the_directory_that_holds_a_relative_path_is_found(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "home/web/www").mkdir(parents=True)
    (root / "elsewhere").symlink_to(tmp_path)
    (tmp_path / "www").mkdir()
    run = recorded("chdir-relative", tmp_path, root)
    assert value_of(run, proposed(run, "working_directory")) == "/home/web"
    nowhere = recorded("chdir-relative", tmp_path / "other")
    asks = proposed(nowhere, "name_directory")
    assert asks.needs_input == "fill in the directory in which the program finds www"


def test_an_account_a_variable_and_an_interface_are_taken_from_what_is_known(tmp_path: Path) -> None:
    root = tmp_path / "root"
    script(root, "root:x:0:0::/:/bin/sh\nnobody:x:99:99::/:/bin/false\nbad:x:99999999:1\n", "etc/passwd")
    refusing = recorded("refuses-root-arm64", tmp_path / "a", root)
    assert value_of(refusing, proposed(refusing, "start_as_other_user")) == 99
    (root / "root").mkdir()
    wanting = recorded("home-not-set-armel", tmp_path / "b", root)
    assert value_of(wanting, proposed(wanting, "set_variable")) == {"HOME": "/root"}
    missing = recorded("applet-ifconfig-eth7", tmp_path / "c")
    assert value_of(missing, proposed(missing, "add_interface")) == ("eth7",)


def test_what_was_tried_already_is_not_proposed_again(tmp_path: Path) -> None:
    run = recorded("micro-httpd-cpu-armhf", tmp_path)
    assert value_of(run, proposed(run, "processor_model")) == "max"
    had = StartSetting(rule="start-processor", setting="processor", says="processor model max")
    run.snapshot.start_settings = [had]
    asks = proposed(run, "processor_model")
    assert asks.needs_input
    assert "-cpu help" in asks.needs_input
    hypothesis = Hypothesis(
        cause="x", proximate="x", confidence=1.0, title="", parameters={"interface": "eth0"}
    )
    run.snapshot.start_settings = [
        StartSetting(rule="r", setting="interfaces", says="network interface br0 eth0")
    ]
    assert start_literals(run, hypothesis, ["new_interface"]) == {}
    hypothesis.parameters["interface"] = "../x"
    assert start_literals(run, hypothesis, ["new_interface"]) == {}


def test_interfaces_are_those_that_the_configuration_names(tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/router.conf").write_text(
        "# phyint eth9 upstream\nphyint wan0 upstream\nphyint eth1 downstream\nphyint wan0 altnet\n"
    )
    (tmp_path / "root/etc/ld.so.cache").write_bytes(b"lan7\0")
    trace = "".join(
        f'2 openat(AT_FDCWD,"{path}",O_RDONLY) = {result}\n'
        for path, result in (
            ("/etc/ld.so.cache", "3"),
            ("/etc/router.conf", "3"),
            ("/etc/gone.conf", "-1 errno=2 (No such file or directory)"),
            ("/var/lib/eth4.conf", "3"),
        )
    )
    run = traced(trace + "2 exit_group(255)\n", tmp_path)
    run.snapshot.target.rootfs = str(tmp_path / "root")
    hypothesis = Hypothesis(
        cause="x",
        proximate="x",
        confidence=1.0,
        title="",
        parameters={"text": "There must be at least 1 Vif"},
    )
    assert start_literals(run, hypothesis, ["new_interface"]) == {"new_interface": '"wan0", "eth1"'}
    hypothesis.parameters["text"] = "no such device br0"
    assert start_literals(run, hypothesis, ["new_interface"]) == {"new_interface": '"br0"'}
    run.snapshot.target.rootfs = None
    hypothesis.parameters["text"] = "no device"
    assert start_literals(run, hypothesis, ["new_interface"]) == {"new_interface": '"eth0"'}
