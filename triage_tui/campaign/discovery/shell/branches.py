"""Where a script divides: lists with && and ||, tests, `if`, `case`, and loops."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from triage_tui.campaign.discovery.shell.answers import Answer, negated, test
from triage_tui.campaign.discovery.shell.commands import ExitShell, LeaveLoop, ReturnFunction
from triage_tui.campaign.discovery.shell.state import ShellState, Value

if TYPE_CHECKING:
    from tree_sitter import Node

    from triage_tui.campaign.discovery.shell.follow import Follower

MAX_TURNS = 256
"""Turns of one loop."""
_MAX_NESTING = 80
"""Expressions of a test inside of each other."""
_LEAF_TESTS = frozenset(
    ("unary_expression", "binary_expression", "parenthesized_expression", "negated_command", "test_command")
)


class Branches:
    """Follows statements that divide, for a `Follower`; see there for what is taken where nobody knows."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def listed(self, shell: ShellState, node: Node, background: bool) -> Answer:
        """Follow `one && other` or `one || other`."""
        first, last = node.named_children[0], node.named_children[-1]
        operator = next((child.type for child in node.children if child.type in ("&&", "||")), ";")
        status = self._follower.statement(shell, first)
        said = f"`{_short(shell.script.text(first))}` ({shell.script.place(first)})"
        outcome = "holds" if status is True else "does not hold"
        # Of what only the device tells, the usual course is followed: a script goes on.
        if operator == "&&":
            if status is False:
                self._follower.never(shell, [last], f"only where {said} holds, which it does not here")
                return False
            if status is None:
                self._follower.perhaps(shell, [last], f"only where {said} holds")
                return None
            return self._decided(shell, last, f"{said} {outcome}", background)
        if operator == "||":
            if status is True and not self._follower.runner.assumed:
                return True
            if status is not False:
                self._follower.perhaps(shell, [last], f"only where {said} fails")
                return None
            return self._decided(shell, last, f"{said} {outcome}", background)
        return self._follower.statement(shell, last, background)

    def _decided(self, shell: ShellState, node: Node, decision: str, background: bool) -> Answer:
        """Follow a statement that a test led to."""
        before, self._follower.decision = self._follower.decision, decision
        try:
            return self._follower.statement(shell, node, background)
        finally:
            self._follower.decision = before

    def test(self, shell: ShellState, node: Node) -> Answer:
        """Return what `[[ ]]` or `(( ))` gives; `[` is a command."""
        if "((" in shell.script.between(node.start_byte, node.start_byte + 2):
            return self.counted(shell, node)
        return test(self._follower.view, shell.cwd, self._test_words(shell, node, 0))

    def counted(self, shell: ShellState, node: Node) -> Answer:
        """Return what `(( ))` gives."""
        value = self._follower.words.number(shell, node, 2, 2)
        return None if value.text is None else value.text != "0"

    def _test_words(self, shell: ShellState, node: Node, depth: int) -> list[Value]:
        words: list[Value] = []
        for child in node.children:
            if child.type in _LEAF_TESTS and depth < _MAX_NESTING:
                words += self._test_words(shell, child, depth + 1)
            elif child.type in ("[[", "]]"):
                continue
            elif child.is_named and child.type != "test_operator":
                # Words are not split here, and a pattern on the right side stays one.
                words.append(self._follower.words.single(shell, child))
            else:
                words.append(Value(shell.script.text(child)))
        return words

    def _condition(self, shell: ShellState, nodes: Iterable[Node]) -> Answer:
        """Return what the commands between `if` and `then` answer."""
        self._follower.runner.asking += 1
        try:
            return self._follower.statements(shell, list(nodes))
        finally:
            self._follower.runner.asking -= 1

    def if_(self, shell: ShellState, node: Node) -> None:
        """`if` and each `elif` in turn; see the head of this module for what is not known."""
        asked, body = _parts(node, "then")
        rest = [child for child in node.children if child.type in ("elif_clause", "else_clause")]
        body = [child for child in body if child not in rest]
        while True:
            answer = self._condition(shell, asked)
            said = _said(shell, asked)
            if answer is True:
                for clause in rest:
                    held = _parts(clause, "then")[1] if clause.type == "elif_clause" else clause.children
                    self._follower.never(shell, held, f"only where {said} does not hold, which it does here")
                before, self._follower.decision = self._follower.decision, f"{said} holds"
                try:
                    self._follower.statements(shell, body)
                finally:
                    self._follower.decision = before
                return
            if answer is None:
                self._follower.perhaps(shell, body, f"only where {said} holds")
            else:
                self._follower.never(shell, body, f"only where {said} holds, which it does not here")
            if not rest:
                return
            clause, *rest = rest
            if clause.type == "else_clause":
                if answer is None:
                    self._usual(shell, clause.children, said)
                else:
                    self._follower.statements(shell, clause.children)
                return
            asked, body = _parts(clause, "then")

    def _usual(self, shell: ShellState, nodes: Sequence[Node], said: str) -> None:
        """Follow the branch that is taken where nobody knows; its end of the script is not taken."""
        before = shell.conditions
        shell.conditions = (*before, f"only where {said} does not hold")
        try:
            self._follower.statements(shell, nodes)
        except (ExitShell, ReturnFunction):
            pass
        finally:
            shell.conditions = before

    def case(self, shell: ShellState, node: Node) -> None:
        """Follow the item of a `case` whose pattern fits."""
        subject = node.child_by_field_name("value")
        items = [child for child in node.named_children if child.type == "case_item"]
        if subject is None:
            return
        value = self._follower.words.single(shell, subject)
        last: Node | None = None
        for item in items:
            patterns, body = self._patterns(shell, item)
            if value.text is None:
                said = f"only where {_short(shell.script.text(subject))} is {_short(' or '.join(patterns))}"
                if "*" in patterns:
                    last = item
                else:
                    self._follower.perhaps(shell, body, f"{said} ({shell.script.place(item)})")
            elif any(fnmatch.fnmatchcase(value.text, pattern) for pattern in patterns):
                self._follower.statements(shell, body)
                return
        if last is not None:
            self._usual_case(shell, self._patterns(shell, last)[1])

    def _usual_case(self, shell: ShellState, nodes: Sequence[Node]) -> None:
        with suppress(ExitShell, ReturnFunction):
            self._follower.statements(shell, nodes)

    def _patterns(self, shell: ShellState, item: Node) -> tuple[list[str], list[Node]]:
        """Return the patterns of a case item, and its statements."""
        patterns: list[str] = []
        behind = next((at for at, child in enumerate(item.children) if child.type == ")"), 0)
        for child in item.children[:behind]:
            if child.is_named:
                if child.type == "extglob_pattern":
                    # What the tree takes for one of bash's patterns may be a list of alternatives.
                    patterns += shell.script.text(child).split("|")
                else:
                    patterns.append(self._follower.words.single(shell, child).text or "")
        return patterns, list(item.children[behind + 1 :])

    def for_(self, shell: ShellState, node: Node) -> None:
        """Follow the turns of a `for`."""
        body = [child for child in node.named_children if child.type == "do_group"]
        variable = node.child_by_field_name("variable")
        if variable is None:
            self._turn(shell, body)
            return
        name = shell.script.text(variable)
        given = node.children_by_field_name("value")
        if any(child.type == "in" for child in node.children):
            values = [one for child in given for one in self._follower.words.expand(shell, child)]
        else:
            values = list(shell.positional)
        for value in values[:MAX_TURNS]:
            shell.set(name, value)
            if self._turn(shell, body):
                return
        if len(values) > MAX_TURNS:
            self._follower.finds.leave_out(
                f"for {name} in ...",
                f"only {MAX_TURNS} of {len(values)} turns were followed",
                shell.script.place(node),
            )

    def while_(self, shell: ShellState, node: Node) -> None:
        """Follow the turns of a `while` or `until`: one where it has no end, or none that is known."""
        asked, _ = _parts(node, "do_group")
        body = [child for child in node.named_children if child.type == "do_group"]
        until = bool(node.children) and node.children[0].type == "until"
        said = _said(shell, asked)
        why = f"only {'until' if until else 'while'} {said} holds"
        endless = said.partition("` (")[0].strip("` ;") in _ENDLESS
        for turn in range(MAX_TURNS):
            before = _changing(shell)
            answer = self._condition(shell, asked)
            answer = negated(answer) if until else answer
            if answer is None:
                self._follower.perhaps(shell, body, why)
            elif answer is False and not turn:
                self._follower.never(shell, body, why)
            if not answer:
                return
            if self._turn(shell, body) or endless or _changing(shell) == before:
                return
        place = shell.script.place(node)
        self._follower.finds.leave_out(f"while {said}", f"only {MAX_TURNS} turns were followed", place)

    def counted_for(self, shell: ShellState, node: Node) -> None:
        """Follow `for ((first; while; step))`."""
        first, condition, step = (node.child_by_field_name(one) for one in _COUNTED)
        body = [child for child in node.named_children if child.type in ("do_group", "compound_statement")]
        if first is not None:
            self._follower.words.number(shell, first, 0, 0)
        for _ in range(MAX_TURNS):
            value = self._follower.words.number(shell, condition, 0, 0) if condition is not None else None
            if value is None or value.text is None:
                self._follower.perhaps(shell, body, f"in a turn of `{_short(shell.script.text(node))}`")
                return
            if value.text == "0" or self._turn(shell, body):
                return
            if step is None or self._follower.words.number(shell, step, 0, 0).text is None:
                return

    def _turn(self, shell: ShellState, body: Sequence[Node]) -> bool:
        """Follow one turn of a loop; tell whether the loop ends with it."""
        try:
            self._follower.statements(shell, body)
        except LeaveLoop as left:
            return left.ends
        return False


_ENDLESS = frozenset(("true", ":", "[ 1 ]", "[ true ]", "test 1", "sleep", "((1))", "[ 1 = 1 ]"))
_COUNTED = ("initializer", "condition", "update")


def _changing(shell: ShellState) -> tuple[object, ...]:
    """What a turn of a loop can change so that the next is another one."""
    lines = -1 if shell.input is None else len(shell.input)
    return dict(shell.variables), list(shell.positional), shell.cwd, lines


def _parts(node: Node, word: str) -> tuple[list[Node], list[Node]]:
    """Return the children of a statement before and behind a word."""
    children = list(node.children)
    at = next((index for index, child in enumerate(children) if child.type == word), len(children))
    return children[1:at], children[at + 1 :]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _said(shell: ShellState, asked: Sequence[Node]) -> str:
    named = [node for node in asked if node.is_named]
    if not named:
        return "something"
    text = shell.script.between(named[0].start_byte, named[-1].end_byte)
    return f"`{_short(text)}` ({shell.script.place(named[0])})"
