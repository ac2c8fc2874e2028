"""Device nodes in a guest's root: for real root, for a root that is the host's, and for an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.helpers import as_ordinary_user
from tests.programs import root_with
from triage_tui.guest.host.mounts import SAFE_DEVICES

ROOT = Path(__file__).resolve().parents[3]
_NODES = {
    "null": (stat.S_IFCHR, 1, 3),
    "zero": (stat.S_IFCHR, 1, 5),
    "full": (stat.S_IFCHR, 1, 7),
    # Numbers for local use: no driver has them. Opened where devices may be, they give ENXIO.
    "odd": (stat.S_IFCHR, 240, 77),
    "disk": (stat.S_IFBLK, 240, 77),
}
_RUN = """
import json, os, shutil, sys
from pathlib import Path
from tests.guest.helpers import spec
from triage_tui.guest.host import mounts, namespaces
from triage_tui.guest.supervisor import Guest

how, root, qemu, *paths = sys.argv[1:]
if how == "host root":
    if os.geteuid() != 0:
        uid, gid = os.geteuid(), os.getegid()
        namespaces.unshare(namespaces.CLONE_NEWUSER)
        namespaces.map_self(uid, gid)
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    # A file system whose owners cannot be shifted, so that there can be no user name space.
    place = os.path.join(os.path.dirname(root), "unshifted")
    mounts.mount("ramfs", place, "ramfs", mounts.MS_NOSUID)
    os.chdir(root)
    for directory, _, files in os.walk("."):
        os.makedirs(os.path.join(place, directory), exist_ok=True)
        for name in files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if status.st_rdev:
                os.mknod(os.path.join(place, path), status.st_mode, status.st_rdev)
                os.chmod(os.path.join(place, path), status.st_mode & 0o7777)
            else:
                shutil.copy(path, os.path.join(place, path))
    os.chdir("/")
    root = place
how_to_run = spec(Path(root), Path(qemu), "/bin/devices", *paths, allow_root=how == "host root")
with Guest.start(how_to_run) as guest:
    stop = guest.run_until_stop()
    made = os.path.exists(guest.root_path + "/dev/made")
    print(json.dumps([stop.exit_code, guest.contained, guest.output().decode(), made]))
"""


@pytest.fixture
def place(qemu_dir: Path) -> Iterator[Path]:
    """A directory that everybody can read, with a guest's root in `root` and an emulator in `emulator`."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "emulator").mkdir()
        (directory / "unshifted").mkdir()
        shutil.copy(qemu_dir / "qemu-mipsel-static", directory / "emulator")
        root = root_with(directory / "root", "mipsel", "devices")
        for node, (kind, major, minor) in _NODES.items():
            path = root / "dev" / node
            if os.geteuid() == 0:
                os.mknod(path, kind | 0o666, os.makedev(major, minor))
            else:
                # Only root can make nodes: then there are none, and none may appear.
                path.write_bytes(b"file")
            path.chmod(0o666)
        (root / "dev" / "file").write_bytes(b"file")
        (root / "dev" / "file").chmod(0o666)
        yield directory


def state(directory: Path) -> dict[str, tuple[int, ...]]:
    """Return what tells the nodes and files of a directory apart, and whether they were changed."""
    fields = ("st_mode", "st_uid", "st_gid", "st_rdev", "st_mtime_ns", "st_ctime_ns", "st_ino")
    return {
        path.name: tuple(getattr(path.lstat(), field) for field in fields) for path in directory.iterdir()
    }


@pytest.mark.parametrize("how", ["root", "host root", "ordinary user"])
def test_only_harmless_devices_work_and_no_node_is_changed(place: Path, how: str) -> None:
    names = [*_NODES, "file"]
    command = [sys.executable, "-c", _RUN, how, str(place / "root"), str(place / "emulator")]
    command += [f"/dev/{name}" for name in names]
    plain = os.geteuid() != 0
    if how == "ordinary user" and not plain:
        # The kernel copies nothing whose owner has no place in the guest's user name space.
        for name in ("root", "root/dev", "root/dev/file"):
            os.chown(place / name, 65534, 65534)
    nodes = state(place / "root/dev")
    host = {path: Path(path).stat() for path in SAFE_DEVICES.values()}
    done = subprocess.run(
        as_ordinary_user(command) if how == "ordinary user" else command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    code, contained, output, made = json.loads(done.stdout)
    assert (code, made) == (0, False)
    assert contained[0] == (
        "root of the guest is root of the host, as was allowed"
        if how == "host root"
        else "root of the guest is the user who started it"
        if plain or how == "ordinary user"
        else "root of the guest is an unprivileged host id"
    )
    answers = {line.split()[0]: line.split()[1:] for line in output.splitlines()}
    # What the guest changes of a plain file is in its own view of the root.
    file = ["0", "4", "4", "0"]
    expected = {
        "null": ["0", "0", "4", "EROFS"],
        "zero": ["0", "4", "4", "EROFS"],
        "full": ["0", "4", "ENOSPC", "EROFS"],
        "odd": ["EACCES"],
        "disk": ["EACCES"],
    }
    expected = {f"/dev/{name}": file if plain else wanted for name, wanted in expected.items()}
    assert answers == expected | {"/dev/file": file, "mknod": ["EPERM"]}
    bound = [note for note in contained if note.startswith("devices: ")]
    assert bound == ([] if plain else ["devices: /dev/full, /dev/null, /dev/zero"])
    assert state(place / "root/dev") == nodes
    for path, before in host.items():
        now = Path(path).stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
