"""What a shell knows while a script is followed: values that are known, and why others are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from triage_tui.campaign.discovery.shell.syntax import Script

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_VALUE = 64 << 10
"""Characters of a value that are kept; a longer one is not known."""
MAX_VARIABLES = 4000


class Value(msgspec.Struct, frozen=True):
    """A text, or why it is not known."""

    text: str | None
    why: str = ""


class Function(msgspec.Struct, frozen=True):
    """A function of the shell: its body and the file that it stands in."""

    body: Node
    script: Script


class ShellState(msgspec.Struct, kw_only=True):
    """One shell at work."""

    script: Script
    positional: list[Value] = []
    variables: dict[str, Value] = {}
    exported: set[str] = set()
    functions: dict[str, Function] = {}
    cwd: str = "/"
    user: str = ""
    """As which it runs, "" for root."""
    conditions: tuple[str, ...] = ()
    """What must hold, and nobody knows whether it does, where this is reached."""
    dead: str = ""
    """Why this is never reached on the device as its root is, "" where it is."""
    depth: int = 0
    input: list[str] | None = None
    """Lines of the standard input that were not read yet, None where these are not known."""
    unknown: str = ""
    """A file that was read in, and of which only the device knows what it sets."""
    unread: str = ""
    """A file that was to be read in and cannot be: it may set variables."""
    doubts: dict[str, str] = {}
    """Variable -> a sentence without its end that says where its value is another one."""
    locals: list[dict[str, Value | None]] = []
    """Of each function that is called: its local variables, with what they were outside."""

    def copy(self) -> ShellState:
        """Return a state that can be changed without changing this one."""
        return ShellState(
            script=self.script,
            positional=list(self.positional),
            variables=dict(self.variables),
            exported=set(self.exported),
            functions=dict(self.functions),
            cwd=self.cwd,
            user=self.user,
            conditions=self.conditions,
            dead=self.dead,
            depth=self.depth,
            input=None if self.input is None else list(self.input),
            unread=self.unread,
            unknown=self.unknown,
            doubts=dict(self.doubts),
            locals=[dict(frame) for frame in self.locals],
        )

    def child(self, script: Script, arguments: list[Value]) -> ShellState:
        """Return the state of another process that executes `script`: it knows what was exported."""
        return ShellState(
            script=script,
            positional=arguments,
            variables={name: self.variables[name] for name in self.exported if name in self.variables},
            exported=set(self.exported),
            cwd=self.cwd,
            user=self.user,
            conditions=self.conditions,
            dead=self.dead,
            unread=self.unread,
            depth=self.depth + 1,
        )

    def get(self, name: str) -> Value:
        """Return the value of a variable, empty where nobody set it."""
        return self.variables.get(name, Value(""))

    def set(self, name: str, value: Value) -> None:
        """Give a variable a value."""
        if value.text is not None and len(value.text) > MAX_VALUE:
            value = Value(None, f"the value of {name} is too long")
        self.doubts.pop(name, None)
        if name in self.variables or len(self.variables) < MAX_VARIABLES:
            self.variables[name] = value

    def learn(self, other: ShellState, condition: str) -> None:
        """Take over what a branch set that may be taken or not: what had a value keeps it, and is doubted."""
        where = condition.removeprefix("only ")
        self.unknown = self.unknown or other.unknown
        for name, value in other.variables.items():
            before = self.variables.get(name)
            if before == value:
                continue
            if before is None:
                self.set(name, value)
                self.doubts[name] = f"{name} is as it is {where}"
            else:
                self.doubts[name] = f"{name} is another {where}"
        for name, function in other.functions.items():
            self.functions.setdefault(name, function)

    def make_local(self, name: str) -> None:
        """Keep what a variable is outside of the function."""
        if self.locals:
            self.locals[-1].setdefault(name, self.variables.get(name))

    def environment(self) -> dict[str, str]:
        """Return what programs get: the exported variables that are known."""
        found = {}
        for name in sorted(self.exported):
            value = self.variables.get(name)
            if value is not None and value.text is not None:
                found[name] = value.text
        return found
