"""Where a program file is mapped in a guest, for rules that are meant for one build of it."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Sequence

from triage_tui.runs.build_id import MAPPED_HEAD, MAX_FILE, build_id
from triage_tui.runs.process_model import Mapping


def base_of(
    maps: Sequence[Mapping],
    path: str,
    build: str,
    read_memory: Callable[[int, int], bytes],
    read_file: Callable[[str, int], tuple[bytes, int]],
) -> int:
    """Return the lowest address at which the file `path` is mapped, if it is the build that is meant.

    `build` is "build-id:HEX", which is compared with what is mapped, or "sha256:HEX" of the file.

    Raises:
        OSError: ENOENT, it is not mapped; ESTALE, it is another build; or it cannot be read.
    """
    base = min((one.start for one in maps if one.path == path), default=None)
    if base is None:
        raise OSError(errno.ENOENT, "not mapped")
    kind, _, wanted = build.partition(":")
    if kind == "build-id":
        found = build_id(read_memory(base, MAPPED_HEAD))
    else:
        data, size = read_file(path, MAX_FILE)
        found = hashlib.sha256(data).hexdigest() if size <= MAX_FILE else ""
    if found != wanted:
        raise OSError(errno.ESTALE, "another build")
    return base
