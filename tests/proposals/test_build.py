"""Proposals: the rules compile, match only what they are about, and do what they say on a guest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.diagnosis.recorded import case_names, load_case, parse_trace, run_of, write_run
from tests.rulehost.memory_guest import MemoryGuest
from triage_tui.diagnosis.report import diagnose
from triage_tui.proposals.build import propose
from triage_tui.retry.rules.proposed import is_filled_in
from triage_tui.rulebook.check.findings import Finding
from triage_tui.rulebook.check.lint import lint, lint_all
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.placeholders import unfilled
from triage_tui.rulebook.plugins.reading import read_plugin
from triage_tui.rulebook.plugins.unixpeer import Unixpeer
from triage_tui.rulebook.rulefile import parse, to_source
from triage_tui.rulehost.client import RuleHost
from triage_tui.rulehost.protocol import Answer, GuestCall
from triage_tui.runs.diagnosis_model import Proposal
from triage_tui.runs.model import Reason
from triage_tui.runs.reader import Run

ENOENT = "-1 errno=2 (No such file or directory)"
PATH, OTHER = 0x1000, 0x2000


def failing(
    trace: str, tmp_path: Path, output: bytes = b"", reason: Reason = "exit", rootfs: Path | None = None
) -> Run:
    calls = parse_trace(trace.encode())
    return write_run(
        tmp_path / "runs", calls, reason=reason, argv=["/sbin/x"], output=output, code=1, rootfs=rootfs
    )


def first_fix(run: Run) -> tuple[Proposal, list[Proposal]]:
    proposals = propose(run, diagnose(run))
    return next(proposal for proposal in proposals if not proposal.observe_only), proposals


def ask(run: Run, proposal: Proposal, guest: MemoryGuest, name: str, *args: int) -> Answer:
    rules = [to_source(file, (run.dir / "rules_patch" / file).read_bytes()) for file in proposal.files]
    with RuleHost(rules, guest) as host:
        assert not [hit for hit in host.hits() if hit.disabled], host.hits()
        answer = host.call(GuestCall(name, 1, args))
    assert answer.error is None
    return answer


def guest_with(**strings: bytes) -> MemoryGuest:
    guest = MemoryGuest()
    for address, text in zip((PATH, OTHER), strings.values(), strict=False):
        guest.map(address, text + b"\0")
    return guest


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, list[Proposal], bool]]:
    """What is proposed for each recorded case, and whether the case is healthy."""
    found = {}
    for name in case_names():
        case = load_case(name)
        run = run_of(case, tmp_path_factory.mktemp("case"))
        found[name] = (run, propose(run, diagnose(run)), bool(case.label["healthy"]))
    return found


@pytest.fixture(scope="module")
def findings(proposed: dict[str, tuple[Run, list[Proposal], bool]]) -> dict[str, list[Finding]]:
    """What the lint finds in all of it, "CASE:FILE" -> findings: one process compiles the rules."""
    return lint_all(
        {
            f"{name}:{file}": (run.dir / "rules_patch" / file).read_bytes()
            for name, (run, proposals, _) in proposed.items()
            for proposal in proposals
            for file in proposal.files
        }
    )


@pytest.mark.parametrize("name", case_names())
def test_every_rule_of_every_recorded_failure_passes_the_lint(
    name: str, proposed: dict[str, tuple[Run, list[Proposal], bool]], findings: dict[str, list[Finding]]
) -> None:
    run, proposals, healthy = proposed[name]
    assert bool(proposals) != healthy
    for proposal in proposals:
        assert proposal.files or proposal.needs_input
        for file in proposal.files:
            found = findings[f"{name}:{file}"]
            assert {one.code for one in found} <= {"unfilled"}
            assert not found or proposal.needs_input
            header = parse((run.dir / "rules_patch" / file).read_bytes()).header
            assert header.run == run.run_id
            assert (header.hit_limit and header.match) or kind_of(file) == "start"
            assert (header.risk, header.template) == (proposal.risk, proposal.template)
            assert all((header.intent, header.effect, header.inverse, header.target))
            assert Path(file).name == f"{Path(file).name.split('@')[0]}@{header.id}.lua"


@pytest.mark.parametrize("name", ["haveged-poolsize-armhf", "busybox-crond-spool-armel", "birdc-armhf"])
def test_there_is_always_a_rule_that_only_watches(name: str, tmp_path: Path) -> None:
    run = run_of(load_case(name), tmp_path)
    watching = [proposal for proposal in propose(run, diagnose(run)) if proposal.observe_only]
    assert watching
    assert all(file.startswith("observe/") for proposal in watching for file in proposal.files)


def test_for_arguments_that_are_wrong_no_call_is_watched(tmp_path: Path) -> None:
    run = run_of(load_case("applet-ls-option"), tmp_path)
    diagnosis = diagnose(run)
    assert diagnosis.hypotheses[0].cause == "arguments"
    assert [one.template for one in propose(run, diagnosis)] == ["correct_arguments"]


def test_a_missing_file_is_provided_for_every_call_that_asked_for_it(tmp_path: Path) -> None:
    run = failing(
        f'2 stat64("/etc/shells",0x1) = {ENOENT}\n2 openat(AT_FDCWD,"/etc/shells",O_RDONLY) = {ENOENT}\n'
        "2 exit_group(1)\n",
        tmp_path,
    )
    fix, _ = first_fix(run)
    assert fix.template == "provide_file"
    assert sorted(Path(file).name.split("@")[0] for file in fix.files) == ["openat", "stat64"]
    for name, args in (("openat", (0xFFFFFF9C, PATH, 0)), ("stat64", (PATH, 0x3000))):
        guest = guest_with(path=b"/etc/shells")
        answer = ask(run, fix, guest, name, *args)
        assert not answer.intercept, "the program's own call goes on and succeeds"
        assert guest.files == {b"/etc/shells": (b"/bin/sh\n", 0o644)}
    guest = guest_with(path=b"/etc/shells.x")
    assert ask(run, fix, guest, "openat", 0, PATH, 0).rule is None
    assert guest.files == {}


def test_content_comes_from_a_sibling_in_the_root_file_system(tmp_path: Path) -> None:
    rootfs = tmp_path / "root"
    (rootfs / "etc").mkdir(parents=True)
    (rootfs / "etc" / "app.conf.default").write_bytes(b'port = "80"\n\xff')
    run = failing(
        f'2 openat(AT_FDCWD,"/etc/app.conf",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n', tmp_path, rootfs=rootfs
    )
    fix, _ = first_fix(run)
    guest = guest_with(path=b"/etc/app.conf")
    ask(run, fix, guest, "openat", 0, PATH, 0)
    assert guest.files[b"/etc/app.conf"][0] == b'port = "80"\n\xff'
    assert "/etc/app.conf.default" in fix.effect


def test_a_sibling_that_is_a_link_out_of_the_root_is_not_read(tmp_path: Path) -> None:
    rootfs = tmp_path / "root"
    (rootfs / "etc").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (rootfs / "etc" / "app.conf.default").symlink_to(tmp_path / "secret")
    run = failing(
        f'2 openat(AT_FDCWD,"/etc/app.conf",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n', tmp_path, rootfs=rootfs
    )
    fix, _ = first_fix(run)
    guest = guest_with(path=b"/etc/app.conf")
    ask(run, fix, guest, "openat", 0, PATH, 0)
    assert guest.files[b"/etc/app.conf"][0] == b""
    assert "empty" in fix.risk_text


def test_a_key_is_left_to_a_person_and_the_unfilled_rule_does_nothing(tmp_path: Path) -> None:
    path = "/etc/ssl/private/server.key"
    run = failing(f'2 openat(AT_FDCWD,"{path}",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n', tmp_path)
    fix, _ = first_fix(run)
    assert fix.needs_input
    assert path in fix.needs_input
    guest = guest_with(path=path.encode())
    assert ask(run, fix, guest, "openat", 0, PATH, 0).rule is None
    assert guest.files == {}


@pytest.mark.parametrize(
    "path", ['/etc/"; c_mkdir_p("/x", 511) --', "/etc/]]x", "/etc/\\", "/etc/\u202e", "/etc/@content@"]
)
def test_a_hostile_path_is_data_and_nothing_else(path: str, tmp_path: Path) -> None:
    trace = f'2 openat(AT_FDCWD,"/etc/PATH",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n'
    calls = parse_trace(trace.encode())
    calls[0].path = path
    run = write_run(tmp_path, calls, reason="exit", argv=["/sbin/x"], code=1)
    fix, _ = first_fix(run)
    guest = guest_with(path=path.encode())
    assert ask(run, fix, guest, "openat", 0, PATH, 0).rule
    assert list(guest.files) == [path.encode()]
    assert guest.directories == {}


def test_a_missing_directory_is_made_before_the_call(tmp_path: Path) -> None:
    run = failing(
        f'2 openat(AT_FDCWD,"/var/run/x.pid",O_RDWR|O_CREAT,0644) = {ENOENT}\n2 exit_group(1)\n', tmp_path
    )
    fix, _ = first_fix(run)
    guest = guest_with(path=b"/var/run/x.pid")
    assert not ask(run, fix, guest, "openat", 0, PATH, 0x42).intercept
    assert guest.directories == {b"/var/run": 0o755}


def test_the_directory_of_a_local_socket_is_made_before_bind(tmp_path: Path) -> None:
    run = failing(
        "2 socket(PF_UNIX,SOCK_STREAM,IPPROTO_IP) = 3\n"
        f'2 bind(3,{{sun_family=AF_UNIX,sun_path="/run/x/ctl"}}, 20) = {ENOENT}\n2 exit_group(1)\n',
        tmp_path,
    )
    fix, _ = first_fix(run)
    guest = MemoryGuest()
    guest.map(PATH, b"\x01\x00/run/x/ctl\0" + bytes(100))
    assert not ask(run, fix, guest, "bind", 3, PATH, 13).intercept
    assert guest.directories == {b"/run/x": 0o755}


def test_a_missing_device_gets_the_nearest_host_device(tmp_path: Path) -> None:
    run = failing(f'2 openat(AT_FDCWD,"/dev/hwrng",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n', tmp_path)
    fix, _ = first_fix(run)
    answer = ask(run, fix, guest_with(path=b"/dev/hwrng"), "openat", 0, PATH, 0)
    assert (answer.intercept, answer.ret) == (True, 9)
    assert "/dev/urandom" in fix.title
    assert not ask(run, fix, guest_with(path=b"/dev/other"), "openat", 0, PATH, 0).intercept


@pytest.mark.parametrize("endian", ["little", "big"])
def test_questions_about_a_missing_interface_are_answered(endian: Any, tmp_path: Path) -> None:
    run = failing(
        '2 ioctl(3,SIOCGIFINDEX,{"lan0\0\0\0",0}) = -1 errno=19 (No such device)\n2 exit_group(1)\n', tmp_path
    )
    fix, _ = first_fix(run)
    guest = MemoryGuest(endian=endian)
    guest.map(PATH, b"lan0" + bytes(28))
    guest.map(OTHER, b"eth1" + bytes(28))
    assert ask(run, fix, guest, "ioctl", 3, 0x8933, PATH).intercept
    assert ask(run, fix, guest, "ioctl", 3, 0xFFFFFFFF00008927, PATH).intercept
    assert guest.ifreq == {(PATH, "ifindex"): 1, (PATH, "hwaddr"): b"\x02\0\0\0\0\x01"}
    assert not ask(run, fix, guest, "ioctl", 3, 0x8933, OTHER).intercept
    assert not ask(run, fix, guest, "ioctl", 3, 0x5401, PATH).intercept


@pytest.mark.parametrize(
    ("text", "address", "other"),
    [
        (
            '{sun_family=AF_UNIX,sun_path="/run/x.ctl"}',
            b"\x01\0/run/x.ctl\0" + bytes(97),
            b"\x01\0/run/x.ctl2" + bytes(97),
        ),
        (
            '{sin_family=AF_INET,sin_port=htons(6379),sin_addr=inet_addr("127.0.0.1")}',
            b"\x02\0\x18\xeb\x7f\0\0\x01" + bytes(8),
            b"\x02\0\x18\xeb\x7f\0\0\x02" + bytes(8),
        ),
    ],
)
def test_a_missing_peer_becomes_a_silent_one_and_a_script_to_fill_in(
    text: str, address: bytes, other: bytes, tmp_path: Path
) -> None:
    run = failing(f"2 connect(4,{text}, 16) = -1 errno=111 (Connection refused)\n2 exit_group(1)\n", tmp_path)
    fix, proposals = first_fix(run)
    assert fix.risk == "high"
    assert "wait" in fix.risk_text
    guest = MemoryGuest()
    guest.map(PATH, address)
    guest.map(OTHER, other)
    answer = ask(run, fix, guest, "connect", 4, PATH, len(address))
    assert (answer.intercept, answer.ret) == (True, 0)
    assert [(fd, script.steps) for fd, script in guest.scripts] == [(4, ())]
    assert not ask(run, fix, guest, "connect", 4, OTHER, len(other)).intercept
    # What the peer answers only a person knows: until it is filled in, the rule cannot be approved.
    (script,) = [one for one in proposals if one.template == "scripted_peer"]
    assert "on the device" in (script.needs_input or "")
    (finding,) = lint((run.dir / "rules_patch" / script.files[0]).read_bytes(), script.files[0])
    assert (finding.severity, finding.code) == ("error", "unfilled")


def test_what_a_silent_peer_was_told_has_a_place_for_each_answer(tmp_path: Path) -> None:
    peer = '{sun_family=AF_UNIX,sun_path="/run/x.ctl"}'
    run = failing(f"2 connect(4,{peer}, 16) = -1 errno=111 (Connection refused)\n2 exit_group(1)\n", tmp_path)
    told = ["other got 1 bytes 'x': no reply fits", '/run/x.ctl got 5 bytes "it\'s\\n": no reply fits']
    told += ["/run/x.ctl got 900 bytes '\\x00\\x01'...: no reply fits"] * 2
    (run.dir / "logs").mkdir(exist_ok=True)
    (run.dir / "logs" / "rules.log").write_text("\n".join(told))
    _, proposals = first_fix(run)
    (script,) = [one for one in proposals if one.template == "scripted_peer"]
    assert not any(one.template == "greeting_peer" for one in proposals)
    text = (run.dir / "rules_patch" / script.files[0]).read_bytes()
    filled = unfilled(text)
    assert len(filled) == 2
    assert len({line for line, _ in filled}) == 2
    found = read_plugin("unixpeer", text).configuration
    assert isinstance(found, Unixpeer)
    assert [(step.equals, step.starts) for step in found.replies] == [("it's\n", None), (None, "\x00\x01")]
    # It is finished when no place is left, whoever wrote the text.
    assert not is_filled_in(run, script)
    text = re.sub(rb"<<FILL IN:[^>]*>>", b"ok", text)
    (run.dir / "rules_patch" / script.files[0]).write_bytes(text)
    assert is_filled_in(run, script)


def test_a_test_for_root_is_answered(tmp_path: Path) -> None:
    run = failing(
        "2 getuid32() = 65534\n2 write(2,0x1,14) = 14\n2 exit_group(1)\n", tmp_path, b"must be root\n\n"
    )
    real, proposals = first_fix(run)
    assert real.template == "start_as_root", "being root comes before being told so"
    (fix,) = [one for one in proposals if one.template == "identity_root"]
    answer = ask(run, fix, MemoryGuest(), "getuid32")
    assert (answer.intercept, answer.ret) == (True, 0)


def test_a_privileged_call_may_be_said_to_have_worked_but_only_from_the_list(tmp_path: Path) -> None:
    denied = "-1 errno=1 (Operation not permitted)"
    run = failing(f"2 setgroups(1,0x100) = {denied}\n2 exit_group(1)\n", tmp_path)
    fix, _ = first_fix(run)
    assert ask(run, fix, MemoryGuest(), "setgroups", 1, 0x100).intercept
    assert not ask(run, fix, MemoryGuest(), "setgroups", 2, 0x100).intercept
    other = failing(f'2 mount("a","/b","c",0,0) = {denied}\n2 exit_group(1)\n', tmp_path)
    assert all(proposal.observe_only for proposal in propose(other, diagnose(other)))


def test_a_wait_for_another_process_is_ended(tmp_path: Path) -> None:
    run = failing("2 kill(1,0) = 0\n" * 20, tmp_path, reason="loop")
    fix, _ = first_fix(run)
    answer = ask(run, fix, MemoryGuest(), "kill", 1, 0)
    assert (answer.intercept, answer.ret) == (True, -3)
    assert not ask(run, fix, MemoryGuest(), "kill", 1, 9).intercept
    assert not ask(run, fix, MemoryGuest(), "kill", 7, 0).intercept


def test_an_unsupported_request_may_be_said_to_have_worked(tmp_path: Path) -> None:
    run = failing(
        "2 ioctl(3,0x7b46,0x100) = -1 errno=38 (Function not implemented)\n2 exit_group(1)\n", tmp_path
    )
    fix = next(one for one in first_fix(run)[1] if one.template == "ioctl_success")
    assert fix.risk == "high"
    assert ask(run, fix, MemoryGuest(), "ioctl", 3, 0x7B46, 0).intercept
    assert not ask(run, fix, MemoryGuest(), "ioctl", 3, 0x7B47, 0).intercept


def test_watching_changes_nothing(tmp_path: Path) -> None:
    run = failing(f'2 openat(AT_FDCWD,"/etc/x",O_RDONLY) = {ENOENT}\n2 exit_group(1)\n', tmp_path)
    _, proposals = first_fix(run)
    watch = next(proposal for proposal in proposals if proposal.observe_only)
    guest = guest_with(path=b"/etc/x")
    answer = ask(run, watch, guest, "openat", 0, PATH, 0)
    assert not answer.intercept
    assert guest.files == {}
    assert any("/etc/x" in line for line in answer.log)


def test_proposals_are_the_same_for_the_same_run(tmp_path: Path) -> None:
    run = run_of(load_case("haveged-poolsize-armhf"), tmp_path)
    assert propose(run, diagnose(run)) == propose(run, diagnose(run))


@pytest.mark.parametrize("option", ["SOL_SOCKET,SO_BUSY_POLL", "1,46"])
def test_a_rule_for_a_socket_option_is_about_its_numbers(option: str, tmp_path: Path) -> None:
    failed = f"1 setsockopt(3,{option},0x1000,4) = -1 errno=92 (Protocol not available)\n"
    run = failing("1 socket(PF_INET,SOCK_STREAM,0) = 3\n" + failed + "1 exit_group(1)\n", tmp_path)
    fix, _ = first_fix(run)
    assert ask(run, fix, guest_with(), "setsockopt", 3, 1, 46, 0x1000, 4).intercept
    assert not ask(run, fix, guest_with(), "setsockopt", 3, 1, 47, 0x1000, 4).intercept
