"""The plugin fakefile: files and directories that the guest's root does not have, or is not to have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import (
    Configuration,
    Path,
    Place,
    Settings,
    path_problems,
    shown,
)
from triage_tui.text import number_of, safe_line

Mode = Annotated[int, Meta(ge=0, le=0o7777)]

OPENS = frozenset(("open", "openat", "openat2", "creat"))
STATS = frozenset(("stat", "lstat", "stat64", "lstat64", "newfstatat", "fstatat64", "statx"))
_LOOKS = frozenset(("access", "faccessat", "faccessat2", "readlink", "readlinkat", "chdir"))


class File(Settings, frozen=True, kw_only=True):
    """One path. `always`: the content is given at each opening, whatever stands there."""

    path: Path
    kind: Literal["file", "directory", "absent"] = "file"
    content: str = ""
    mode: Mode | None = None
    always: bool = False


class Fakefile(Configuration, frozen=True, kw_only=True):
    """The paths."""

    files: Annotated[list[File], Meta(min_length=1, max_length=1000)]

    def hooks(self) -> frozenset[str]:
        """Every call that looks for a file by its path."""
        return OPENS | STATS | _LOOKS

    def sentence(self) -> str:
        """Count the paths, or name the only one."""
        if len(self.files) > 1:
            return f"Answers what the program looks for at {number_of(len(self.files), 'path')}"
        return f"Answers what the program looks for at {_path(self.files[0])}"

    def deeds(self) -> Iterator[tuple[Place, str]]:
        """What is at each path."""
        for index, file in enumerate(self.files):
            size = number_of(len(file.content), "byte")
            told = {
                "file": f"lets the program find {_path(file)} ({size})",
                "directory": f"lets the program find the directory {_path(file)}",
                "absent": f"lets {_path(file)} look missing",
            }[file.kind]
            if file.always:
                told += ", also where there is a real one"
            yield ("files", index), told

    def claims(self) -> list[dict[str, str]]:
        """The paths."""
        return [{"path": _path(file)} for file in self.files]

    def problems(self) -> Iterator[tuple[Place, str]]:
        """A path that is there twice, content of what has none."""
        seen: set[str] = set()
        for index, file in enumerate(self.files):
            for problem in path_problems(file.path, seen):
                yield ("files", index, "path"), problem
            if file.always and file.kind != "file":
                yield ("files", index, "always"), f"it is for files: what is {file.kind} is never opened anew"
            if file.content and file.kind != "file":
                yield ("files", index, "content"), f"what is {file.kind} has no content"


def _path(file: File) -> str:
    return safe_line(shown(file.path), 200)
