"""Preparing a root file system: what each step does, and that no step and no link reaches outside."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from triage_tui.errors import TriageError
from triage_tui.evaluation.rootfs import apply_step, place_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "root"
    (place / "usr" / "lib").mkdir(parents=True)
    (place / "lib").symlink_to("usr/lib")
    (place / "var").symlink_to("/run/var")
    (place / "up").symlink_to("../../../../outside")
    (place / "round").symlink_to("round")
    (tmp_path / "outside").mkdir()
    return place


def test_steps_make_what_they_say(root: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"file": "/etc/app/app.conf", "text": "a=1\n", "mode": "640"},
        {"file": "/lib/blob", "b64": "AAEC", "size": 8},
        {"copy": "/etc/app/copy.conf", "from": "/etc/app/app.conf"},
        {"mkdir": "/var/spool", "mode": 700},
        {"symlink": "/etc/link", "to": "/etc/app"},
        {"symlink": "/etc/link", "to": "app"},
        {"fifo": "/run/initctl"},
        {"remove": "/etc/app/app.conf"},
        {"remove": "/not/there"},
        {"chmod": "/etc/link/copy.conf", "mode": "400"},
    ]
    for step in steps:
        apply_step(root, step)
    assert (root / "usr/lib/blob").read_bytes() == b"\0\1\2" + bytes(5)
    copy = root / "etc/app/copy.conf"
    assert copy.read_text() == "a=1\n"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400
    assert stat.S_IMODE((root / "run/var/spool").stat().st_mode) == 0o700
    assert (root / "etc/link").readlink() == Path("app")
    assert stat.S_ISFIFO((root / "run/initctl").stat().st_mode)
    assert not (root / "etc/app/app.conf").exists()


def test_links_are_followed_inside_the_root_only(root: Path) -> None:
    assert place_of(root, "/var/log/x", follow=True) == root / "run/var/log/x"
    assert place_of(root, "/up/x", follow=True) == root / "outside/x"
    assert place_of(root, "/up", follow=False) == root / "up"
    apply_step(root, {"file": "/up/x", "text": "here"})
    apply_step(root, {"remove": "/up"})
    assert (root / "outside/x").read_text() == "here"
    assert os.listdir(root.parent / "outside") == []


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"file": "/round/x", "text": ""}, "too many links"),
        ({"file": "/usr", "text": ""}, "cannot be done: Is a directory"),
        ({"file": "/usr/b", "b64": "%%%"}, "not base64"),
        ({"copy": "/a", "from": "/none"}, "needs a file at /none"),
        ({"chmod": "/none", "mode": "600"}, "cannot be done: No such file"),
        ({"mkdir": "/usr/" + "n" * 300}, "File name too long"),
    ],
)
def test_a_step_that_cannot_be_done_says_so(root: Path, step: dict[str, Any], said: str) -> None:
    with pytest.raises(TriageError, match=said):
        apply_step(root, step)
