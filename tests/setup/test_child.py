"""A downloader does not outlive the set-up that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

_PARENT = """
import signal, subprocess, sys
from triage_tui.setup.child import ends_with_us
# Under nohup(1) it would be ignored here, too.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
subprocess.run(["sh", "-c", "echo started; exec sleep 600"], stdout={0}, preexec_fn=ends_with_us())
"""


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_a_child_ends_with_its_killed_parent(which: signal.Signals) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as said:
        parent = subprocess.Popen([sys.executable, "-c", _PARENT.format(writer)], pass_fds=[writer])
        os.close(writer)
        assert said.readline() == b"started\n"
        parent.send_signal(which)
        # The end of the pipe: nobody holds its other end any more.
        assert said.read() == b""
        assert parent.wait() == -which
