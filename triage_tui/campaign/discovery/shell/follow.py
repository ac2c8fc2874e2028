"""Follow a script: which commands it comes to, with which words, where only the device knows the rest.

A test that the root answers decides which branch is taken; what stands in the other is told as left out.
Of a test that only the device can answer, the answer is taken to be no, and what the other branch starts is
found too, with the condition as a note. Nothing is executed, and every file is read at most a few times.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from triage_tui.campaign.discovery.found import Finds
from triage_tui.campaign.discovery.openwrt import Instance
from triage_tui.campaign.discovery.programs import INIT_D_SCRIPT
from triage_tui.campaign.discovery.root_view import MAX_TEXT, LongScriptError
from triage_tui.campaign.discovery.settings import Settings
from triage_tui.campaign.discovery.shell.answers import Answer, negated
from triage_tui.campaign.discovery.shell.branches import Branches
from triage_tui.campaign.discovery.shell.commands import ExitShell, LeaveLoop, ReturnFunction
from triage_tui.campaign.discovery.shell.making import redirected
from triage_tui.campaign.discovery.shell.running import LIBRARIES, Runner
from triage_tui.campaign.discovery.shell.state import Function, ShellState, Value
from triage_tui.campaign.discovery.shell.substitutions import handed_on, substituted
from triage_tui.campaign.discovery.shell.syntax import Script, parse
from triage_tui.campaign.discovery.shell.words import Words
from triage_tui.campaign.discovery.tools import QUERIES

if TYPE_CHECKING:
    from tree_sitter import Node

_MAX_KEPT_BYTES = 4 << 20
"""Of the texts whose trees are kept."""
_BYTES_A_STEP = 100
"""Of a script's text that is parsed: what is no script takes longest."""
MAX_SCRIPT_STEPS = 20_000
"""Files and commands that one script may come to, without those of the scripts that it starts."""
MAX_DEPTH = 16
"""Functions, scripts and texts inside of each other."""
MAX_RECURSION = 3
"""How often one script may start itself, by whatever way."""
MAX_NESTING = 80
"""Statements inside of each other."""


