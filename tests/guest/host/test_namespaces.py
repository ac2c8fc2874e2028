"""Mounts of a cell, made in name spaces of a test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

_DEVICES = """
import json, os, sys
from triage_tui.guest.host import mounts, namespaces
root = sys.argv[1]
uid, gid = os.geteuid(), os.getegid()
namespaces.unshare(namespaces.CLONE_NEWUSER | namespaces.CLONE_NEWNS)
namespaces.map_self(uid, gid)
# In the place of a node that only root could make.
for name in ("/dev/null", "/dev/misc/null"):
    mounts.mount("/dev/null", root + name, "", mounts.MS_BIND)
bound = mounts.bind_safe_devices(root)
answers = {}
# Each change is to what already is: where it is not refused, the host's node stays as it was.
was = os.stat("/dev/null")
for name, change in {
    "times": lambda path: os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns)),
    "mode": lambda path: os.chmod(path, was.st_mode & 0o7777),
    "owner": lambda path: os.chown(path, -1, -1),
}.items():
    try:
        change(root + "/dev/null")
        answers[name] = 0
    except OSError as error:
        answers[name] = os.strerror(error.errno)
with open(root + "/dev/null", "r+b", buffering=0) as file:
    answers["written"] = file.write(b"bytes")
    answers["read"] = len(file.read(1))
print(json.dumps([bound, answers]))
"""


def test_a_device_can_be_used_and_its_node_cannot_be_changed(tmp_path: Path) -> None:
    (tmp_path / "dev/misc").mkdir(parents=True)
    (tmp_path / "dev/null").touch()
    (tmp_path / "dev/misc/null").touch()
    # A link out of the root is not followed.
    (tmp_path / "dev/elsewhere").symlink_to("/dev")
    before = os.stat("/dev/null")
    done = subprocess.run(
        [sys.executable, "-c", _DEVICES, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 0, done.stderr
    bound, answers = json.loads(done.stdout)
    assert bound == ["/dev/null", "/dev/misc/null"]
    refused = dict.fromkeys(("times", "mode", "owner"), "Read-only file system")
    assert answers == refused | {"written": 5, "read": 0}
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
