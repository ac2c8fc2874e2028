"""What SFEmu recorded is shown and diagnosed here, and nothing of it is touched."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.sfemu.broken import BREAKS, UNREADABLE
from tests.sfemu.records import VERSIONS, records_name, rules_directory, write_run, write_stable
from tests.sfemu.scenes import (
    NVRAM_RULE,
    PC,
    PLATFORMS,
    WIDE_PC,
    Call,
    deadloop_scene,
    error_scene,
    exit_scene,
    idle_scene,
    mips_scene,
    platform_scene,
    sleep_scene,
)
from triage_tui.errors import TriageError
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import patches
from triage_tui.runs.events import append_event
from triage_tui.runs.listing import list_runs
from triage_tui.runs.reader import Run, load_run
from triage_tui.sfemu import rules_dir
from triage_tui.sfemu.adopted import read_adopted
from triage_tui.sfemu.adopting import stamp_of
from triage_tui.sfemu.following import ensure


def fingerprint(rules: Path) -> str:
    """Return a digest of all that is in a rule directory but for our part of it."""
    digest = hashlib.sha256()
    for place, directories, names in os.walk(rules):
        directories.sort()
        directories[:] = [name for name in directories if name != "triage_tui"]
        for path in (Path(place, name) for name in sorted([*directories, *names])):
            status = path.lstat()
            # Ours is made in one of the directories, which is a change of its time.
            changed = 0 if path.is_dir() else status.st_mtime_ns
            digest.update(f"{path.relative_to(rules)} {status.st_mode} {changed}\n".encode())
            if path.is_file() and not path.is_symlink() and status.st_size < 1 << 20:
                digest.update(path.read_bytes())
    return digest.hexdigest()


def adopted(rules: Path, source: Path) -> Run:
    """Return our record of a run of theirs."""
    return Workspace.at(rules).load(source.name)


def lacks(run: Run) -> dict[str, str]:
    return {one.what: one.why for one in run.snapshot.unavailable}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_of_every_version_is_complete_and_diagnosed(tmp_path: Path, version: int) -> None:
    rules = rules_directory(tmp_path / "rules", version)
    source = write_run(rules, exit_scene(), version)
    write_stable(rules, source, exit_scene(), version)
    before = fingerprint(rules)
    run = adopted(rules, source)
    snapshot = run.snapshot
    assert run.problems == []
    assert (run.dir.parent.parent, run.run_id) == (rules / records_name(version) / "triage_tui", source.name)
    assert (snapshot.reason, snapshot.trigger.exit_code, snapshot.engine.name) == ("exit", 1, "SFEmu")
    assert (snapshot.target.program, snapshot.target.arch) == ("/usr/sbin/httpd", "arm")
    assert {one.name: one.value for one in snapshot.regs}["pc"] == 0x4082F398
    frames = snapshot.backtrace.frames
    assert [frame.idx for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert (frames[2].func_name, frames[2].module_name) == ("nvram_init", "httpd")
    code = snapshot.backtrace.pseudocode_index[0]
    assert (code.frame, code.kind) == (2, "pseudocode")
    assert 'open("/dev/nvram"' in run.text_file(code.file)
    calls = {call.seq: call for call in run.trace()}
    failed = calls[44]
    assert (failed.name, failed.path, failed.errno) == ("open", "/dev/nvram", "ENOENT")
    assert failed.arguments == ['"/dev/nvram"', "O_RDWR"]
    assert failed.return_address == 0x4082F3A4
    assert failed.ts_mono_ns < snapshot.trigger.ts_mono_ns
    assert (calls[40].name, calls[42].name, calls[43].rule) == ("brk", "set_tls", None)
    path = run.memory_object("last_err_arg0")
    assert path is not None
    assert (path.string, path.seq) == ("/dev/nvram", 44)
    assert run.memory_bytes("last_err_arg0").startswith(b"/dev/nvram\0rw\0")
    assert b"\xff\xfe\x80caf\xc3\xa9" in run.memory_bytes("reg_sp")
    assert run.diagnosis is not None
    assert run.diagnosis.hypotheses[0].cause == "nvram_key"
    assert {proposal.source for proposal in run.diagnosis.proposals} == {"kb", "sfemu"}
    assert patches.read_rule(run.dir, "fix/syscall/open.lua").decode() == NVRAM_RULE
    assert "run_id=" in run.text_file("logs/sfemu-retry.log")
    assert "exit" in run.text_file("logs/sfemu-diagnosis.md")
    assert json.loads(run.text_file("logs/sfemu-stable.log"))["exported"][0]["syscall"] == "open"
    about = read_adopted(run.dir)
    assert about is not None
    assert about.source == f"{records_name(version)}/ai_runs/{source.name}"
    assert str(version) in about.versions or about.versions in ("1 to 3", "4 to 6")
    assert "environment" in lacks(run)
    assert lacks(run)["architecture"].endswith("little-endian by the return addresses in its memory")
    assert run.state == "proposed"
    assert fingerprint(rules) == before


def test_a_rule_of_theirs_says_what_became_of_it(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    first = write_run(rules, exit_scene())
    write_stable(rules, first, exit_scene())
    again = write_run(rules, exit_scene(), number=1)
    run = adopted(rules, again)
    assert run.diagnosis is not None
    theirs = {one.id: one for one in run.diagnosis.proposals if one.source == "sfemu"}
    assert "SFEmu applied it at once, to syscall_override/open.lua" in theirs["sfemu-fix-open"].effect
    assert "transient" in theirs["sfemu-fix-open"].effect
    assert theirs["sfemu-observe-exit_group"].observe_only
    # The rule that it took the place of, and what its tool said, escapes and all.
    assert "open__override.lua" in run.text_file("logs/sfemu-replaced-rules.log")
    assert "\x1b[31m/dev/nvram" in run.text_file("logs/sfemu-tool.log")
    old = adopted(rules, first).diagnosis
    assert old is not None
    assert "took it for stable" in next(one for one in old.proposals if one.id == "sfemu-fix-open").effect


def test_a_loop_is_the_one_that_was_reported_counted_in_the_calls(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    run = adopted(rules, write_run(rules, deadloop_scene()))
    loop = run.snapshot.loop
    assert loop is not None
    assert (run.snapshot.reason, loop.period, loop.repeats) == ("loop", 3, 12)
    assert (loop.first_seq, loop.last_seq, loop.names) == (41, 76, ["socket", "ioctl", "close"])
    # SFEmu read nothing there: to its scripts such an address is negative.
    asked = run.syscall(75)
    assert asked is not None
    assert (asked.request, asked.arguments) == ("SIOCGIFINDEX", ["7", "SIOCGIFINDEX", "0xbefff1c0"])
    made = run.syscall(74)
    assert made is not None
    assert made.arguments == ["PF_INET", "SOCK_DGRAM", "0"]
    assert "0x80000000" in lacks(run)["memory"]
    assert run.diagnosis is not None
    assert run.diagnosis.hypotheses[0].cause == "missing_interface"


def test_sleeping_silence_and_an_error_are_told_apart(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    sources = [
        write_run(rules, make(), number=number)
        for number, make in enumerate((sleep_scene, idle_scene, error_scene))
    ]
    sleeping, idle, failed = (adopted(rules, source) for source in sources)
    assert sleeping.snapshot.loop is not None
    assert (sleeping.snapshot.reason, sleeping.snapshot.loop.sleeps) == ("sleep_loop", True)
    assert sleeping.snapshot.loop.names == ["access", "_newselect"]
    assert (idle.run_id[-8:], idle.snapshot.reason) == ("04600001", "idle")
    assert (idle.snapshot.trigger.seq, idle.snapshot.trigger.spinning) == (45, True)
    assert idle.snapshot.statistics.syscalls == 46
    assert "0x1b0f4" in idle.snapshot.trigger.detail
    assert (failed.snapshot.reason, failed.snapshot.trigger.detail) == ("syscall", "it failed with ENOENT")


def test_mips_is_known_by_its_numbers_and_has_its_own_errors(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    run = adopted(rules, write_run(rules, mips_scene()))
    assert run.snapshot.target.arch == "mipsel"
    assert "recorded none" in lacks(run)["registers"]
    refused = run.syscall(42)
    assert refused is not None
    assert (refused.errno, refused.peer) == ("ECONNREFUSED", "unix:/var/run/cfgd.sock")


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_machine_is_told_from_what_its_scripts_saw(tmp_path: Path, name: str) -> None:
    platform = PLATFORMS[name]
    rules = rules_directory(tmp_path / "rules")
    run = adopted(rules, write_run(rules, platform_scene(name)))
    assert (run.snapshot.target.arch, run.problems) == (name, [])
    calls = [call for call in run.trace() if call.name in (*platform.numbers, "connect")]
    opened, refused = calls[0], calls[2]
    # O_LARGEFILE has another number almost everywhere; AT_FDCWD is an int in a wide register.
    assert "O_RDWR|O_LARGEFILE" in opened.arguments
    assert opened.name == "open" or opened.arguments[0] == "AT_FDCWD"
    assert calls[1].arguments == ["PF_UNIX", "SOCK_STREAM", "0"]
    assert (refused.errno, refused.peer) == ("ECONNREFUSED", "unix:/var/run/cfgd.sock")
    assert run.snapshot.trigger.exit_code == 1
    assert run.diagnosis is not None
    assert run.diagnosis.hypotheses[0].cause == "missing_peer"
    frames = run.snapshot.backtrace.frames
    if platform.registers:
        assert (frames[0].idx, frames[0].addr) == (0, WIDE_PC if platform.wide else PC)
        wide = {one.name: one.value for one in run.snapshot.regs if one.size == 8}
        assert not platform.wide or (1 << 64) - 1 in wide.values()
    assert ("call stack" in lacks(run)) is not platform.has_stack
    assert platform.has_stack or lacks(run)["call stack"].endswith(f"it keeps none of {name}")
    if platform.misnamed is not None:
        theirs, number = platform.misnamed
        (odd,) = (call for call in run.trace() if call.num == number)
        assert odd.name not in (theirs, f"sys_{number}")
        assert f"SFEmu named it {theirs}" in (odd.note or "")


def test_the_byte_order_of_mips_is_told_by_what_lies_in_memory(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    big = platform_scene("mips")
    silent = replace(big, frames=(), memory={})
    near = replace(silent, memory={0x00471200: (0x00471200).to_bytes(4, "big") * 3})
    told = []
    for number, scene in enumerate((big, silent, near)):
        run = adopted(rules, write_run(rules, scene, number=number))
        told.append((run.snapshot.target.arch, lacks(run)["architecture"].rpartition(" by ")[2]))
    assert told[0] == ("mips", "the families of its socket addresses")
    assert told[1][0] == "mipsel"
    assert "byte order is not recorded" in told[1][1]
    assert told[2] == ("mips", "the addresses in its memory")


def test_of_what_is_not_known_nothing_is_said(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    scene = replace(exit_scene(), registers=(), calls=(Call(None, 7001, (1,)),), fixes={})
    run = adopted(rules, write_run(rules, scene))
    assert run.snapshot.target.arch == ""
    assert lacks(run)["registers"] == "SFEmu recorded none: why, it does not say"
    assert "mips" in adopted(rules, write_run(rules, mips_scene(), number=1)).snapshot.target.arch


def test_what_a_rule_makes_stays_in_the_root_of_sfemu_and_is_said_to(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    missing = 0x00054C00
    scene = replace(
        exit_scene(),
        calls=(Call("open", 5, (missing, 0, 0), -2), Call("exit_group", 248, (1,))),
        memory={missing: b"/etc/httpd.conf\0".ljust(64, b"\0")},
    )
    run = adopted(rules, write_run(rules, scene))
    assert run.diagnosis is not None
    told = next(one for one in run.diagnosis.proposals if one.template == "provide_file")
    assert told.inverse.startswith("roll back the generation, then remove the file")
    assert "the root file system that SFEmu uses" in told.effect
    text = patches.read_rule(run.dir, told.files[0]).decode()
    assert f"-- inverse: {told.inverse}\n" in text
    assert "never was" not in text


def test_an_argument_that_is_no_number_is_not_made_up(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    snapshot = json.loads((source / "snapshot.json").read_bytes())
    snapshot["trigger"]["args"][0] = snapshot["recent_syscalls"][-1]["args"][0] = 10**30
    (source / "snapshot.json").write_text(json.dumps(snapshot))
    run = adopted(rules, source)
    assert (run.snapshot.trigger.exit_code, run.snapshot.trigger.args) == (None, [])
    assert run.diagnosis is not None
    assert not run.diagnosis.healthy


def test_a_snapshot_without_an_end_is_being_written_for_a_while(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    snapshot = source / "snapshot.json"
    whole = snapshot.read_bytes()
    snapshot.write_bytes(whole[: len(whole) // 2])
    workspace = Workspace.at(rules)
    (listed,) = list_runs(workspace.runs_dir)
    assert (listed.form, listed.problem) == ("writing", "still being written")
    with pytest.raises(TriageError, match="SFEmu is at writing"):
        workspace.load(source.name)
    # Nobody goes on with it.
    os.utime(snapshot, (1e9, 1e9))
    assert list_runs(workspace.runs_dir)[0].form == "unreadable"
    with pytest.raises(TriageError, match="not valid JSON"):
        workspace.load(source.name)
    snapshot.write_bytes(whole)
    assert adopted(rules, source).problems == []
    # What is whole and no run is not on its way to one.
    snapshot.write_text("[1, 2]")
    assert list_runs(workspace.runs_dir)[0].form != "writing"


def test_a_proposal_that_is_never_asked_says_so_once_the_entry_script_does(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    place = 0x00054C00
    scene = replace(
        exit_scene(),
        calls=(Call("sys_39", 39, (place, 0o755), -2), Call("exit_group", 248, (1,))),
        memory={place: b"/var/run/httpd/lock\0".ljust(64, b"\0")},
    )
    source = write_run(rules, scene)

    def unasked() -> set[str]:
        diagnosis = adopted(rules, source).diagnosis
        assert diagnosis is not None
        return {one.not_on_sfemu for one in diagnosis.proposals if "mkdir" in "".join(one.files)}

    assert unasked() == {""}
    (rules / "entry.lua").write_text("function entry(name) return handlers[name].do_syscall() end\n")
    assert unasked() == {
        "it is for mkdir, and SFEmu has no name for that call, so that it never asks a rule about it"
    }


def test_return_addresses_of_thumb_code_are_even_everywhere(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    scene = exit_scene()
    odd = tuple(replace(frame, addr=frame.addr | 1) for frame in scene.frames)
    source = write_run(rules, replace(scene, frames=odd))
    snapshot = json.loads((source / "snapshot.json").read_bytes())
    # SFEmu looks up fewer frames than it has return addresses.
    snapshot["backtrace"]["frames"] = snapshot["backtrace"]["frames"][:2]
    (source / "snapshot.json").write_text(json.dumps(snapshot))
    run = adopted(rules, source)
    frames = run.snapshot.backtrace.frames[1:]
    assert [(frame.addr & 1, frame.thumb) for frame in frames] == [(0, True)] * 5
    assert run.syscall(44).return_address == 0x4082F3A4  # type: ignore[union-attr]


def test_what_did_not_change_is_not_read_again_and_what_did_keeps_what_was_decided(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    run = adopted(rules, source)
    before = {path: path.stat().st_mtime_ns for path in run.dir.rglob("*")}
    assert adopted(rules, source).dir == run.dir
    assert {path: path.stat().st_mtime_ns for path in run.dir.rglob("*")} == before
    append_event(run.dir, "rejected", {"reason": "no"})
    patches.write_rule(run.dir, "fix/syscall/open.lua", b"-- mine\n")
    with (source / "retry.log").open("a") as log:
        log.write("applied: close kind=fix dst=syscall_override\n")
    (source / "rules_patch" / "fix" / "syscall" / "close.lua").write_text(NVRAM_RULE)
    # The next start of the program has written over what was kept of the calls.
    for path in source.parent.parent.glob("syscall_ctx_*"):
        path.unlink()
    again = adopted(rules, source)
    assert "applied: close" in again.text_file("logs/sfemu-retry.log")
    assert again.state == "rejected"
    assert patches.read_rule(run.dir, "fix/syscall/open.lua") == b"-- mine\n"
    assert patches.read_rule(run.dir, "fix/syscall/close.lua").decode() == NVRAM_RULE
    assert again.diagnosis is not None
    assert "sfemu-fix-close" in {one.id for one in again.diagnosis.proposals}
    assert [event.kind for event in again.events].count("captured") == 1
    assert again.syscall(44).ts_mono_ns > 0  # type: ignore[union-attr]


def test_code_of_a_thumb_frame_is_found_by_the_odd_name_of_its_file(tmp_path: Path) -> None:
    scene = exit_scene()
    frames = (replace(scene.frames[1], addr=0x0001A3C9), *scene.frames[2:])
    rules = rules_directory(tmp_path / "rules", 6)
    run_dir = write_run(rules, replace(scene, frames=frames))
    snapshot = json.loads((run_dir / "snapshot.json").read_bytes())
    for frame in snapshot["backtrace"]["frames"]:
        frame.pop("pseudocode_path", None)
    (run_dir / "snapshot.json").write_text(json.dumps(snapshot))
    found = adopted(rules, run_dir).snapshot.backtrace
    assert [(one.frame, one.addr_hex) for one in found.pseudocode_index] == [(1, "0x1a3c8")]


def test_call_contexts_are_read_with_and_without_blanks_between_arguments(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    for path in (rules / "cache").glob("syscall_ctx_*"):
        lines = path.read_text().split("\n")
        told = [line.replace(", ", ",") if line.startswith("args: ") else line for line in lines]
        path.write_text("\n".join(told))
    run = adopted(rules, source)
    assert "times of the calls" not in lacks(run)
    assert all(call.ts_mono_ns for call in run.trace())


def test_call_contexts_of_another_start_are_not_believed(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    first = write_run(rules, exit_scene())
    write_run(rules, deadloop_scene(), number=1)
    run = adopted(rules, first)
    assert {call.return_address for call in run.trace()} == {None}
    assert "no syscall_ctx_*" in lacks(run)["times of the calls"]


def test_a_run_whose_taking_in_was_ended_is_taken_in_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as ended:
        ended.setattr("triage_tui.sfemu.adopting.explain", killed)
        with pytest.raises(KeyboardInterrupt):
            adopted(rules, source)
    diagnosis = adopted(rules, source).diagnosis
    assert diagnosis is not None
    assert "sfemu-fix-open" in {one.id for one in diagnosis.proposals}


def test_only_as_deep_as_sfemu_writes_is_looked_for_changes(tmp_path: Path) -> None:
    # A thousand directories in each other are more than Python can call itself.
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    found = rules_dir.find(rules)
    assert found is not None
    deep = source / "memory/a/b/c/d"
    deep.mkdir(parents=True)
    before = stamp_of(found, source)
    (deep / "new").touch()
    assert stamp_of(found, source) == before
    (source / "rules_patch/fix/syscall/close.lua").touch()
    assert stamp_of(found, source) != before


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_run_harms_nothing(tmp_path: Path, how: str) -> None:
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    sound = write_run(rules, exit_scene(), number=1)
    BREAKS[how](source)
    before = fingerprint(rules)
    workspace = Workspace.at(rules)
    assert workspace.take_in(60) == 0
    listed = {run.run_id: run for run in list_runs(workspace.runs_dir)}
    assert listed[sound.name].form == "run"
    if how in UNREADABLE:
        assert listed[source.name].problem
        with pytest.raises(TriageError):
            workspace.load(source.name)
        assert not (workspace.runs_dir / source.name).exists()
    else:
        run = workspace.load(source.name)
        assert run.diagnosis is not None
        assert run.diagnosis_problem == ""
        kept = b"".join(path.read_bytes() for path in run.dir.rglob("*") if path.is_file())
        assert b"root:secret" not in kept
        assert sum(path.stat().st_size for path in run.dir.rglob("*")) < 16 << 20
    assert fingerprint(rules) == before


def test_a_run_of_ours_under_the_same_name_stays(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    source = write_run(rules, exit_scene())
    home = Workspace.at(rules).root
    own = home / "ai_runs" / source.name
    own.mkdir(parents=True)
    (own / "snapshot.json").write_text('{"reason": "exit"}')
    assert ensure(home, source.name) == own
    assert load_run(own).snapshot.engine.name != "SFEmu"


def test_runs_are_listed_before_they_are_taken_in(tmp_path: Path) -> None:
    rules = rules_directory(tmp_path / "rules")
    sources = [write_run(rules, exit_scene(), number=number) for number in range(5)]
    workspace = Workspace.at(rules)
    listed = list_runs(workspace.runs_dir)
    assert [run.run_id for run in listed] == sorted((one.name for one in sources), reverse=True)
    assert {run.form for run in listed} == {"sfemu"}
    assert workspace.take_in(0.0) == 5
    assert workspace.run_dir("last").name == sources[-1].name
    assert [run.form for run in list_runs(workspace.runs_dir)] == ["run", *["sfemu"] * 4]


def test_records_of_both_generations_are_read_side_by_side(tmp_path: Path) -> None:
    rules = rules_directory(rules_directory(tmp_path / "rules", 1), 6)
    old = write_run(rules, exit_scene(), 1)
    new = write_run(rules, deadloop_scene(), 6, number=1)
    workspace = Workspace.at(rules)
    assert workspace.take_in(60) == 0
    assert workspace.root == rules / "cache" / "triage_tui"
    assert [run.run_id for run in list_runs(workspace.runs_dir)] == [new.name, old.name]
    about = read_adopted(workspace.run_dir(old.name))
    assert about is not None
    assert (about.source, about.versions) == (f"data/ai_runs/{old.name}", "1 to 3")
    assert about.files["snapshot.json"] == hashlib.sha256((old / "snapshot.json").read_bytes()).hexdigest()
