"""The plugin in a real Lua 5.3: announces a stop, waits without the processor, believes nothing odd."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.sfemu.stopped import EXIT, IDLE, LOOP, Stopped, home_of, make_rules
from triage_tui.errors import Conflict, TriageError
from triage_tui.sfemu import deciding, waits


def _wait(rules: Path, version: int = 6) -> waits.Wait:
    [wait] = waits.waits(home_of(rules, version))
    return wait


def _tell(rules: Path, action: str, version: int = 6) -> None:
    home = home_of(rules, version)
    waits.write_decision(home, _wait(rules, version), action, "tester", [])


def test_a_decision_is_followed_and_leaves_nothing_behind(tmp_path: Path) -> None:
    rules = make_rules(tmp_path / "rules")
    home = home_of(rules)
    with Stopped(rules) as stopped:
        stopped.call(LOOP)
        stopped.waits()
        wait = _wait(rules)
        assert wait.alive
        assert wait.process == (stopped.process.pid, wait.process and wait.process[1])
        assert (wait.reason, wait.default, wait.can) == ("deadloop", "resume", waits.ACTIONS)
        # A rule that a person publishes while it waits.
        published = rules / "syscall_override_user" / "loop.lua"
        published.parent.mkdir()
        published.write_text("function do_syscall(num) return true, 7 end\n")
        assert waits.is_decided(home, wait) is False
        _tell(rules, "resume")
        assert stopped.until("returned")["values"] == [True, 7]
        assert waits.waits(home) == []
        assert os.listdir(home / "decisions") == []
        [ended] = waits.over(home)
        assert (ended.run_id, ended.nonce, ended.how, ended.action) == (
            wait.run_id,
            wait.nonce,
            "decision",
            "resume",
        )
        suspended = [one["suspended"] for one in stopped.said if one["event"] == "watchdog"]
        assert suspended == [True, False]
        assert not any(one["event"] == "prompt" for one in stopped.said)

        # It is executed again as the same process, and stops anew.
        stopped.call(EXIT)
        stopped.waits()
        second = _wait(rules)
        assert second.nonce != wait.nonce
        _tell(rules, "retry")
        assert stopped.until("reexec")["tag"] == second.run_id
        assert stopped.until("ready")["pid"] == stopped.process.pid

        stopped.call(EXIT)
        stopped.waits()
        _tell(rules, "end")
        assert stopped.ended() == 130
        assert waits.waits(home) == []


def test_odd_decisions_are_not_believed(tmp_path: Path) -> None:
    rules = make_rules(tmp_path / "rules")
    places = home_of(rules) / "decisions"
    with Stopped(rules) as stopped:
        stopped.call(LOOP)
        stopped.waits()
        wait = _wait(rules)
        good = {"format": waits.DECISION_FORMAT, "run_id": wait.run_id, "nonce": wait.nonce, "action": "end"}
        path = places / wait.name
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(waits.compose(good))
        mark = tmp_path / "executed"

        def put(data: bytes, why: str) -> None:
            temporary = places / "new"
            temporary.write_bytes(data)
            temporary.replace(path)
            stopped.until("log", why)

        put(waits.compose({**good, "nonce": "0" * 32}), "it is for another wait")
        put(waits.compose(good)[:-1], "it is not whole")
        put(waits.compose({**good, "action": "reboot"}), "it names no action")
        put(f"os.execute('touch {mark}')\n".encode(), "it is not whole")
        put(waits.compose({**good, "Action": "end"}), "it is of another form")
        put(waits.compose(good).replace(b"end\n", b"e\0d\n"), "it holds bytes")
        put(waits.compose({**good, "rules": "a" * waits.MAX_BYTES}), "no file of at most")
        path.unlink()
        path.symlink_to(elsewhere)
        stopped.until("log", "it is a link")
        path.unlink()
        os.mkfifo(path)
        stopped.until("log", "no file of at most")
        path.unlink()
        path.symlink_to("/dev/zero")
        stopped.until("log", "it is a link")
        path.unlink()
        # The directory itself may be exchanged for a link.
        places.rename(tmp_path / "real")
        places.symlink_to(tmp_path / "real")
        (tmp_path / "real" / wait.name).write_bytes(waits.compose({**good, "action": "resume"}))
        time.sleep(0.2)
        assert stopped.process.poll() is None
        assert not any(one["event"] == "returned" for one in stopped.said)
        places.unlink()
        places.mkdir()
        _tell(rules, "resume")
        stopped.until("returned")
        assert not mark.exists()
        assert elsewhere.exists()


@pytest.mark.parametrize("version", [1, 4])
def test_the_default_is_done_in_time(tmp_path: Path, version: int) -> None:
    config = "SFEMU_TRIAGE_TIMEOUT=0.1\nSFEMU_TRIAGE_DEFAULT=retry\n"
    rules = make_rules(tmp_path / "rules", version, config)
    with Stopped(rules, version) as stopped:
        stopped.call(EXIT)
        if version == 1:
            # Its SFEmu cannot start again, and has no watchdog that could be told.
            stopped.until("log", "resume is used")
            stopped.until("returned")
            assert stopped.said[-2]["event"] == "log"
        else:
            stopped.until("reexec")
        [ended] = waits.over(home_of(rules, version))
        assert (ended.how, ended.action) == ("deadline", "resume" if version == 1 else "retry")


def test_what_cannot_be_done_is_said_before(tmp_path: Path) -> None:
    rules = make_rules(tmp_path / "rules", 3)
    with Stopped(rules, 3) as stopped:
        stopped.call(LOOP)
        stopped.waits()
        home = home_of(rules, 3)
        [wait] = deciding.of_run(home, _wait(rules, 3).run_id)
        with pytest.raises(TriageError, match="no c_request_reexec; it takes resume or end"):
            deciding.check(home, [wait], "retry")
        # Whoever writes it all the same is not followed.
        waits.write_decision(home, wait, "retry", "tester", [])
        stopped.until("log", "is not followed: this SFEmu has no c_request_reexec")
        waits.write_decision(home, wait, "resume", "tester", [])
        stopped.until("returned")
    rules = make_rules(tmp_path / "spinning")
    with Stopped(rules, SFEMU_REEXEC_COUNT="3") as stopped:
        stopped.call(LOOP)
        stopped.waits()
        assert "3 times" in _wait(rules).why_not
        _tell(rules, "resume")
        stopped.until("returned")
        stopped.call(IDLE)
        stopped.waits()
        assert _wait(rules).can == ("resume", "end")


def test_without_a_way_to_wait_or_a_place_sfemu_asks_itself(tmp_path: Path) -> None:
    rules = make_rules(tmp_path / "rules")
    # A machine without poll(2), and no `sleep`, as in the root file system of a foreign machine.
    with Stopped(rules, machine="aarch64", PATH="/nonexistent") as stopped:
        stopped.call(LOOP)
        stopped.until("prompt")
        assert "without using the processor" in stopped.logged()
        assert waits.waits(home_of(rules)) == []
        (rules / "cache" / "triage_tui").rename(tmp_path / "home")
        (rules / "cache" / "triage_tui").write_text("no directory")
        stopped.call(LOOP)
        stopped.until("log", "cannot make")
        stopped.until("prompt")
    # What SFEmu goes on from by itself, and what it records nothing of, stays as it is.
    for config in ("SFEMU_AI_AUTO_CONTINUE=1\n", "SFEMU_NO_PROMPT=1\n", "SFEMU_AI_ENABLE=0\n"):
        rules = make_rules(tmp_path / config.partition("=")[0], config=config)
        with Stopped(rules) as stopped:
            stopped.call(LOOP)
            stopped.until("returned")
            asked = any(one["event"] == "prompt" for one in stopped.said)
            assert asked is ("AUTO_CONTINUE" not in config)
            assert not home_of(rules).exists()


def test_a_process_that_is_gone_waits_no_more(tmp_path: Path) -> None:
    rules = make_rules(tmp_path / "rules")
    # No poll(2) here: it waits with `sleep`, which Ctrl-C ends together with the program.
    with Stopped(rules, machine="aarch64") as stopped:
        stopped.call(LOOP)
        stopped.waits()
        wait = _wait(rules)
        os.killpg(stopped.process.pid, signal.SIGKILL)
        stopped.process.wait()
        assert _wait(rules).alive is False
        with pytest.raises(Conflict, match="does not wait"):
            deciding.of_run(home_of(rules), wait.run_id)


def test_two_processes_that_recorded_under_one_name_both_wait(tmp_path: Path) -> None:
    rules = make_rules(tmp_path / "rules")
    home = home_of(rules)
    with Stopped(rules) as first, Stopped(rules) as second:
        for stopped in (first, second):
            stopped.call(LOOP)
            stopped.waits()
        one, other = deciding.of_run(home, waits.waits(home)[0].run_id)
        assert one.run_id == other.run_id
        assert {one.pid, other.pid} == {first.process.pid, second.process.pid}
        assert "2 processes" in deciding.tell(home, [one, other], "resume", "tester")
        for stopped in (first, second):
            stopped.until("returned")
    assert waits.waits(home) == []


def test_a_process_of_a_container_lives_as_long_as_it_says_so(tmp_path: Path) -> None:
    fields = {
        "format": waits.WAIT_FORMAT,
        "run_id": "20260131_020007_00000042",
        "nonce": "0123456789abcdef",
        "pid": "7",
        "start": "999999999999",
        "boot": "of another machine",
        "init": "1",
        "can": "resume,end,reboot",
    }
    path = tmp_path / waits.WAITING / "20260131_020007_00000042.txt"
    path.parent.mkdir()
    path.write_bytes(waits.compose(fields))
    [wait] = waits.waits(tmp_path)
    assert (wait.alive, wait.process, wait.can) == (True, None, ("resume", "end"))
    os.utime(path, (1, 1))
    assert waits.waits(tmp_path)[0].alive is False


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"end=0\n",
        b"a=b\n",
        b"a=b\na=c\nend=8\n",
        b"a=b\nend=4\nx=y\n",
        b"a=\xff\nend=4\n",
        b"a=b\nend=04\n",
    ],
)
def test_files_of_another_form_are_refused(data: bytes) -> None:
    with pytest.raises(TriageError):
        waits.parse(data)
    good = waits.compose({"a": "b", "c": "d=e"})
    assert waits.parse(good) == {"a": "b", "c": "d=e"}
    for cut in range(len(good)):
        with pytest.raises(TriageError):
            waits.parse(good[:cut])


def test_planted_files_and_links_are_passed_over(tmp_path: Path) -> None:
    place = tmp_path / waits.WAITING
    place.mkdir()
    (place / "20260131_020007_00000042.txt").symlink_to("/etc/passwd")
    os.mkfifo(place / "20260131_020007_00000043.txt")
    (place / "20260131_020007_00000044.txt").write_bytes(b"x" * (waits.MAX_BYTES + 1))
    (place / "20260131_020007_00000045.txt").write_bytes(
        waits.compose({"format": waits.WAIT_FORMAT, "run_id": "../../etc", "nonce": "0" * 16})
    )
    assert waits.waits(tmp_path) == []
    deciding.take_note(tmp_path)


def test_planted_waits_hide_none_and_cost_one_look_at_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def by_own_number() -> dict[tuple[int, int], int]:
        looks.append(1)
        return {}

    monkeypatch.setattr(waits, "_by_own_number", by_own_number)
    place = tmp_path / waits.WAITING
    place.mkdir()
    for number in range(waits.MAX_FILES + 50):
        run_id = f"20250131_020007_{number:08d}"
        told = {"format": waits.WAIT_FORMAT, "run_id": run_id, "nonce": "0" * 16, "pid": "2", "start": "1"}
        (place / f"{run_id}.txt").write_bytes(waits.compose(told))
        (place / f"0{number}.txt").touch()
    found = waits.waits(tmp_path)
    assert len(found) == waits.MAX_FILES
    assert found[-1].run_id == run_id
    assert looks == [1]
    [oldest] = waits.waits(tmp_path, "20250131_020007_00000000")
    # A decision that its process would not read is not left anywhere.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / waits.DECISIONS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TriageError, match="is a link"):
        waits.write_decision(tmp_path, oldest, "end", "tester", [])
    assert os.listdir(tmp_path / "elsewhere") == []
