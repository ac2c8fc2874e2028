"""The plugin fakefile: files and directories that the guest's root does not have, or is not to have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import (
    OPENS,
    STATS,
    Claim,
    Configuration,
    Mode,
    Path,
    Place,
    Settings,
    directories,
    path_problems,
    spelled,
)
from triage_tui.text import number_of

_LOOKS = frozenset(
    str.split("access faccessat faccessat2 readlink readlinkat chdir execve execveat statfs statfs64")
)
_CHANGES = frozenset(
    str.split(
        "mkdir mkdirat mknod mknodat symlink symlinkat link linkat rename renameat renameat2 unlink unlinkat"
        " rmdir chmod fchmodat truncate truncate64"
    )
)
_MOST_ABSENT = 100
"""Each is taken away by a request of its own, all in one call of the program."""


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
        """Every call that looks for a file by its path, and before what is to look missing is in the way."""
        absent = any(file.kind == "absent" for file in self.files)
        return OPENS | STATS | _LOOKS | (_CHANGES if absent else frozenset())

    def sentence(self) -> str:
        """Count the paths, or name the only one."""
        if len(self.files) > 1:
            return f"Answers what the program looks for at {number_of(len(self.files), 'path')}"
        return f"Answers what the program looks for at {spelled(self.files[0].path)}"

    def deeds(self) -> Iterator[tuple[Place, str]]:
        """What is at each path."""
        for index, file in enumerate(self.files):
            size = number_of(len(file.content), "byte")
            told = {
                "file": f"lets the program find {spelled(file.path)} ({size})",
                "directory": f"lets the program find the directory {spelled(file.path)}",
                "absent": f"takes {spelled(file.path)} out of the program's copy of the root",
            }[file.kind]
            if file.always:
                told += ", also where there is a real one"
            yield ("files", index), told

    def claims(self) -> list[Claim]:
        """What looks for the paths, or lists their directories."""
        claims = [Claim(self.hooks(), {"path": spelled(file.path)}) for file in self.files]
        listed = (file.path for file in self.files if file.kind != "absent" and not file.always)
        return claims + [Claim(OPENS, {"path": path}) for path in directories(listed)]

    def problems(self) -> Iterator[tuple[Place, str]]:
        """A path that is there twice, content of what has none."""
        seen: set[str] = set()
        absent = [index for index, file in enumerate(self.files) if file.kind == "absent"]
        if len(absent) > _MOST_ABSENT:
            yield ("files", absent[_MOST_ABSENT]), f"at most {_MOST_ABSENT} paths can look missing"
        for index, file in enumerate(self.files):
            for problem in path_problems(file.path, seen):
                yield ("files", index, "path"), problem
            if file.always and file.kind != "file":
                yield ("files", index, "always"), f"it is for files: what is {file.kind} is never opened anew"
            if file.content and file.kind != "file":
                yield ("files", index, "content"), f"what is {file.kind} has no content"
