"""What is wrong with what the body of a rule does: the results it gives and what they depend on.

Each check tells what is certain from the text alone. What depends on values of the guest is told by running
the rule over recorded calls (`replay`).
"""

from __future__ import annotations

from collections.abc import Iterator

from triage_tui.rulebook.check import call_shapes
from triage_tui.rulebook.check.body import CHANGES, Act, Body, comparisons
from triage_tui.rulebook.check.findings import Finding
from triage_tui.rulebook.lua.forms import (
    Binary,
    Call,
    Constant,
    Expression,
    Function,
    Jump,
    Loop,
    Return,
    Table,
    Unary,
    expressions_of,
    statements_in,
    walk,
)
from triage_tui.rulebook.lua.values import Argument, Scope, arguments_in, constant, parts, resolve
from triage_tui.runs import errnos, guest_abi

_ORDERED = frozenset(("ipairs",))
_MANY_REQUESTS = 32
"""Requests to the guest at one call above which a rule is said to be costly; 512 end it."""
_ADDRESSES = frozenset(("c_get_reg", "c_resolve_addr", "c_get_shadowstack"))


def check_body(body: Body, syscall: str, arch: str = "") -> Iterator[Finding]:
    """Yield what is wrong with a body for the calls of `syscall` ("" where that is not known).

    `arch` is that of the program, "" where it is not known.
    """
    if not body.whole:
        yield Finding(1, "warning", "not-whole", "the rule acts in more places than were checked")
    for act in body.answers:
        yield from _answer(act, syscall, arch)
    yield from _not_possible(body, syscall)
    yield from _starts_nothing(body, syscall)
    yield from _order(body)
    yield from _sources(body)
    yield from _loops(body)


# Results


def _answer(act: Act, syscall: str, arch: str) -> Iterator[Finding]:
    if act.answer is None:
        return
    value = resolve(act.answer, act.scope)
    known = constant(act.answer, act.scope)
    if known is not None:
        yield from _constant_answer(act, known, syscall, arch)
        return
    if isinstance(value, (Table, Function)):
        kind = "a table" if isinstance(value, Table) else "a function"
        yield Finding(act.line, "error", "no-integer", f"{kind} is no result: the guest would get 0")
    elif isinstance(value, Binary) and value.operator == "..":
        yield Finding(act.line, "error", "no-integer", "text is no result: the guest would get 0")
    elif isinstance(value, Binary) and value.operator in ("/", "^"):
        yield Finding(
            act.line, "error", "no-integer", f"{value.operator} gives a float: the guest would get 0"
        )
    elif (name := _errno_name(act.answer, act.scope)) is not None:
        yield from _named_error(act, *name, syscall, arch)
    elif syscall:
        yield from _count(act, value, syscall)


def _constant_answer(act: Act, known: Constant, syscall: str, arch: str) -> Iterator[Finding]:
    value = known.value
    if isinstance(value, bool) or not isinstance(value, int):
        kinds = {bytes: "text", float: "a float", bool: "a boolean", type(None): "nil"}
        if value is None and isinstance(act.answer, Constant) and act.answer.line == act.line:
            told = "the rule answers without a result: the guest gets 0"
            yield Finding(act.line, "warning", "no-integer", told)
        else:
            told = f"{kinds[type(value)]} is no result: the guest would get 0"
            yield Finding(act.line, "error", "no-integer", told)
        return
    if -call_shapes.LAST_ERROR <= value <= -call_shapes.FIRST_INTERNAL and not (
        value == -1133 and guest_abi.errno_kind(arch) == "mips"
    ):
        told = f"-{-value} is an error of the kernel's own, which no program can get"
        yield Finding(act.line, "error", "bad-result", told)
        return
    if problem := call_shapes.result_problem(syscall, value, arch):
        yield Finding(act.line, "error", "bad-result", problem)
    elif -call_shapes.FIRST_INTERNAL < value < -call_shapes.LAST_COMMON:
        names = {errnos.names(kind).get(-value, "none") for kind in ("generic", "mips")}
        if len(names) > 1:
            here = errnos.names(guest_abi.errno_kind(arch)).get(-value) if arch else None
            meant = f" ({here} on {arch})" if here else ""
            told = f"error {-value} is another one on other architectures{meant}: write -c_errno(NAME)"
            yield Finding(act.line, "warning", "errno-number", told)
    elif call_shapes.result_of(syscall) == "descriptor" and value >= 0:
        told = f"{value} is given as a descriptor that the rule did not open: it is whatever file has it"
        yield Finding(act.line, "warning", "made-up-descriptor", told)
    elif (place := call_shapes.limit_argument(syscall)) and value > 0 and not _tested(act, place):
        told = f"{value} may be more than argument {place} allows, which the rule does not look at"
        yield Finding(act.line, "warning", "more-than-asked", told)


