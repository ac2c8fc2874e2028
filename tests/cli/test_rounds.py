from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.programs import root_with
from triage_tui.cli import rounds as rounds_command
from triage_tui.cli.rounds import SignalEvent, cancelled_by_signals
from triage_tui.errors import Interrupted
from triage_tui.guest.freezing.triggers import TriggerLimits
from triage_tui.guest.host.process import descendants
from triage_tui.retry.freezing import FreezeSwitch
from triage_tui.retry.rounds.loop import run_rounds
from triage_tui.retry.start import Start
from triage_tui.retry.workspace import Workspace
from triage_tui.runs.writer import RunWriter


def test_a_signal_in_the_middle_of_waiting_never_deadlocks() -> None:
    with cancelled_by_signals() as cancel:
        assert isinstance(cancel, SignalEvent)
        # Signals from another thread hit the waiting one at every possible place.
        done = threading.Event()

        def bombard() -> None:
            while not done.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=bombard)
        thread.start()
        for _ in range(2000):
            cancel.wait(0)
        done.set()
        thread.join()
        assert cancel.is_set()


def test_waiting_ends_with_the_event_or_the_time() -> None:
    event = SignalEvent()
    assert not event.wait(0.01)
    threading.Timer(0.05, event.set).start()
    assert event.wait(30)
    assert event.wait()


def test_a_second_signal_ends_the_writing_of_the_record_and_leaves_nothing(
    tmp_path: Path, qemu_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds_command, "_SAME_S", -1.0)
    root = root_with(tmp_path / "root", "mips", "spins")
    start = Start(program="/bin/spins", argv=["spins"], rootfs=str(root), triggers=TriggerLimits(idle_s=1000))
    written = RunWriter.write_trace

    def interrupted(writer: RunWriter, *args: Any, **more: Any) -> int:
        assert written(writer, *args, **more) > 0
        os.kill(os.getpid(), signal.SIGHUP)
        return 0

    def narrate(text: str) -> None:
        if text == "guest: spinning":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunWriter, "write_trace", interrupted)
    before = set(descendants(os.getpid()))
    switch = FreezeSwitch()
    with cancelled_by_signals(switch) as cancel:
        told = run_rounds(Workspace(tmp_path / "w"), start, narrate=narrate, cancel=cancel, freeze=switch)
        assert (cancel.is_set(), cancel.why) == (True, "SIGTERM")
    assert told.rounds == []
    assert list((tmp_path / "w" / "ai_runs").iterdir()) == []
    assert set(descendants(os.getpid())) <= before


def test_signals_of_one_wish_are_one(tmp_path: Path) -> None:
    with cancelled_by_signals(FreezeSwitch()) as cancel:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert cancel.why == "SIGHUP"


def test_a_later_signal_interrupts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_command, "_SAME_S", -1.0)
    with cancelled_by_signals(FreezeSwitch()):
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM
