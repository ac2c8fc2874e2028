"""Programs whose strings look like lines of the emulator's log: what was not called is not in the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import carried, spec
from tests.programs import root_with
from triage_tui.guest.supervisor import Guest
from triage_tui.runs.model import DOUBT

CALLS = ("mkdir", "open", "chdir", "symlink", "rename", "truncate", "execve", "access")


@pytest.mark.usefixtures("carrier")
@carried("call", "long", *CALLS, "failed")
def test_text_in_a_string_is_no_call(tmp_path: Path, qemu_dir: Path, call: str) -> None:
    root = root_with(tmp_path, "arm", "log_text")
    with Guest.start(spec(root, qemu_dir, "/bin/log_text", call)) as guest:
        assert guest.run_until_stop().reason == "exit"
        history = guest.history()
        names = [made.name for made in history]
        assert "sysinfo" not in names
        assert names[-2:] == ["getppid", "exit_group"]
        made = history[-3]
        assert made.name == {"failed": "mkdir", "long": "execve"}.get(call, call)
        # Of a long string the record has the beginning.
        assert call == "long" or "\n2 sysinfo(0x1000) = 77\n" in "".join(made.arguments)
        if call != "access":
            # Its thread was held where the string ends: there is no doubt.
            assert DOUBT not in {other.note for other in history}
