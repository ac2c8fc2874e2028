"""What the body of a rule does, read from its syntax tree: where it acts, on what conditions, with what.

Nothing is executed. The conditions of a place are those of the `if` statements around it, and of those before
it that leave the function.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from triage_tui.rulebook.kinds import ENTRY_POINTS
from triage_tui.rulebook.lua.forms import (
    Assign,
    Binary,
    Block,
    Call,
    Constant,
    Do,
    Expression,
    Function,
    If,
    Jump,
    Local,
    Loop,
    Name,
    Return,
    Statement,
    Unary,
    Vararg,
    expressions_of,
    statements_in,
    walk,
)
from triage_tui.rulebook.lua.syntax import parse
from triage_tui.rulebook.lua.values import (
    RESULT,
    Argument,
    Part,
    Scope,
    Value,
    arguments_in,
    bound_in,
    function_named,
    inside_of,
    own_statements,
    resolve,
    resolved,
)

CHANGES = frozenset(
    (
        *("c_write_bytes", "c_write_guest_bytes", "c_write_guest_u32", "c_write_guest_u64", "c_set_reg"),
        *("c_set_arg", "c_mkdir_p", "c_provide_file", "c_open_bytes", "c_open_host", "c_ifreq_set"),
        *("c_connect_peer", "c_tell_peer", "c_provide_socket", "c_socket_stub", "c_start_program"),
        *("c_remove_path", "c_open_shared", "c_write_shared", "c_write_field"),
    )
)
"""Helpers that change the guest."""

_MAX_ACTS = 200
_MAX_INLINED = 4


class Condition(msgspec.Struct, frozen=True):
    """Something that must hold (or, with `holds` False, must not) at a place."""

    expression: Expression
    holds: bool
    scope: Scope


class Comparison(msgspec.Struct, frozen=True):
    """One comparison of a condition. `operator` is that which must hold ("==" or "~=" and so on)."""

    operator: str
    left: Expression
    right: Expression
    scope: Scope
    certain: bool
    """It must hold by itself; False where it is one of several ways (`or`)."""


class Act(msgspec.Struct, frozen=True):
    """A place where the rule does something: a change of the guest (`call`), or an answer (`answer`)."""

    line: int
    entry: str
    conditions: tuple[Condition, ...]
    scope: Scope
    call: Call | None = None
    answer: Expression | None = None
    """The value that the guest gets, of an answer; `Constant(nil)` where there is none."""

    @property
    def is_answer(self) -> bool:
        """Whether the guest gets a value in place of the call."""
        return self.call is None


class Body(msgspec.Struct):
    """What a rule's body does."""

    statements: list[Statement]
    entries: dict[str, tuple[Function, Scope]]
    acts: list[Act] = msgspec.field(default_factory=list)
    calls: list[tuple[Call, Scope]] = msgspec.field(default_factory=list)
    """Every call of a global function in the text, helpers and library, in no order."""
    loops: list[Loop] = msgspec.field(default_factory=list)
    strings: set[bytes] = msgspec.field(default_factory=set)
    """Every string constant of the text."""
    kept: set[str] = msgspec.field(default_factory=set)
    """Names that outlive a call: assigned inside of a function, declared outside of it."""
    whole: bool = True
    """False where there were more places than are looked at."""

    @property
    def changes(self) -> list[Act]:
        """The acts that change the guest, answers left out."""
        return [act for act in self.acts if not act.is_answer]

    @property
    def answers(self) -> list[Act]:
        """The acts that answer the call."""
        return [act for act in self.acts if act.is_answer]


def read_body(source: bytes) -> Body:
    """Return what a Lua text that compiles does.

    Raises:
        NotUnderstood: it is beyond what the checks can read.
    """
    chunk = parse(source)
    top = Scope(bound_in(chunk, top=True))
    body = Body(chunk.body, _entries(chunk.body, top))
    _collect(chunk.body, top, body)
    declared = {name for one in own_statements(chunk.body) if isinstance(one, Local) for name in one.names}
    body.kept = declared & chunk.assigned_inside
    visitor = _Visitor(body)
    for name, (function, scope) in body.entries.items():
        visitor.visit(name, function, scope)
    return body