def _errno_name(answer: Expression, scope: Scope) -> tuple[str, bool] | None:
    """Return the name in `-c_errno("NAME")` and whether it has its minus; None for anything else."""
    value = resolve(answer, scope)
    negative = isinstance(value, Unary) and value.operator == "-"
    inner = resolve(value.operand, scope) if isinstance(value, Unary) and negative else value
    if isinstance(inner, Call) and inner.name == "c_errno" and len(inner.arguments) == 1:
        name = constant(inner.arguments[0], scope)
        if name is not None and isinstance(name.value, bytes):
            return name.value.decode("utf-8", "replace"), negative
    return None


def _named_error(act: Act, name: str, negative: bool, syscall: str, arch: str) -> Iterator[Finding]:
    kinds: tuple[errnos.ErrnoKind, ...] = ("generic", "mips", "powerpc")
    if not any(name in errnos.numbers(kind) for kind in kinds):
        told = f"{name!a} is no error: c_errno gives nil, and the rule fails"
        yield Finding(act.line, "error", "unknown-errno", told)
    elif arch and name not in errnos.numbers(guest_abi.errno_kind(arch)):
        told = f"there is no {name} on {arch}: c_errno gives nil, and the rule fails"
        yield Finding(act.line, "error", "unknown-errno", told)
    elif not negative:
        told = f"an error is given as a negative number: -c_errno({name!r}), else it is taken for success"
        yield Finding(act.line, "error", "positive-errno", told)
    elif call_shapes.result_of(syscall) == "always":
        told = f"{syscall} cannot fail, and programs do not expect {name}"
        yield Finding(act.line, "error", "bad-result", told)


def _count(act: Act, value: object, syscall: str) -> Iterator[Finding]:
    """A result that grows with what the rule has, where the guest says how much there may be."""
    place = call_shapes.limit_argument(syscall)
    if place is None or act.answer is None:
        return
    if isinstance(value, Binary) and value.operator == "+":
        for side, other in ((value.left, value.right), (value.right, value.left)):
            more = constant(other, act.scope)
            if (
                resolve(side, act.scope) == Argument(place)
                and more is not None
                and isinstance(more.value, int)
                and more.value > 0
            ):
                told = f"{syscall} returns {more.value} more than argument {place} allows"
                yield Finding(act.line, "error", "bad-result", told)
                return
    if isinstance(value, Unary) and value.operator == "#" and not _tested(act, place):
        told = f"the length may be more than argument {place} allows, which the rule does not look at"
        yield Finding(act.line, "warning", "more-than-asked", told)


def _tested(act: Act, place: int) -> bool:
    """Whether argument `place` has a part in the conditions of an act, or in its value."""
    sides = [(side, one.scope) for one in comparisons(act.conditions) for side in (one.left, one.right)]
    if act.answer is not None:
        sides.append((act.answer, act.scope))
    return any(place in arguments_in(side, scope) for side, scope in sides)


def _not_possible(body: Body, syscall: str) -> Iterator[Finding]:
    if syscall not in call_shapes.NOT_AFTER:
        return
    if "after_syscall" in body.entries:
        line = body.entries["after_syscall"][0].line
        told = f"after_syscall is never asked about {syscall}, which ends in another place"
        yield Finding(line, "error" if len(body.entries) == 1 else "warning", "never-asked", told)
    for call, _ in body.calls:
        if call.name == "c_set_arg":
            told = f"the arguments of {syscall} cannot be changed: the call goes on as it was"
            yield Finding(call.line, "warning", "no-effect", told)
    for act in body.answers:
        if syscall == "exit":
            yield Finding(act.line, "warning", "no-effect", "the end of a thread cannot be answered")


def _starts_nothing(body: Body, syscall: str) -> Iterator[Finding]:
    if syscall in ("execve", "execveat"):
        return
    for call, _ in body.calls:
        if call.name == "c_start_program":
            told = f"c_start_program does nothing here: {syscall} executes no program"
            yield Finding(call.line, "warning", "no-effect", told)


# What the same call may get another answer for


def _order(body: Body) -> Iterator[Finding]:
    for loop in body.loops:
        called = loop.heads[0] if loop.kind == "generic" and loop.heads else None
        if not isinstance(called, Call) or called.name not in ("pairs", "next"):
            continue
        if _depends_on_order(loop):
            told = f"the order of {called.name} is not fixed, and what the rule does here depends on it"
            yield Finding(loop.line, "warning", "order", told)
    for call, scope in body.calls:
        if call.name == "next" and len(call.arguments) == 1 and scope.value("next")[0] is None:
            told = "which entry next gives first is not fixed"
            yield Finding(call.line, "warning", "order", told)


