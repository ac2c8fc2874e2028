"""Names that cannot be resolved need an address from a person; some paths are no place for a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import load_case, parse_trace, run_of, write_run
from triage_tui.diagnosis.report import diagnose
from triage_tui.proposals.build import propose
from triage_tui.proposals.content import choose, may_be_file
from triage_tui.proposals.names import unresolved_name
from triage_tui.proposals.templates import load_library
from triage_tui.rulebook.check.lint import lint


@pytest.mark.parametrize(
    ("output", "name"),
    [
        (
            "RESOLVE: Cannot resolve host address: vpn.example.com:1194 (Temporary failure)\n",
            "vpn.example.com",
        ),
        ("ping: bad address 'gw.example'\n", "gw.example"),
        ("lookup localhost on [::1]:53: read udp: refused\n", ""),
        ("cannot resolve 10.0.0.1\n", ""),
        ("could not resolve names: see /etc/app/main.conf\n", ""),
        ("started example.com\n", ""),
        ("cannot resolve other.example or given.example\n", "given.example"),
    ],
)
def test_the_name_is_the_one_that_the_program_complains_about(output: str, name: str, tmp_path: Path) -> None:
    calls = parse_trace(b"2 exit_group(1)\n")
    argv = ["/sbin/x", "--to=given.example:80"]
    run = write_run(tmp_path, calls, reason="exit", argv=argv, output=output.encode(), code=1)
    assert unresolved_name(run) == name


def test_the_address_of_a_name_is_left_to_a_person(tmp_path: Path) -> None:
    run = run_of(load_case("openvpn-resolve-mipsel"), tmp_path)
    proposals = [one for one in propose(run, diagnose(run)) if not one.observe_only]
    assert all(one.needs_input for one in proposals), [one.title for one in proposals]
    first = proposals[0]
    assert "vpn.example.com" in first.title
    for file in first.files:
        found = lint((run.dir / "rules_patch" / file).read_bytes(), file)
        assert [one.code for one in found if one.severity == "error"] == ["unfilled"]


def test_this_machine_s_own_name_needs_nobody(tmp_path: Path) -> None:
    run = run_of(load_case("localhost-without-hosts-armhf"), tmp_path)
    titles = [one.title for one in propose(run, diagnose(run)) if not one.needs_input]
    assert "Give the program the file /etc/hosts" in titles


@pytest.mark.parametrize(
    ("path", "may"),
    [
        ("/proc/self", False), ("/proc/12/maps", False), ("/proc/meminfo", True), ("/proc/selfish", True),
        ("/var/tmp", False), ("/etc/x/", False), ("/VAR/WWW", False), ("/Var/Other", True), ("/var/x", True),
    ],
)  # fmt: skip
def test_not_every_path_is_a_place_for_a_file(path: str, may: bool, tmp_path: Path) -> None:
    (tmp_path / "var" / "www").mkdir(parents=True)
    assert may_be_file(path, str(tmp_path)) is may


@pytest.mark.parametrize(
    ("arch", "destination"), [("mipsel", b"0001A8C0"), ("mips", b"C0A80100"), ("s390x", b"C0A80100")]
)
def test_an_address_in_a_table_of_the_kernel_has_the_order_of_the_machine(
    arch: str, destination: bytes
) -> None:
    content = choose("/proc/net/route", None, load_library(), arch)
    assert content.data is not None
    assert content.data.splitlines()[1].split()[1] == destination


def test_the_usual_list_of_interfaces_has_none_that_nobody_asked_for() -> None:
    content = choose("/proc/net/dev", None, load_library(), "arm").data
    assert content is not None
    assert [line.split(b":")[0].strip() for line in content.splitlines()[2:]] == [b"lo"]
