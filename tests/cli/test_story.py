import os
import signal
import threading

from triage_tui.cli.story import SignalEvent, cancelled_by_signals


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
