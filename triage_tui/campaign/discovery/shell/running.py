"""One command of a script: an assignment, a function, a built-in, another script, or a program to run."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from triage_tui.campaign.discovery import openwrt
from triage_tui.campaign.discovery.found import Start
from triage_tui.campaign.discovery.launches import NO_START, Launch, unwrapped, wraps
from triage_tui.campaign.discovery.programs import MULTI_CALL
from triage_tui.campaign.discovery.shell.answers import Answer
from triage_tui.campaign.discovery.shell.commands import ExitShell, built_in
from triage_tui.campaign.discovery.shell.making import make, write_unknown
from triage_tui.campaign.discovery.shell.state import ShellState, Value
from triage_tui.campaign.discovery.tools import QUERIES, SHELLS, TOOLS, no_service

if TYPE_CHECKING:
    from tree_sitter import Node

    from triage_tui.campaign.discovery.shell.follow import Follower

LIBRARIES = (
    "/etc/init.d/functions",
    "/etc/rc.d/init.d/functions",
    "/etc/init.d/functions.sh",
    "/lib/lsb/",
    "/usr/lib/lsb/",
    "/lib/functions",
    "/lib/config/",
    "/etc/rc.common",
    "/usr/share/libubox/",
)
"""Where the functions that all scripts use are kept: what these do is known, and need not be followed."""
_UNKNOWN = "\0"
"""Stands for a word that is not known: no word of a command line holds it."""
_LIBRARY_FUNCTIONS = frozenset(("daemon", "start_daemon", "service_start"))
_MAX_ENVIRONMENT = 200
"""Files of a directory that hold a variable each."""
_RUNLEVELS = frozenset("0123456789sS")


class Said(msgspec.Struct, frozen=True):
    """How and where a script has a command."""

    unset: list[str]
    """Variables in it that nothing has set."""
    doubts: list[str]
    """Sentences about variables in it whose values may be others."""
    text: str
    place: str
    line: int
    """Counted from 0."""


class Runner:
    """Carries out single commands for a `Follower`."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self.asking = 0
        """Above 0 inside of a condition: there a program is asked, not started."""
        self.assumed = False
        """Whether the success of the last command is only what is usual."""

    def assignments(self, shell: ShellState, node: Node) -> None:
        """Do what NAME=VALUE does."""
        nodes = [node] if node.type == "variable_assignment" else node.named_children
        for one in nodes:
            if one.type == "variable_assignment":
                name, value = self._assigned(shell, one)
                if name:
                    shell.set(name, value)

    def _assigned(self, shell: ShellState, node: Node) -> tuple[str, Value]:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None or name.type != "variable_name":
            return "", Value("")
        variable = shell.script.text(name)
        if value is None:
            return variable, Value("")
        if value.type == "array":
            return variable, Value(None, f"{variable} is an array")
        found = self._follower.words.single(shell, value)
        if "+=" in shell.script.between(name.end_byte, value.start_byte):
            before = shell.get(variable)
            if before.text is None or found.text is None:
                return variable, before if before.text is None else found
            return variable, Value(before.text + found.text)
        return variable, found

    def declaration(self, shell: ShellState, node: Node) -> Answer:
        """`export`, `local` and the like, and `unset`."""
        words = [Value(shell.script.text(node.children[0]))]
        for child in node.named_children:
            if child.type != "variable_assignment":
                words += self._follower.words.expand(shell, child)
                continue
            name, value = self._assigned(shell, child)
            words.append(Value(name))
            built_in(self._follower, shell, words[0].text or "", [words[0], Value(name)])
            shell.set(name, value)
            words.pop()
        if len(words) > 1:
            built_in(self._follower, shell, words[0].text or "", words)
        return True

    def command(self, shell: ShellState, node: Node, background: bool) -> Answer:
        """Carry out a command; return its status where it is known."""
        follower = self._follower
        self.assumed = False
        set_before = [child for child in node.named_children if child.type == "variable_assignment"]
        follower.words.unset.clear()
        follower.words.doubts.clear()
        words = follower.command_words(shell, node)
        unset = list(follower.words.unset)
        doubts = list(follower.words.doubts)
        while words and words[0].text == "":
            words = words[1:]
        if not words:
            for one in set_before:
                self.assignments(shell, one)
            return True
        name = words[0].text
        said = Said(
            unset,
            doubts,
            shell.script.text(node),
            shell.script.place(node),
            shell.script.line(node),
        )
        if name is None:
            self._leave_out(shell, said, words[0].why)
            return None
        environment = dict(self._assigned(shell, one) for one in set_before)
        return self.run(shell, words, environment, background, said)

    def run(
        self,
        shell: ShellState,
        words: list[Value],
        environment: dict[str, Value],
        background: bool,
        said: Said,
    ) -> Answer:
        """Carry out expanded words."""
        follower = self._follower
        name = words[0].text or ""
        function = shell.functions.get(name)
        known = name in _LIBRARY_FUNCTIONS or openwrt.knows(name)
        if function is not None and not (known and function.script.path.startswith(LIBRARIES)):
            inner = shell.copy() if background else shell
            before = {one: inner.variables.get(one) for one in environment}
            for one, value in environment.items():
                inner.set(one, value)
            try:
                return follower.call(inner, name, words[1:])
            except ExitShell:
                if not background:
                    raise
                return True
            finally:
                for one, old in before.items():
                    if old is None:
                        inner.variables.pop(one, None)
                    else:
                        inner.variables[one] = old
        is_own, status = openwrt.command(follower, shell, name, words[1:], said.place)
        if name in ("exit", "return") and not shell.dead:
            follower.ended = f"it ends at {said.place}, as {follower.decision}" if follower.decision else ""
        if not is_own:
            ifs = shell.variables.get("IFS")
            if name == "read" and "IFS" in environment:
                shell.set("IFS", environment["IFS"])
            is_own, status = built_in(follower, shell, name, words)
            if name == "read" and "IFS" in environment:
                shell.variables.pop("IFS")
                shell.variables |= {"IFS": ifs} if ifs is not None else {}
        if is_own:
            return status
        if name == "exec" and len(words) == 1:
            # Only its redirections are meant: the script goes on.
            return True
        if name == "action" and len(words) > 2:
            # Red Hat's functions: a message, then a command.
            return self.run(shell, words[2:], environment, background, said)
        status = self._program(shell, words, environment, background, said)
        self.assumed = True
        if name == "exec":
            raise ExitShell
        return status

    def _program(
        self,
        shell: ShellState,
        words: list[Value],
        environment: dict[str, Value],
        background: bool,
        said: Said,
    ) -> Answer:
        name = posixpath.basename(words[0].text or "")
        asked = name in QUERIES or (self.asking and no_service(name) and not wraps(name))
        if asked and not background:
            return None
        launch = unwrapped([_UNKNOWN if word.text is None else word.text for word in words])
        if isinstance(launch, str):
            if name not in ("command", "env", "time") and (name != "start-stop-daemon" or launch != NO_START):
                self._leave_out(shell, said, launch)
            return None
        if not launch.words:
            return True
        if _UNKNOWN in (*launch.words, launch.user, launch.cwd):
            if launch.words[0] in ("cp", "mv") and launch.words[-1] != _UNKNOWN and not shell.dead:
                write_unknown(self._follower.view, shell, launch.words[-1], said.place)
            # What only the wrapper gets, as the name of a file for a process id, need not be known.
            if not no_service(posixpath.basename(launch.words[0])) or launch.daemon:
                self._leave_out(shell, said, next(word.why for word in words if word.text is None))
            return None if self.asking else True
        unset = [one for one, value in environment.items() if value.text is None]
        given = {one: value.text for one, value in environment.items() if value.text is not None}
        unread = f", unless {shell.unread} does, which cannot be read here" if shell.unread else ""
        notes = [f"nothing sets {', '.join(said.unset)}{unread}"] if said.unset else []
        notes += said.doubts
        notes += [f"its variable {one} is not known: {environment[one].why}" for one in unset]
        launch.env = {**shell.environment(), **given, **launch.env}
        for place in launch.env_directories:
            directory = posixpath.join(shell.cwd, place)
            for name in self._follower.view.names(directory)[:_MAX_ENVIRONMENT]:
                lines = self._follower.view.lines(posixpath.join(directory, name))
                launch.env[name] = lines[0].rstrip() if lines else ""
        return self._launch(shell, launch, background, said, notes)

    def _launch(
        self, shell: ShellState, launch: Launch, background: bool, said: Said, notes: list[str]
    ) -> Answer:
        follower = self._follower
        first = launch.words[0]
        name = posixpath.basename(first)
        shown = name
        if name in MULTI_CALL and len(launch.words) > 1:
            shown = posixpath.basename(launch.words[1])
        if self._hands_over(shell, launch, shown, said):
            return None
        path = follower.find(shell, first)
        why = no_service(shown)
        if why and not launch.daemon:
            if shown in TOOLS and not shell.dead:
                follower.finds.tool(shown, shell.script.path)
                make(follower.view, shell, launch.words[name in MULTI_CALL :], said.place)
            elif shown not in TOOLS:
                self._leave_out(shell, said, why)
            return None if self.asking else True
        if path is None:
            search = "" if "/" in first else f" along {shell.get('PATH').text}"
            why = shell.dead or f"there is no program {first} in the root{search}"
            follower.finds.leave_out(" ".join(launch.words), why, said.place)
            return None if self.asking else True
        if self.asking and not launch.daemon and not background:
            self._leave_out(shell, said, "it is only asked something, as a condition")
            return None
        if shell.dead:
            follower.finds.leave_out(" ".join(launch.words), shell.dead, said.place)
            return True
        is_script = follower.finds.programs.is_shell_script(path)
        if is_script:
            inner = shell if not background else shell.copy()
            follower.finds.reached(" ".join(launch.words))
            if not (background or launch.daemon):
                return self._follow(inner, path, launch, said.place)
        added = follower.finds.add(
            Start(
                program=path,
                argv=[launch.argv0 or first, *launch.words[1:]],
                cwd=posixpath.normpath(posixpath.join(shell.cwd, launch.cwd)),
                env=launch.env,
                user=launch.user or shell.user,
                origin=said.place,
                name=shown,
                notes=(*notes, *launch.notes, *shell.conditions),
            )
        )
        if is_script and added:
            self._follow(shell, path, launch, said.place)
        return None if self.asking else True

    def _follow(self, shell: ShellState, path: str, launch: Launch, place: str) -> Answer:
        line = self._follower.finds.programs.shebang(path)
        if line is not None and "rc.common" in line[1]:
            action = "".join(launch.words[1:2]) or "start"
            if action in ("start", "boot", "restart", "reload"):
                openwrt.follow(self._follower, path, action, place)
            return None
        self._follower.follow_file(path, [Value(word) for word in launch.words[1:]], shell, place)
        return None

    def _hands_over(self, shell: ShellState, launch: Launch, name: str, said: Said) -> bool:
        """Follow what shells and the programs that start scripts are given; tell whether it was that."""
        follower, words = self._follower, launch.words
        if name in MULTI_CALL:
            return False
        words = words[1:] if posixpath.basename(words[0]) in MULTI_CALL else words
        if name in SHELLS and len(words) > 1:
            while len(words) > 2 and words[1].startswith("-") and "c" not in words[1]:
                words = [words[0], *words[2:]]
            if words[1].startswith("-") and "c" in words[1] and len(words) > 2:
                follower.follow_text(shell, words[2], said.line, apart=True)
            elif not words[1].startswith("-"):
                path = posixpath.join(shell.cwd, words[1])
                follower.follow_file(path, [Value(word) for word in words[2:]], shell, said.place)
            else:
                return False
            return True
        if name == "su":
            texts = [words[index + 1] for index, word in enumerate(words[:-1]) if word in ("-c", "--command")]
            plain = [word for word in words[1:] if not word.startswith("-") and word not in texts]
            inner = shell.copy()
            inner.user = plain[0] if plain else ""
            for text in texts:
                follower.follow_text(inner, text, said.line, apart=True)
            return bool(texts)
        if name == "run-parts" and len(words) > 1:
            self._run_parts(shell, words[1:], said.place)
            return True
        if name in ("service", "invoke-rc.d", "rc-service") and len(words) > 2:
            path = f"/etc/init.d/{posixpath.basename(words[1])}"
            if not follower.view.is_file(path):
                follower.finds.leave_out(
                    " ".join(words), f"there is no script {path} in the root", said.place
                )
            follower.follow_file(path, [Value(word) for word in words[2:]], shell, said.place)
            return True
        level = words[1] if len(words) == 2 else ""
        known = (name == "rc" and level in _RUNLEVELS) or (
            name in ("openrc", "rc") and bool(level) and follower.view.is_directory(f"/etc/runlevels/{level}")
        )
        if known and follower.runlevel is not None:
            if not shell.dead:
                follower.runlevel(level)
            return True
        return False

    def _run_parts(self, shell: ShellState, words: list[str], place: str) -> None:
        arguments = [word.partition("=")[2] for word in words if word.startswith("--arg=")]
        plain: list[str] = []
        at = 0
        while at < len(words):
            if words[at] == "-a" and at + 1 < len(words):
                arguments.append(words[at + 1])
                at += 1
            elif not words[at].startswith("-"):
                plain.append(words[at])
            at += 1
        for directory in plain[:1]:
            directory = posixpath.join(shell.cwd, directory)
            for name in self._follower.view.names(directory):
                given = [Value(word) for word in (*arguments, *plain[1:])]
                self._follower.follow_file(posixpath.join(directory, name), given, shell, place)

    def _leave_out(self, shell: ShellState, said: Said, why: str) -> None:
        text = " ".join(said.text.replace("\\\n", " ").split())
        self._follower.finds.leave_out(text, shell.dead or why, said.place)