def _depends_on_order(loop: Loop) -> bool:
    """Whether a loop leaves early, does something to the guest or the log, or puts text together."""
    for statement in statements_in(loop.body):
        if isinstance(statement, Return) or (isinstance(statement, Jump) and statement.kind != "label"):
            return True
        for expression in expressions_of(statement):
            for part in walk(expression):
                if isinstance(part, Call) and (part.name in CHANGES or part.name == "c_log"):
                    return True
                if isinstance(part, Binary) and part.operator == "..":
                    return True
    return False


def _sources(body: Body) -> Iterator[Finding]:
    for call, scope in body.calls:
        own = scope.value(call.name.partition(".")[0])[0] is not None
        if call.name in ("math.random", "math.randomseed") and not own:
            told = f"{call.name} is an error in the rule host: a retry must get the same answers"
            yield Finding(call.line, "error", "random", told)
        elif call.name == "tostring" and call.arguments and not own:
            shown = resolve(call.arguments[0], scope)
            if isinstance(shown, (Table, Function)):
                told = "the text of a table or function is an address, another one each time"
                yield Finding(call.line, "warning", "address", told)
    for act in body.acts:
        yield from _what_it_hangs_on(act)


def _what_it_hangs_on(act: Act) -> Iterator[Finding]:
    """Name what an act depends on that is another in the next run."""
    for one in comparisons(act.conditions):
        sides = (one.left, one.right)
        names = {part.name for side in sides for part in parts(side, one.scope) if isinstance(part, Call)}
        line = one.left.line
        if "c_get_timestamp" in names:
            told = "what the rule does depends on the time of the call, so a retry may get another answer"
            yield Finding(line, "warning", "time", told)
        for side, other in (sides, sides[::-1]):
            number = constant(side, one.scope)
            if number is None or not isinstance(number.value, int) or number.value < 0x1000:
                continue
            named = {part.name for part in parts(other, one.scope) if isinstance(part, Call)} & _ADDRESSES
            if named:
                told = (
                    f"{hex(number.value)} is compared with what {min(named)} gives: addresses are others in"
                    " another run, so compare module offsets (analysis_addr) or names"
                )
                yield Finding(line, "warning", "address", told)
                break
    if act.answer is not None:
        names = {part.name for part in parts(act.answer, act.scope) if isinstance(part, Call)}
        if "c_get_timestamp" in names:
            told = "the answer depends on the time of the call, so a retry gets another one"
            yield Finding(act.line, "warning", "time", told)


# What it costs


def _loops(body: Body) -> Iterator[Finding]:
    for loop in body.loops:
        inside = [
            part
            for statement in statements_in(loop.body)
            for expression in expressions_of(statement)
            for part in walk(expression)
            if isinstance(part, Call) and part.name.startswith("c_")
        ]
        if loop.kind in ("while", "repeat") and _endless(loop):
            told = "this loop ends only by the budget, which switches the rule off"
            yield Finding(loop.line, "error", "endless", told)
        elif inside and (rounds := _rounds(loop)) is None:
            told = "this loop asks the guest as often as its data says: 512 times at one call end the rule"
            if loop.kind != "generic":
                yield Finding(loop.line, "warning", "unbounded", told)
        elif inside and rounds is not None and rounds * len(inside) > _MANY_REQUESTS:
            told = f"asks the guest up to {rounds * len(inside)} times at one call, which is slow"
            yield Finding(loop.line, "warning", "costly", told)


def _endless(loop: Loop) -> bool:
    head = loop.heads[0]
    always = isinstance(head, Constant) and (head.value not in (None, False)) == (loop.kind == "while")
    if not always:
        return False
    for statement in statements_in(loop.body):
        if isinstance(statement, Return) or (isinstance(statement, Jump) and statement.kind != "label"):
            return False
        for expression in expressions_of(statement):
            for part in walk(expression):
                if isinstance(part, Call) and part.name in ("error", "assert"):
                    return False
    return True


def _rounds(loop: Loop) -> int | None:
    """Return how often a loop goes round at most, None where the text does not say it."""
    if loop.kind == "numeric":
        values = [head.value if isinstance(head, Constant) else None for head in loop.heads]
        if all(type(value) is int for value in values):
            first, last, *step = (int(value or 0) for value in values)
            width = step[0] if step and step[0] else 1
            return max(0, (last - first) // width + 1)
    head = loop.heads[0] if loop.heads else None
    if isinstance(head, Call) and head.name in _ORDERED and head.arguments:
        table = head.arguments[0]
        return len(table.fields) if isinstance(table, Table) else None
    return None
