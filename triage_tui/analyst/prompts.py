"""The prompts: text files found by their place, put together in a fixed order.

    base/common.md                        what holds for all phases
    base/<phase>.md                       what this phase is to do, and the form of its reply
    understanding/generic/<strategy>.md   how such failures are understood
    understanding/<arch>/<strategy>.md    the same for one family of processors

They ship in `triage_tui/diagnosis/prompts`. A person's directories have the same form; a file there takes
the place of the one with the same name, and one that is new is found without anything else being changed. A
strategy belongs to a run when one of its words is among those of the run: the words are those of a first
line `applies: word word`, else the file's name. The words of a run are the causes that are thought of, its
scene, how it ended, the resources that were missed, and `always`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from triage_tui.errors import TriageError
from triage_tui.text import safe_line

PHASES = ("classify", "collect", "hypothesize", "propose", "refine", "repair")
"""In the order in which they come; `refine` takes the place of `hypothesize` after a retry that failed."""

SHIPPED = Path(__file__).resolve().parent.parent / "diagnosis" / "prompts"
MAX_PROMPT_BYTES = 64 << 10
MAX_PROMPTS = 500
_NAME = re.compile(r"base/[a-z][a-z0-9_]*\.md|understanding/[a-z0-9_]+/[a-z][a-z0-9_]*\.md")
_APPLIES = re.compile(r"applies:[ \t]*([a-z0-9_ ]+)\n+")
_PLACEHOLDER = re.compile(r"@([a-z_]+)@")

_FAMILIES = {
    "arm": "arm", "armeb": "arm", "aarch64": "aarch64", "mips": "mips", "mipsel": "mips", "mipsn32": "mips",
    "mipsn32el": "mips", "mips64": "mips", "mips64el": "mips", "ppc": "ppc", "ppc64": "ppc", "ppc64le": "ppc",
    "i386": "x86", "x86_64": "x86", "riscv32": "riscv", "riscv64": "riscv",
}  # fmt: skip


class Prompt(msgspec.Struct, frozen=True):
    """One prompt file. `name` is its place below the prompts directory, "base/classify.md"."""

    name: str
    path: Path
    text: str
    applies: frozenset[str]
    replaces: Path | None = None
    """The file in whose place it stands."""
    shipped: bool = True
    before: Prompt | None = None
    """The same, which is taken where this one cannot be."""


class Assembled(msgspec.Struct, frozen=True):
    """A system prompt and the names of the files that it was put together from, in order."""

    text: str
    names: tuple[str, ...]


class Prompts:
    """All prompt files there are."""

    def __init__(self, directories: Sequence[Path] = (), shipped: Path = SHIPPED) -> None:
        """Read the shipped prompts and then those of `directories`, the last of which wins.

        What is wrong with a person's file costs that file, and is in `problems`.

        Raises:
            TriageError: a shipped file cannot be read, or its name is that of no prompt.
        """
        self.files: dict[str, Prompt] = {}
        self.problems: list[str] = []
        for root in (shipped, *directories):
            for path in sorted(root.rglob("*.md"))[:MAX_PROMPTS]:
                try:
                    self._add(root, path, root == shipped)
                except TriageError as error:
                    if root == shipped:
                        raise
                    self.problems.append(f"left out: {error}")

    def _add(self, root: Path, path: Path, shipped: bool) -> None:
        name = path.relative_to(root).as_posix()
        shown = safe_line(str(path), 200)
        if not _NAME.fullmatch(name) or (name.startswith("base/") and path.stem not in (*PHASES, "common")):
            raise TriageError(
                f"{shown} is no prompt: it would be base/PHASE.md ({', '.join(PHASES)}, common)"
                " or understanding/ARCH/STRATEGY.md"
            )
        try:
            # A FIFO would keep everybody waiting.
            if not path.is_file():
                raise TriageError(f"the prompt {shown} is no regular file")
            with open(path, "rb") as stream:
                raw = stream.read(MAX_PROMPT_BYTES + 1)
            text = raw.decode("utf-8")
        except OSError as error:
            raise TriageError(f"the prompt {shown} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise TriageError(f"the prompt {shown} is not UTF-8 text") from None
        if len(raw) > MAX_PROMPT_BYTES:
            raise TriageError(f"the prompt {shown} is longer than {MAX_PROMPT_BYTES} bytes")
        head = _APPLIES.match(text)
        words = frozenset(head[1].split()) if head else frozenset((path.stem,))
        before = self.files.get(name)
        self.files[name] = Prompt(
            name=name,
            path=path,
            text=text[head.end() if head else 0 :].strip(),
            applies=words,
            replaces=before.path if before else None,
            before=before,
            shipped=shipped,
        )

    def assemble(self, phase: str, arch: str, words: Iterable[str], values: Mapping[str, str]) -> Assembled:
        """Return the system prompt of a phase for a run; `values` stand for `@name@` in the files.

        Raises:
            TriageError: there is no such phase, or a file holds an `@name@` that stands for nothing.
        """
        if phase not in PHASES:
            raise TriageError(f"there is no phase {safe_line(phase, 40)!r}: known are {', '.join(PHASES)}")
        wanted = {*words, "always"}
        names = ["base/common.md", f"base/{phase}.md"]
        for place in dict.fromkeys(("generic", _FAMILIES.get(arch, ""), arch)):
            names += sorted(
                name
                for name, prompt in self.files.items()
                if place and name.startswith(f"understanding/{place}/") and prompt.applies & wanted
            )
        found = [(name, self._usable(self.files.get(name), values)) for name in names]
        usable = [(name, prompt) for name, prompt in found if prompt is not None]
        text = "\n\n".join(_filled(prompt, values) for _, prompt in usable)
        return Assembled(text, tuple(name for name, _ in usable))

    def check(self, values: Mapping[str, str]) -> list[str]:
        """Return what is wrong with a person's prompts, a sentence each; these are not used."""
        for prompt in self.files.values():
            self._usable(prompt, values)
        return list(dict.fromkeys(self.problems))

    def _usable(self, prompt: Prompt | None, values: Mapping[str, str]) -> Prompt | None:
        """Return a prompt, or in place of one with a mistake that which it replaces."""
        while prompt is not None and not prompt.shipped:
            try:
                _filled(prompt, values)
            except TriageError as error:
                self.problems.append(f"left out: {error}")
                prompt = prompt.before
            else:
                break
        return prompt


def _filled(prompt: Prompt, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise TriageError(
                f"the prompt {safe_line(str(prompt.path), 200)} holds {match[0]}, which stands for nothing;"
                f" known are {', '.join(f'@{name}@' for name in sorted(values))}"
            )
        return values[match[1]]

    return _PLACEHOLDER.sub(value, prompt.text)
