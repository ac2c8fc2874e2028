"""Read the files, descriptors and changed files of a checkpoint from its images, and check each of them."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

from triage_tui.guest.checkpoint import messages
from triage_tui.guest.checkpoint.attributes import is_encodable
from triage_tui.guest.checkpoint.image_files import MAX_PAGES, open_private, read_image
from triage_tui.guest.checkpoint.model import ChangedFile, Descriptor, Facts, OpenFile
from triage_tui.guest.checkpoint.reading_descriptors import add_facts, read_anonymous, read_pair
from triage_tui.guest.checkpoint.wire import Damaged, Message
from triage_tui.guest.checkpoint.writing import CHANGED_FILE, FILES_ID
from triage_tui.text import safe_line

MAX_FILES = 16_384
_PIPES = ("pipe", "stdin", "stdout", "stderr")


def guest_path(text: str) -> str:
    """Return a path of the guest's as it is to be opened.

    Raises:
        Damaged: it is none.
    """
    wrong = not text.startswith("/") or "\0" in text or len(text) > 4095 or ".." in text.split("/")
    if wrong or not is_encodable(text):
        raise Damaged(f"{safe_line(text, 60)!r} is no path in the guest's root")
    return text


def read_files(directory: Path, facts: Facts) -> tuple[list[OpenFile], dict[int, str]]:
    """Return the open files, and the path of everything with a name by its id."""
    found: list[OpenFile] = []
    paths: dict[int, str] = {}
    ids: set[int] = set()
    for entry, _raw in read_image(directory, "files.img", MAX_FILES):
        number = entry["id"]
        if number in ids:
            raise Damaged("files.img names a file twice")
        ids.add(number)
        file = _file(entry, number)
        stream = facts.streams.get(number)
        if stream is not None:
            if stream not in _PIPES[1:]:
                raise Damaged("one of its streams is none")
            file.kind, file.path = stream, ""
        elif number in facts.devices:
            file.kind = "device"
            _check_device(file.path)
        elif number in facts.directories:
            file.kind = "directory"
        for mark in file.marks:
            guest_path(mark.path)
        if file.kind in ("file", "device", "directory"):
            paths[number] = guest_path(file.path)
        found.append(file)
    add_facts(found, facts)
    return found, paths


def _check_device(path: str) -> None:
    if not guest_path(path).startswith("/dev/"):
        raise Damaged(f"{safe_line(path, 60)!r} is no device")


def _file(entry: Message, number: int) -> OpenFile:
    flags_mask = 0o17777777
    match entry["type"]:
        case messages.REG if "reg" in entry:
            reg = entry["reg"]
            if reg["pos"] >= 1 << 63:
                raise Damaged("a file stands before its begin")
            flags = reg["flags"] & flags_mask
            return OpenFile(id=number, kind="file", path=reg["name"], flags=flags, offset=reg["pos"])
        case messages.PIPE if "pipe" in entry:
            pipe = entry["pipe"]
            return OpenFile(id=number, kind="pipe", pipe=pipe["pipe_id"], flags=pipe["flags"] & flags_mask)
        case messages.INETSK if "isk" in entry:
            return _inet(entry["isk"], number, flags_mask)
        case messages.UNIXSK if "usk" in entry:
            local = entry["usk"]
            path = local["name"].decode("utf-8", "surrogateescape")
            if local["peer"]:
                flags, kind = local["flags"] & flags_mask, _socket_type(local["type"])
                return read_pair(local, number, flags, kind)
            if path.startswith("\0"):
                if len(local["name"]) > 108:
                    raise Damaged("a local socket has too long a name")
            elif path and (len(local["name"]) > 107 or not guest_path(path)):
                raise Damaged("a local socket has too long a name")
            permissions = local.get("file_perms", {})
            return OpenFile(
                id=number,
                kind="unix",
                path=path,
                flags=local["flags"] & flags_mask,
                family=socket.AF_UNIX,
                socket_type=_socket_type(local["type"]),
                listening=local["state"] == 10,
                backlog=min(local["backlog"], 4096),
                mode=permissions.get("mode", 0o755) & 0o777,
                user=permissions.get("uid", 0) & 0xFFFF,
                group=permissions.get("gid", 0) & 0xFFFF,
            )
    if (anonymous := read_anonymous(entry, number, flags_mask)) is not None:
        return anonymous
    raise Damaged("files.img holds a file of a kind that is not made again here")


def _socket_type(number: int) -> int:
    if number not in (1, 2, 3, 5):
        raise Damaged("a socket is of no type")
    return number


def _inet(entry: Message, number: int, flags_mask: int) -> OpenFile:
    packed = b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in entry["src_addr"])
    if entry["family"] not in (socket.AF_INET, socket.AF_INET6) or len(packed) not in (4, 16):
        raise Damaged("a socket has no address")
    if entry["src_port"] > 65535:
        raise Damaged("a socket has no port")
    return OpenFile(
        id=number,
        kind="inet",
        flags=entry["flags"] & flags_mask,
        family=entry["family"],
        socket_type=_socket_type(entry["type"]),
        protocol=entry["proto"] & 0xFF,
        address=str(ipaddress.ip_address(packed)),
        port=entry["src_port"],
        listening=entry["state"] == 10,
        backlog=min(entry["backlog"], 4096),
        reuse=bool(entry["opts"].get("reuseaddr")),
        v6only=bool(entry.get("v6only")),
    )


def read_descriptors(directory: Path, files: list[OpenFile]) -> list[Descriptor]:
    """Return the descriptors, by number; each is of one of `files`."""
    known = {file.id for file in files}
    found: list[Descriptor] = []
    for entry, _raw in read_image(directory, f"fdinfo-{FILES_ID}.img", MAX_FILES):
        if entry["id"] not in known or entry["fd"] >= MAX_FILES:
            raise Damaged("a descriptor leads nowhere")
        found.append(Descriptor(entry["fd"], entry["id"], bool(entry["flags"] & 1)))
    if len({one.fd for one in found}) != len(found):
        raise Damaged("a descriptor is there twice")
    return sorted(found, key=lambda one: one.fd)


def check_changed(directory: Path, changed: list[ChangedFile]) -> None:
    """Check what is told of changed files, and that their bytes are there."""
    if len(changed) > 20_000:
        raise Damaged("it names too many changed files")
    fd, size = open_private(directory / CHANGED_FILE, MAX_PAGES)
    with open(fd, "rb"):
        pass
    for entry in changed:
        guest_path(entry.path)
        target = entry.target
        if entry.path == "/" or "\0" in target or len(target) > 4095 or not is_encodable(target):
            raise Damaged("one of its changed files cannot be")
        if entry.kind == "name":
            guest_path(target)
        if not 0 <= entry.offset <= entry.offset + entry.size <= size or entry.size < 0:
            raise Damaged(f"{CHANGED_FILE} is cut off")
        if not (0 <= entry.user < 65536 and 0 <= entry.group < 65536 and 0 <= entry.mode <= 0o7777):
            raise Damaged("one of its changed files belongs to nobody")
        if not all(-(1 << 62) < time < 1 << 62 for time in (entry.atime_ns, entry.mtime_ns)):
            raise Damaged("one of its changed files is of no time")