def arguments_used(body: Body) -> set[int]:
    """Return the numbers (from 1) of the guest's arguments that a body looks at, all with `...`."""
    used: set[int] = set()
    for function, scope in body.entries.values():
        for statement in statements_in(function.body):
            for expression in expressions_of(statement):
                if any(isinstance(part, Vararg) for part in walk(expression)):
                    return set(range(1, 9))
                used |= arguments_in(expression, scope)
    return used - {0, RESULT}


def _entries(statements: list[Statement], top: Scope) -> dict[str, tuple[Function, Scope]]:
    """Return the entry points with the scope in them: their parameters are the guest's arguments."""
    found: dict[str, tuple[Function, Scope]] = {}
    for statement in statements:
        if not isinstance(statement, Assign):
            continue
        for target, value in zip(statement.targets, statement.values, strict=False):
            if isinstance(target, Name) and target.text in ENTRY_POINTS:
                function, scope = resolved(value, top)
                if isinstance(function, Function):
                    first = 0 if target.text == "do_syscall" else -1
                    numbers = [0, *([RESULT] if first else []), *range(1, 9)]
                    given: dict[str, Value] = {
                        name: Argument(number)
                        for name, number in zip(function.parameters, numbers, strict=False)
                    }
                    found[target.text] = function, inside_of(function, scope, given)
    return found


def _collect(statements: list[Statement], scope: Scope, body: Body) -> None:
    """Note all calls, loops and strings of the text."""
    waiting: list[tuple[list[Statement], Scope]] = [(statements, scope)]
    known = {id(function): inner for function, inner in body.entries.values()}
    while waiting:
        block, around = waiting.pop()
        for statement in own_statements(block):
            if isinstance(statement, Loop):
                body.loops.append(statement)
            for expression in expressions_of(statement):
                for part in walk(expression):
                    if isinstance(part, Call):
                        body.calls.append((part, around))
                    elif isinstance(part, Constant) and isinstance(part.value, bytes):
                        body.strings.add(part.value)
                    elif isinstance(part, Function):
                        waiting.append((part.body, known.get(id(part)) or inside_of(part, around, {})))


def comparisons(conditions: Iterable[Condition]) -> list[Comparison]:
    """Return the comparisons in some conditions, each with the operator that must hold."""
    found: list[Comparison] = []
    waiting = [(one.expression, one.holds, one.scope, True) for one in conditions]
    while waiting:
        expression, holds, scope, certain = waiting.pop()
        if isinstance(expression, Unary) and expression.operator == "not":
            waiting.append((expression.operand, not holds, scope, certain))
        elif isinstance(expression, Binary) and expression.operator in ("and", "or"):
            both = certain and (expression.operator == "and") == holds
            waiting += [(side, holds, scope, both) for side in (expression.left, expression.right)]
        elif isinstance(expression, Binary) and expression.operator in _OPPOSITE:
            operator = expression.operator if holds else _OPPOSITE[expression.operator]
            found.append(Comparison(operator, expression.left, expression.right, scope, certain))
        else:
            # Whatever it is: it is true or it is not.
            true = Constant(expression.line, True)
            found.append(Comparison("==" if holds else "~=", expression, true, scope, certain))
    return found


