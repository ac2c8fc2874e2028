"""What the body of a rule does, in words."""

from __future__ import annotations

from triage_tui.rulebook.check.body import CHANGES, Act, Comparison, comparisons
from triage_tui.rulebook.check.call_shapes import LAST_COMMON
from triage_tui.rulebook.lua.forms import Call, Constant, Expression, Unary
from triage_tui.rulebook.lua.values import (
    RESULT,
    Argument,
    Part,
    Scope,
    arguments_in,
    constant,
    parts,
    resolve,
)
from triage_tui.runs import errnos
from triage_tui.text import safe_line

_TEXT_READERS = frozenset(("c_read_string", "c_read_guest_string", "c_read_bytes", "c_read_guest_bytes"))
_OPERATORS = {
    "==": "is", "~=": "is not", "<": "is below", ">": "is above", "<=": "is at most", ">=": "is at least",
}  # fmt: skip
_MAX_TEXT = 120


def act_in_words(act: Act) -> str:
    """Return what a rule does at one place: "answers with EACCES", "provides the file /etc/x (3 bytes)"."""
    if act.call is not None or act.answer is None:
        return _change(act.call, act.scope) if act.call is not None else "does nothing"
    verb = "replaces the result by" if act.entry == "after_syscall" else "answers with"
    return f"{verb} {_value(act.answer, act.scope)}"


def conditions_in_words(act: Act) -> list[str]:
    """Return what must hold of the call for an act, as far as it is about arguments or the result."""
    found = []
    for one in comparisons(act.conditions):
        told = _comparison(one)
        if told is not None and told not in found:
            found.append(told)
    return found


