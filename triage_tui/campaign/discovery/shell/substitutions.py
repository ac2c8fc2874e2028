"""What a command in a script would print, where a root tells it: `$(basename x)`, `$(cat /etc/hostname)`."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from triage_tui.campaign.discovery.shell.arithmetic import evaluate
from triage_tui.campaign.discovery.shell.state import ShellState, Value

if TYPE_CHECKING:
    from tree_sitter import Node

    from triage_tui.campaign.discovery.shell.follow import Follower

_OF_DEVICE = ("/proc/", "/sys/", "/dev/")
_MAX_SEQUENCE = 256
_COUNTING = frozenset("+-*/%")


def printed(follower: Follower, shell: ShellState, words: list[Value], text: str) -> Value:
    """Return what the command prints, without the line breaks at its end; `text` is how the script has it."""
    unknown = Value(None, f"what `{text[:80]}` prints is not known")
    if not words:
        return Value("")
    if any(word.text is None for word in words):
        return unknown
    name, *given = [word.text or "" for word in words]
    name = posixpath.basename(name)
    if name == "busybox" and given:
        name, *given = given
    plain = [word for word in given if not word.startswith("-")]
    match name:
        case "echo":
            return Value(" ".join(given[1:] if given[:1] in (["-n"], ["-e"]) else given))
        case "printf" if len(given) == 2 and given[0] in ("%s", "%s\\n"):
            return Value(given[1])
        case "printf" if len(given) == 1 and "%" not in given[0] and "\\" not in given[0]:
            return Value(given[0])
        case "basename" if plain:
            last = posixpath.basename(plain[0].rstrip("/")) or "/"
            suffix = plain[1] if len(plain) > 1 else ""
            return Value(last.removesuffix(suffix) if last != suffix else last)
        case "dirname" if plain:
            return Value(
                posixpath.dirname(plain[0].rstrip("/")) or ("/" if plain[0].startswith("/") else ".")
            )
        case "pwd":
            return Value(shell.cwd)
        case "cat" if plain and len(plain) == len(given):
            return _contents(follower, shell, plain, unknown)
        case "which" if len(plain) == 1:
            return Value(follower.find(shell, plain[0]) or "")
        case "command" if given[:1] == ["-v"] and len(given) == 2:
            return Value(given[1] if given[1] in shell.functions else follower.find(shell, given[1]) or "")
        case "readlink" | "realpath" if len(plain) == 1:
            path = posixpath.join(shell.cwd, plain[0])
            if name == "readlink" and len(given) == len(plain):
                return Value(follower.view.link_target(path))
            return Value(follower.view.canonical(path) or "")
        case "ls" if set(given) - set(plain) <= {"-1"}:
            return _names(follower, shell, plain)
        case "seq" if plain and all(word.isdecimal() and len(word) < 6 for word in plain):
            numbers = [int(word) for word in plain]
            lowest, highest = (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[-1])
            step = numbers[1] if len(numbers) > 2 else 1
            return Value("\n".join(map(str, range(lowest, highest + 1, step or 1)[:_MAX_SEQUENCE])))
        case "expr" if len(given) == 3 and given[1] in _COUNTING:
            number = evaluate(shell, " ".join(given))
            return unknown if number.text is None else number
        case "pidof" | "pgrep" | "pidofproc":
            # Nothing runs yet when the first script begins.
            return Value("")
        case "id" if given == ["-u"]:
            return Value("0")
        case "whoami":
            return Value("root")
        case "uname" if given in ([], ["-s"]):
            return Value("Linux")
        case "uci" if (value := follower.settings.asked(given)) is not None:
            return Value(value)
        case "uci_get" if plain:
            path = ".".join(plain[:3])
            value = follower.settings.asked(["get", path])
            return unknown if value is None else Value(value or "".join(plain[3:4]))
        case "config_get" if len(given) >= 2:
            return Value(follower.settings.get(given[0], given[1], given[2] if len(given) > 2 else ""))
    return unknown


def substituted(follower: Follower, shell: ShellState, node: Node) -> Value:
    """Return what the command inside of `$( )` or backquotes prints."""
    text = shell.script.text(node)
    commands = node.named_children
    if len(commands) == 1 and commands[0].type == "command":
        inside = text[2:-1] if text[:1] == "$" else text[1:-1]
        return printed(follower, shell, follower.command_words(shell, commands[0]), inside)
    if len(commands) == 1 and commands[0].type == "redirected_statement":
        inner = commands[0].child_by_field_name("body")
        if inner is not None and inner.type == "command" and "<<" not in text:
            return printed(follower, shell, follower.command_words(shell, inner), shell.script.text(inner))
    return Value(None, f"what `{' '.join(text.split())[:80]}` prints is not known")


def handed_on(follower: Follower, shell: ShellState, node: Node) -> list[str] | None:
    """Return the lines that a command of a pipeline gives to the next, None where they are unknown."""
    if node.type != "command":
        return None
    value = printed(follower, shell, follower.command_words(shell, node), "")
    return None if value.text is None else value.text.splitlines()


def _contents(follower: Follower, shell: ShellState, names: list[str], unknown: Value) -> Value:
    found = []
    for name in names:
        path = posixpath.join(shell.cwd, name)
        if path.startswith(_OF_DEVICE):
            return unknown
        data = follower.view.text(path)
        if data is None:
            return unknown
        found.append(data.decode("utf-8", "surrogateescape"))
    return Value("".join(found).rstrip("\n"))


def _names(follower: Follower, shell: ShellState, names: list[str]) -> Value:
    found = []
    for name in names or [shell.cwd]:
        path = posixpath.join(shell.cwd, name)
        if follower.view.is_directory(path):
            found += [one for one in follower.view.names(path) if not one.startswith(".")]
        elif follower.view.status(path) is not None:
            found.append(name)
    return Value("\n".join(found))
