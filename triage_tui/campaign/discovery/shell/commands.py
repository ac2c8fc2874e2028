"""What the shell does itself: its built-in commands. They change what is known, and start nothing."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from triage_tui.campaign.discovery.shell.answers import Answer, test
from triage_tui.campaign.discovery.shell.arithmetic import evaluate
from triage_tui.campaign.discovery.shell.state import ShellState, Value

if TYPE_CHECKING:
    from triage_tui.campaign.discovery.shell.follow import Follower

_NOTHING_NAMES = """
: true set trap ulimit umask wait hash alias unalias jobs fg bg history enable shopt bind times disown
complete log_daemon_msg log_end_msg log_progress_msg log_action_msg log_action_begin_msg
log_action_end_msg log_success_msg log_failure_msg log_warning_msg log_begin_msg success failure passed
warning ebegin eend einfo ewarn eerror checkpath confirm action_msg echo_success echo_failure
"""
_NOTHING = frozenset(_NOTHING_NAMES.split())
_READ_VALUES = frozenset("pntduN")
"""Options of `read` that have a value of their own."""


class ExitShell(Exception):
    """The script ends."""


class ReturnFunction(Exception):
    """The function, or the file that was read in, ends."""


class LeaveLoop(Exception):
    """The loop goes on with its next word, or ends."""

    def __init__(self, ends: bool) -> None:
        super().__init__()
        self.ends = ends


def built_in(follower: Follower, shell: ShellState, name: str, words: list[Value]) -> tuple[bool, Answer]:
    """Do what a built-in command does; tell whether `name` is one, and its status."""
    arguments = words[1:]
    if name in _NOTHING:
        if name == "set":
            _set(shell, arguments)
        return True, True
    match name:
        case "false" | "init_is_upstart":
            return True, False
        case "exit":
            raise ExitShell
        case "return":
            raise ReturnFunction
        case "break" | "continue":
            raise LeaveLoop(name == "break")
        case "test" | "[":
            given = arguments[:-1] if name == "[" else arguments
            return True, test(follower.view, shell.cwd, given)
        case "cd" | "pushd":
            return True, _cd(follower, shell, arguments)
        case "shift":
            count = arguments[0].text if arguments else "1"
            del shell.positional[: int(count) if count and count.isdecimal() and len(count) < 5 else 1]
            return True, True
        case "export" | "readonly" | "local" | "declare" | "typeset":
            _declare(shell, name, arguments)
            return True, True
        case "unset":
            for one in arguments:
                shell.variables.pop(one.text or "", None)
                shell.functions.pop(one.text or "", None)
            return True, True
        case "read":
            return True, _read(shell, arguments)
        case "let":
            values = [evaluate(shell, one.text) if one.text is not None else one for one in arguments]
            return True, values[-1].text != "0" if values and values[-1].text is not None else None
        case "getopts" | "pidof" | "pgrep" | "kill" | "killproc" | "pidofproc" | "checkpid":
            # Nothing runs yet when the first script begins.
            return True, False
        case "status" | "status_of_proc":
            # Nothing runs yet when the first script begins.
            return True, False
        case "which" | "type" | "hash":
            return True, _is_there(follower, shell, arguments)
        case "command" if arguments and arguments[0].text in ("-v", "-V"):
            return True, _is_there(follower, shell, arguments[1:])
        case "eval":
            if any(one.text is None for one in arguments):
                return True, None
            text = " ".join(one.text or "" for one in arguments)
            return True, follower.follow_text(shell, text, shell.script.first_line)
        case "." | "source":
            return True, follower.read_in(shell, arguments)
    return False, None


def assign(shell: ShellState, text: str) -> None:
    """Do what `NAME=VALUE` does, from an expanded word."""
    name, equals, value = text.partition("=")
    if equals:
        shell.set(name, Value(value))


def _set(shell: ShellState, arguments: list[Value]) -> None:
    for index, one in enumerate(arguments):
        if one.text == "--":
            shell.positional = arguments[index + 1 :]
            return
    if arguments and arguments[0].text is not None and arguments[0].text[:1] not in ("-", "+"):
        shell.positional = list(arguments)


def _read(shell: ShellState, arguments: list[Value]) -> Answer:
    """Give variables the words of the next line of the standard input, where that is known."""
    names: list[str] = []
    raw = False
    at = 0
    while at < len(arguments):
        text = arguments[at].text or ""
        at += 1
        if not text.startswith("-"):
            names.append(text)
        elif text[-1:] in _READ_VALUES:
            at += 1
        raw = raw or (text.startswith("-") and "r" in text)
    names = [name for name in names if name] or ["REPLY"]
    if shell.input is None:
        for name in names:
            shell.set(name, Value(None, f"{name} is read while the script runs"))
        return None
    if not shell.input:
        for name in names:
            shell.set(name, Value(""))
        return False
    line = shell.input.pop(0)
    line = line if raw else line.replace("\\", "")
    given = shell.get("IFS").text if "IFS" in shell.variables else " \t\n"
    given = " \t\n" if given is None else given
    blanks = "".join(char for char in given if char in " \t\n")
    rest = line.strip(blanks) if blanks else line
    for name in names[:-1]:
        cut = next((index for index, char in enumerate(rest) if char in given), len(rest))
        shell.set(name, Value(rest[:cut]))
        behind = rest[cut:].lstrip(blanks) if blanks else rest[cut:]
        rest = behind[1:].lstrip(blanks) if behind[:1] and behind[0] in given else behind
    shell.set(names[-1], Value(rest))
    return True


def _declare(shell: ShellState, name: str, arguments: list[Value]) -> None:
    for one in arguments:
        variable = (one.text or "").partition("=")[0]
        if not variable or variable.startswith("-"):
            continue
        if name in ("local", "declare", "typeset"):
            shell.make_local(variable)
            if "=" not in (one.text or ""):
                shell.variables.pop(variable, None)
        assign(shell, one.text or "")
        if name == "export":
            shell.exported.add(variable)


def _cd(follower: Follower, shell: ShellState, arguments: list[Value]) -> Answer:
    place = arguments[0].text if arguments else (shell.get("HOME").text or "/")
    if place is None or place == "-":
        return None
    path = posixpath.normpath(posixpath.join(shell.cwd, place))
    if not follower.view.is_directory(path):
        return False
    shell.cwd = path
    return True


def _is_there(follower: Follower, shell: ShellState, arguments: list[Value]) -> Answer:
    if not arguments:
        return False
    found: Answer = True
    for one in arguments:
        if one.text is None:
            return None
        if one.text.startswith("-"):
            continue
        known = one.text in shell.functions or follower.find(shell, one.text) is not None
        found = found and known
    return found