_OPPOSITE = {"==": "~=", "~=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class _Visitor:
    """Goes through the entry points and notes where the rule acts, and on what conditions."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._inlined: list[int] = []

    def visit(self, entry: str, function: Function, scope: Scope) -> None:
        self._block(entry, function.body, (), scope, answers=True)

    def _block(
        self,
        entry: str,
        block: list[Statement],
        conditions: tuple[Condition, ...],
        scope: Scope,
        answers: bool,
    ) -> tuple[Condition, ...]:
        """Visit a block; returns the conditions that hold behind it."""
        for statement in block:
            if len(self._body.acts) >= _MAX_ACTS:
                self._body.whole = False
                return conditions
            for expression in expressions_of(statement):
                self._calls(entry, expression, conditions, scope)
            if isinstance(statement, Return) and answers:
                self._return(entry, statement, conditions, scope)
            elif isinstance(statement, If):
                conditions = self._if(entry, statement, conditions, scope, answers)
            elif isinstance(statement, Loop):
                held = tuple(
                    Condition(head, True, scope) for head in statement.heads if statement.kind == "while"
                )
                self._block(entry, statement.body, conditions + held, scope, answers)
            elif isinstance(statement, Block):
                conditions = self._block(entry, statement.body, conditions, scope, answers)
        return conditions

    def _if(
        self, entry: str, statement: If, conditions: tuple[Condition, ...], scope: Scope, answers: bool
    ) -> tuple[Condition, ...]:
        before = conditions
        behind = conditions
        all_leave = True
        for condition, block in statement.branches:
            self._block(entry, block, (*before, Condition(condition, True, scope)), scope, answers)
            before = (*before, Condition(condition, False, scope))
            leaves = _leaves(block)
            if leaves and all_leave:
                behind = before
            all_leave = all_leave and leaves
        self._block(entry, statement.otherwise, before, scope, answers)
        return behind

    def _return(self, entry: str, statement: Return, conditions: tuple[Condition, ...], scope: Scope) -> None:
        values = statement.values
        if not values:
            return
        action = resolve(values[0], scope)
        if isinstance(action, Call) and len(values) == 1:
            self._tail_call(entry, action, conditions, scope)
            return
        if isinstance(action, Constant) and action.value is not True and action.value != 1:
            return
        answer = values[1] if len(values) > 1 else Constant(statement.line, None)
        if not isinstance(action, Constant):
            conditions = (*conditions, Condition(values[0], True, scope))
        self._body.acts.append(Act(statement.line, entry, conditions, scope, answer=answer))

    def _tail_call(self, entry: str, call: Call, conditions: tuple[Condition, ...], scope: Scope) -> None:
        """`return answer(a2)`: what that function returns is what the rule returns."""
        own = function_named(call, scope)
        if own is None:
            answer = Part(call, 1)
            shown = Constant(call.line, None)
            values = Scope({"(answer)": answer}, scope)
            self._body.acts.append(
                Act(call.line, entry, conditions, values, answer=Name(shown.line, "(answer)"))
            )
            return
        self._into(entry, call, own, conditions, scope, answers=True)

    def _calls(
        self, entry: str, expression: Expression, conditions: tuple[Condition, ...], scope: Scope
    ) -> None:
        """Note the helpers that an expression calls, also through the rule's own functions."""
        for part in walk(expression):
            if not isinstance(part, Call):
                continue
            if part.name in CHANGES and scope.value(part.name)[0] is None:
                self._body.acts.append(Act(part.line, entry, conditions, scope, call=part))
            elif (own := function_named(part, scope)) is not None:
                self._into(entry, part, own, conditions, scope, answers=False)

    def _into(
        self,
        entry: str,
        call: Call,
        own: tuple[Function, Scope],
        conditions: tuple[Condition, ...],
        scope: Scope,
        answers: bool,
    ) -> None:
        function, where = own
        if id(function) in self._inlined or len(self._inlined) >= _MAX_INLINED:
            return
        self._inlined.append(id(function))
        given: dict[str, Value] = {}
        for name, argument in zip(function.parameters, call.arguments, strict=False):
            value, _ = resolved(argument, scope)
            if value is not None:
                given[name] = value
        inside = inside_of(function, where, given)
        # What the caller's values are made of is looked for from there.
        inside.outer = Scope(where.values, Scope(scope.values, _outermost(where, scope)))
        self._block(entry, function.body, conditions, inside, answers)
        self._inlined.pop()


def _outermost(where: Scope, scope: Scope) -> Scope | None:
    return where.outer if where.outer is not None else scope.outer


def _leaves(block: list[Statement]) -> bool:
    """Whether what stands behind a block is not reached through it."""
    if not block:
        return False
    last = block[-1]
    match last:
        case Return():
            return True
        case Jump(kind=kind):
            return kind != "label"
        case Do(call=Call() as call):
            return call.name == "error"
        case Block(body=body):
            return _leaves(body)
        case If(branches=branches, otherwise=otherwise):
            return bool(otherwise) and _leaves(otherwise) and all(_leaves(one) for _, one in branches)
    return False