def _comparison(one: Comparison) -> str | None:
    for side, other, operator in (
        (one.left, one.right, one.operator),
        (one.right, one.left, {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(one.operator, one.operator)),
    ):
        numbers = arguments_in(side, one.scope)
        if not numbers or _is_of_reading(other, one.scope) or _is_of_change(side, one.scope):
            continue
        subject = _subject(side, one.scope, numbers)
        known = constant(other, one.scope)
        if known is None:
            return f"{subject} {_OPERATORS[operator]} what the rule works out" + _or(one)
        if isinstance(known.value, bool):
            passes = "passes" if known.value == (operator == "==") else "does not pass"
            return f"{subject} {passes} a test" + _or(one)
        return f"{subject} {_OPERATORS[operator]} {_shown(known)}" + _or(one)
    return None


def _or(one: Comparison) -> str:
    return "" if one.certain else " (or the like)"


def _is_of_reading(other: Expression, scope: Scope) -> bool:
    """Whether something is compared with nil: about the reading, not about the call."""
    value = resolve(other, scope)
    return isinstance(value, Constant) and value.value is None


def _is_of_change(side: Expression, scope: Scope) -> bool:
    """Whether something is what a change of the guest gave back: whether that worked."""
    value = resolve(side, scope)
    value = value.call if isinstance(value, Part) else value
    return isinstance(value, Call) and value.name in CHANGES


def _subject(side: Expression, scope: Scope, numbers: set[int]) -> str:
    called = {part.name for part in parts(side, scope) if isinstance(part, Call)}
    names = ["the result" if number == RESULT else "its number" if number == 0 else f"argument {number}"
             for number in sorted(numbers)]  # fmt: skip
    who = " and ".join(names)
    if called & _TEXT_READERS:
        return f"the text at {who}"
    if "c_ifreq_name" in called:
        return f"the interface at {who}"
    return who if isinstance(resolve(side, scope), Argument) else f"what it makes of {who}"


def _shown(known: Constant) -> str:
    if isinstance(known.value, bytes):
        return f'"{safe_line(known.value, _MAX_TEXT)}"'
    if type(known.value) is int and abs(known.value) > 4096:
        return hex(known.value)
    return str(known.value).lower() if isinstance(known.value, bool) else str(known.value)


def _value(answer: Expression, scope: Scope) -> str:
    known = constant(answer, scope)
    if known is not None:
        if type(known.value) is int and -LAST_COMMON <= known.value < 0:
            return errnos.names("generic").get(-known.value, str(known.value))
        return "0, because it gives nothing" if known.value is None else _shown(known)
    value = resolve(answer, scope)
    inner = resolve(value.operand, scope) if isinstance(value, Unary) and value.operator == "-" else value
    if isinstance(inner, Call) and inner.name == "c_errno" and inner.arguments:
        name = constant(inner.arguments[0], scope)
        return safe_line(name.value, 40) if name is not None and isinstance(name.value, bytes) else "an error"
    if isinstance(inner, Argument):
        return "the result" if inner.number == RESULT else f"its argument {inner.number}"
    if isinstance(inner, Call) and inner.name in _OPENS:
        return _OPENS[inner.name]
    return "a value that it works out"


_OPENS = {
    "c_open_host": "the descriptor that it opened",
    "c_open_bytes": "the descriptor that it opened",
    "c_open_shared": "the descriptor that it opened",
    "c_socket_stub": "the socket that it opened",
}


def _argument(call: Call, place: int, scope: Scope, otherwise: str) -> str:
    if place >= len(call.arguments):
        return otherwise
    known = constant(call.arguments[place], scope)
    if known is not None:
        return safe_line(known.value, _MAX_TEXT) if isinstance(known.value, bytes) else _shown(known)
    numbers = arguments_in(call.arguments[place], scope) - {0}
    if numbers:
        return " and ".join("the result" if n == RESULT else f"argument {n}" for n in sorted(numbers))
    return otherwise


def _size(call: Call, place: int, scope: Scope) -> str:
    known = constant(call.arguments[place], scope) if place < len(call.arguments) else None
    return f"{len(known.value)} bytes" if known is not None and isinstance(known.value, bytes) else "bytes"


def _change(call: Call, scope: Scope) -> str:
    def argument(place: int, otherwise: str = "a value that it works out") -> str:
        return _argument(call, place, scope, otherwise)

    match call.name:
        case "c_provide_file":
            return f"provides the file {argument(0)} ({_size(call, 1, scope)}), if there is none"
        case "c_remove_path":
            return f"takes {argument(0)} out of the guest's copy of the root"
        case "c_open_shared":
            return f"opens the private file {argument(0)} that all processes share"
        case "c_write_shared":
            return f"writes {_size(call, 2, scope)} to the private file {argument(0)}"
        case "c_write_field":
            return f"sets {argument(1)}.{argument(2)} at {argument(0)} to {argument(3)}"
        case "c_mkdir_p":
            return f"makes the directory {argument(0)}"
        case "c_open_bytes":
            return f"opens a private file ({_size(call, 0, scope)})"
        case "c_open_host":
            return f"opens {argument(0)} of the host"
        case "c_write_bytes" | "c_write_guest_bytes":
            return f"writes {_size(call, 1, scope)} to memory at {argument(0)}"
        case "c_write_guest_u32" | "c_write_guest_u64":
            return f"writes {8 if call.name.endswith('64') else 4} bytes to memory at {argument(0)}"
        case "c_set_arg":
            return f"changes argument {argument(0)} to {argument(1)}"
        case "c_start_program":
            return "starts the program that is executed, through its emulator"
        case "c_set_reg":
            return f"sets register {argument(0)} to {argument(1)}"
        case "c_ifreq_set":
            return f"fills in {argument(1, 'a field')} of the interface request"
        case "c_connect_peer":
            return f"connects the socket to a peer ({argument(1, 'blackhole')})"
        case "c_tell_peer":
            return f"gives the peer behind the socket a message ({_size(call, 1, scope)})"
        case "c_provide_socket":
            return f"provides the name {argument(0)} of a socket, if there is none"
        case "c_socket_stub":
            return f"opens a socket ({argument(0)})"
    return f"calls {safe_line(call.name, 40)}"
