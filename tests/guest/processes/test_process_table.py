"""Whose a thread is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.helpers import spec
from tests.programs import root_with
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.supervisor import Guest


@pytest.mark.usefixtures("each_carrier")
@pytest.mark.parametrize("observe", ["full", "watched"])
def test_the_id_of_a_thread_that_has_ended_is_nobodys(
    tmp_path: Path, qemu_dir: Path, monkeypatch: pytest.MonkeyPatch, observe: str
) -> None:
    """The kernel may give it to a thread of another process, whose calls are not the first one's."""
    ended: list[int] = []
    handle = Guest._handle

    def noting(guest: Guest, notification: Notification, name: str) -> None:
        if name == "exit":
            ended.append(notification.tid)
        handle(guest, notification, name)

    monkeypatch.setattr(Guest, "_handle", noting)
    root = root_with(tmp_path, "arm", "insists")
    with Guest.start(spec(root, qemu_dir, "/bin/insists", observe=observe)) as guest:
        assert guest.run_until_stop().exit_code == 0
        assert ended
        assert [guest.processes_known.of_thread(tid) for tid in ended] == [None] * len(ended)
        main = guest.processes_known.main
        assert main is not None
        assert not set(ended) & set(main.envs)