class Follower:
    """Follows the scripts of one root; what they start goes to `finds`."""

    def __init__(
        self,
        finds: Finds,
        environment: dict[str, str],
        runlevel: Callable[[str], None] | None = None,
    ) -> None:
        """`runlevel` is called where a script hands over to the scripts of a runlevel."""
        self.finds = finds
        self.view = finds.view
        self.environment = environment
        self.settings = Settings(finds.view)
        self.runlevel = runlevel
        self.followed: set[str] = set()
        """Real paths of the scripts that were followed."""
        self.instance: Instance | None = None
        """What a script is describing to procd."""
        self.decision = ""
        """What was decided where the script is: the test whose answer led there."""
        self.ended = ""
        """Where and why the last script or function ended before its end."""
        self.words = Words(self.view, self.substitution)
        self.runner = Runner(self)
        self._branches = Branches(self)
        self._nesting = 0
        self._scripts: dict[str, tuple[bytes, Script]] = {}
        self._kept_bytes = 0
        self._at_work: list[tuple[str, tuple[str | None, ...]]] = []

    def shell(self, script: Script, environment: dict[str, str] | None = None) -> ShellState:
        """Return a shell as init starts it, or with another environment."""
        given = self.environment if environment is None else environment
        return ShellState(
            script=script,
            variables={name: Value(text) for name, text in given.items()},
            exported=set(given),
        )

    def follow_file(
        self,
        path: str,
        arguments: Sequence[Value] = (),
        parent: ShellState | None = None,
        origin: str = "",
        after: Callable[[ShellState], None] | None = None,
        cwd: str = "/",
        before: Callable[[ShellState], None] | None = None,
    ) -> ShellState | None:
        """Follow a script as a process of its own; `before` and `after` have its state as it begins and ends.

        None where it is not followed."""
        real = self.view.canonical(path)
        key = (real or path, tuple(one.text for one in arguments))
        depth = parent.depth if parent is not None else 0
        often = sum(one == key[0] for one, _ in self._at_work) >= MAX_RECURSION
        if real is None or often or key in self._at_work or depth >= MAX_DEPTH:
            return None
        script = self.script(path)
        if script is None:
            self.finds.leave_out(path, "it cannot be read as a script", origin)
            return None
        self.followed.add(real)
        if parent is None:
            shell = self.shell(script)
            shell.positional, shell.cwd = list(arguments), cwd
        else:
            shell = parent.child(script, list(arguments))
        self._at_work.append(key)
        told, self.ended = self.finds.told, ""
        decision, self.decision = self.decision, ""
        asking, self.runner.asking = self.runner.asking, 0
        try:
            with self.view.at_most(MAX_SCRIPT_STEPS):
                if before is not None:
                    before(shell)
                self.statements(shell, script.root.children)
                if after is not None:
                    after(shell)
        except (ExitShell, ReturnFunction, LeaveLoop):
            pass
        except LongScriptError:
            self.instance = None
            self.finds.leave_out(path, f"only its first {MAX_SCRIPT_STEPS} steps were followed", origin)
        except RecursionError:
            self.finds.leave_out(path, "it nests deeper than can be followed", origin)
        finally:
            self.runner.asking = asking
            self.decision = decision
            self._at_work.pop()
        if self.finds.told == told and not shell.dead:
            self.finds.leave_out(path, self.ended or "it comes to no program but tools", path)
        return shell

    def script(self, path: str) -> Script | None:
        """Return a script of the root with its tree."""
        source = self.view.text(path)
        if source is None:
            return None
        if (self.view.canonical(path) or path) in self.view.cut:
            self.finds.leave_out(path, f"only its first {MAX_TEXT >> 10} KiB were read", path)
        kept = self._scripts.get(path)
        if kept is not None and kept[0] == source:
            return kept[1]
        self.view.step(len(source) // _BYTES_A_STEP)
        script = parse(path, source)
        self._kept_bytes += len(source)
        if script is not None and self._kept_bytes <= _MAX_KEPT_BYTES:
            # What all scripts read in, as /lib/functions.sh, is parsed once.
            self._scripts[path] = (source, script)
        return script

    def follow_text(self, shell: ShellState, text: str, line: int = 0, *, apart: bool = False) -> Answer:
        """Follow a text of the shell, as of `eval`, or `apart` as of `sh -c`; it stands at `line` from 0."""
        if shell.depth >= MAX_DEPTH or len(text) > 64 << 10:
            return None
        script = parse(shell.script.path, text.encode("utf-8", "surrogateescape"), line)
        if script is None:
            return None
        inner = shell.copy() if apart else shell
        before, inner.script = inner.script, script
        inner.depth += 1
        try:
            return self.statements(inner, script.root.children)
        except ExitShell:
            if not apart:
                raise
            return None
        finally:
            inner.depth -= 1
            inner.script = before

    def read_in(self, shell: ShellState, arguments: list[Value]) -> Answer:
        """Follow a file in the same shell, as `.` does."""
        if not arguments:
            return None
        if arguments[0].text is None:
            self.finds.leave_out(f". (in {shell.script.path})", arguments[0].why, shell.script.path)
            return None
        path = arguments[0].text
        path = posixpath.join(shell.cwd, path)
        if path == INIT_D_SCRIPT:
            # What it would start is known from the variables.
            return True
        key = (path, ())
        if shell.depth >= MAX_DEPTH or key in self._at_work:
            return None
        script = self.script(path)
        if script is None:
            made = self.view.made_at(path)
            if not path.startswith(LIBRARIES):
                shell.unread = path
            why = made
            if made is None and self.view.made.is_doubtful(self.view.canonical(path) or path):
                why = "whether it is there is known on the device alone"
            if why is None:
                return False
            shell.unknown = path
            self.finds.leave_out(f". {path}", f"{why}, so what it sets is not known", shell.script.path)
            return None
        self.followed.add(self.view.canonical(path) or path)
        before, shell.script = shell.script, script
        shell.depth += 1
        self._at_work.append(key)
        try:
            return self.statements(shell, script.root.children)
        except ReturnFunction:
            return None
        finally:
            self._at_work.pop()
            shell.depth -= 1
            shell.script = before

    def call(self, shell: ShellState, name: str, arguments: list[Value]) -> Answer:
        """Call a function of the script that `shell` has; None where there is none."""
        function = shell.functions.get(name)
        if function is None or shell.depth >= MAX_DEPTH:
            return None
        script, positional = shell.script, shell.positional
        shell.script, shell.positional = function.script, list(arguments)
        shell.depth += 1
        shell.locals.append({})
        # What a function does for a condition it does none the less.
        asking, self.runner.asking = self.runner.asking, 0
        try:
            return self.statements(shell, [function.body])
        except ReturnFunction:
            return None
        finally:
            self.runner.asking = asking
            for variable, value in shell.locals.pop().items():
                if value is None:
                    shell.variables.pop(variable, None)
                else:
                    shell.variables[variable] = value
            shell.depth -= 1
            shell.script, shell.positional = script, positional

    def find(self, shell: ShellState, name: str) -> str | None:
        """Return the guest path of a command, None where the root has none."""
        if "/" in name:
            path = posixpath.normpath(posixpath.join(shell.cwd, name))
            return path if self.view.is_file(path) else None
        return self.view.which(name, shell.get("PATH").text or self.environment["PATH"])

    def substitution(self, shell: ShellState, node: Node) -> Value:
        """Return what a command in `$( )` or backquotes prints."""
        return substituted(self, shell, node)

    def command_words(self, shell: ShellState, node: Node) -> list[Value]:
        """Return the words of a command, its name first, without assignments and redirections."""
        words: list[Value] = []
        for child in node.named_children:
            if child.type in ("variable_assignment", "comment") or child.type.endswith("_redirect"):
                continue
            words += self.words.expand(shell, child)
        return words

    def statements(self, shell: ShellState, nodes: Sequence[Node]) -> Answer:
        """Follow statements one after the other; return the status of the last."""
        status: Answer = True
        self._nesting += 1
        try:
            if self._nesting > MAX_NESTING:
                self.finds.leave_out(shell.script.path, "it nests deeper than is followed", shell.script.path)
                return None
            for index, node in enumerate(nodes):
                if not node.is_named or node.type == "comment":
                    continue
                following = nodes[index + 1] if index + 1 < len(nodes) else None
                status = self.statement(shell, node, following is not None and following.type == "&")
        finally:
            self._nesting -= 1
        return status

    def statement(self, shell: ShellState, node: Node, background: bool = False) -> Answer:
        """Follow one statement; `background` tells that an ampersand follows it."""
        self.view.step()
        if background and node.type not in ("command", "redirected_statement", "list", "pipeline"):
            self._aside(shell, [node])
            return True
        match node.type:
            case "command":
                return self.runner.command(shell, node, background)
            case "declaration_command" | "unset_command":
                return self.runner.declaration(shell, node)
            case "variable_assignment" | "variable_assignments":
                self.runner.assignments(shell, node)
                return True
            case "redirected_statement":
                return redirected(self, shell, node, background)
            case "list":
                return self._branches.listed(shell, node, background)
            case "pipeline":
                return self._pipeline(shell, node, background)
            case "negated_command":
                return negated(self.statements(shell, node.children))
            case "test_command":
                self.runner.assumed = False
                return self._branches.test(shell, node)
            case "if_statement":
                self._branches.if_(shell, node)
                return None
            case "case_statement":
                self._branches.case(shell, node)
                return None
            case "for_statement":
                self._branches.for_(shell, node)
                return None
            case "c_style_for_statement":
                self._branches.counted_for(shell, node)
                return None
            case "while_statement":
                self._branches.while_(shell, node)
                return None
            case "function_definition":
                name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
                if name is not None and body is not None:
                    shell.functions[shell.script.text(name)] = Function(body, shell.script)
                return True
            case "subshell":
                return self._aside(shell, node.children)
            case "compound_statement" if node.children and node.children[0].type == "((":
                return self._branches.counted(shell, node)
            case "compound_statement" | "do_group" | "ERROR" | "else_clause" | "program":
                return self.statements(shell, node.children)
        return None

    def _pipeline(self, shell: ShellState, node: Node, background: bool) -> Answer:
        """Follow the commands of a pipeline; what is only looked through is asked, not started."""
        last = node.named_children[-1]
        name = last.child_by_field_name("name") if last.type == "command" else None
        asked = not background and name is not None and shell.script.text(name) in QUERIES
        self.runner.asking += asked
        try:
            answer: Answer = None
            before: Node | None = None
            for child in node.named_children:
                inner = shell.copy()
                if before is not None:
                    inner.input = handed_on(self, shell, before)
                answer = self._aside(inner, [child], background)
                before = child
            return answer
        finally:
            self.runner.asking -= asked

    def _aside(self, shell: ShellState, nodes: Sequence[Node], background: bool = False) -> Answer:
        """Follow statements in a shell of their own."""
        inner = shell.copy()
        try:
            if background and len(nodes) == 1:
                return self.statement(inner, nodes[0], True)
            return self.statements(inner, nodes)
        except (ExitShell, ReturnFunction, LeaveLoop):
            return None

    def perhaps(self, shell: ShellState, nodes: Sequence[Node], condition: str) -> None:
        """Follow what is reached only where `condition` holds, which nobody knows."""
        inner = shell.copy()
        inner.conditions = (*inner.conditions, condition)
        told = self._apart(inner, nodes)
        if self.instance is not None:
            self.instance.learn(told, condition)
        shell.learn(inner, condition)

    def never(self, shell: ShellState, nodes: Sequence[Node], why: str) -> None:
        """Look at what is not reached in this root, to tell what is left out."""
        inner = shell.copy()
        inner.dead = inner.dead or why
        self._apart(inner, nodes)

    def _apart(self, inner: ShellState, nodes: Sequence[Node]) -> Instance | None:
        """Follow a branch; return what it told procd of the program that is being described."""
        before = self.instance
        told = self.instance = before.copy() if before is not None else None
        try:
            self.statements(inner, nodes)
        except (ExitShell, ReturnFunction, LeaveLoop):
            pass
        finally:
            self.instance = before
        return told
