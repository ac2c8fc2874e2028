"""The syntax tree of a rule's Lua text, in the few forms that the checks need.

tree-sitter parses; it is imported when the first tree is wanted. Whether a text is Lua is for the compiler to
say, not for these trees.
"""

from __future__ import annotations

import re
import time
from functools import cache
from typing import TYPE_CHECKING

from triage_tui.errors import TriageError
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
    Index,
    Jump,
    Local,
    Loop,
    Name,
    Return,
    Statement,
    Table,
    Unary,
    Vararg,
)

if TYPE_CHECKING:
    from tree_sitter import Language, Node

MAX_SECONDS = 2.0
"""How long a text is parsed: a long one that is no Lua takes tree-sitter much longer."""
_PIECE = 1 << 16
MAX_DEPTH = 200
"""How deep expressions and blocks may nest, as in Lua itself (LUAI_MAXCCALLS of lua 5.3)."""


class NotUnderstood(TriageError):
    """The text is beyond what the checks can read, though it may be Lua."""


@cache
def _language() -> Language:
    import tree_sitter
    import tree_sitter_lua

    return tree_sitter.Language(tree_sitter_lua.language())


def _tree(source: bytes) -> Node:
    """Return the root of tree-sitter's tree.

    A parser serves one thread at a time, and making one costs microseconds.
    """
    from tree_sitter import Parser

    latest = time.monotonic() + MAX_SECONDS

    def piece(offset: int, _point: object) -> bytes:
        return source[offset : offset + _PIECE]

    def too_late(_offset: int, _has_error: bool) -> bool:
        return time.monotonic() > latest

    try:
        return Parser(_language()).parse(piece, progress_callback=too_late).root_node
    except ValueError:
        raise NotUnderstood(f"what it is was not clear after {MAX_SECONDS:g} seconds") from None


def parse(source: bytes) -> Function:
    """Return a Lua text as the function that it is.

    Raises:
        NotUnderstood: it is no Lua, or nests too deep.
    """
    root = _tree(source)
    if root.has_error:
        raise NotUnderstood("it is no Lua, or of a kind that only the compiler understands")
    reader = _Reader(source)
    try:
        reader.chunk.body = reader.block(root)
    except RecursionError:
        raise NotUnderstood("expressions or blocks nest too deep") from None
    return reader.chunk


class _Reader:
    """Turns tree-sitter's nodes into the forms of `lua_forms`."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._depth = 0
        self.chunk = Function(1, [], [])
        self._inside = [self.chunk]
        """The functions around what is read, the innermost last."""

    def block(self, node: Node | None) -> list[Statement]:
        if node is None:
            return []
        self._deeper()
        found = [one for child in node.named_children if (one := self._statement(child)) is not None]
        self._depth -= 1
        return found

    def _bytes(self, node: Node) -> bytes:
        # Not `Node.text`: it ends the process where the text was given piece by piece (tree-sitter 0.26).
        return self._source[node.start_byte : node.end_byte]

    def _text(self, node: Node) -> str:
        return self._bytes(node).decode("utf-8", "replace")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotUnderstood(f"expressions or blocks nest deeper than {MAX_DEPTH}")

    def _statement(self, node: Node) -> Statement | None:
        line = node.start_point[0] + 1
        match node.type:
            case "comment" | "empty_statement" | "hash_bang_line":
                return None
            case "function_call":
                return Do(line, self._expression(node))
            case "variable_declaration":
                return self._local(node, line)
            case "assignment_statement":
                names, values = self._lists(node)
                self._inside[-1].assigned |= {name.text for name in names if isinstance(name, Name)}
                return Assign(line, names, values)
            case "function_declaration":
                return self._declared(node, line)
            case "return_statement":
                lists = node.named_children
                return Return(line, self._expressions(lists[0]) if lists else [])
            case "if_statement":
                return self._if(node, line)
            case "while_statement" | "repeat_statement":
                heads = [self._expression(_field(node, "condition"))]
                return Loop(line, node.type[:-10], [], heads, self.block(node.child_by_field_name("body")))
            case "for_statement":
                return self._for(node, line)
            case "do_statement":
                return Block(line, self.block(node.child_by_field_name("body")))
            case "goto_statement" | "label_statement":
                return Jump(line, node.type[:-10], self._text(node.named_children[0]))
            case "break_statement":
                return Jump(line, "break")
        raise NotUnderstood(f"line {line}: {node.type} is not known")

    def _lists(self, node: Node) -> tuple[list[Expression], list[Expression]]:
        parts = [child for child in node.named_children if child.type != "comment"]
        return self._expressions(parts[0]), self._expressions(parts[1]) if len(parts) > 1 else []

    def _local(self, node: Node, line: int) -> Local:
        (inner,) = (child for child in node.named_children if child.type != "comment")
        if inner.type == "assignment_statement":
            names, values = inner.named_children[0], self._expressions(inner.named_children[-1])
        else:
            names, values = inner, []
        return Local(line, [self._text(name) for name in names.children_by_field_name("name")], values)

    def _declared(self, node: Node, line: int) -> Statement:
        function = self._function(node, line)
        name = _field(node, "name")
        if node.children[0].type == "local":
            return Local(line, [self._text(name)], [function])
        if name.type == "method_index_expression":
            function.parameters.insert(0, "self")
        elif name.type == "identifier":
            self._inside[-1].assigned.add(self._text(name))
        return Assign(line, [self._expression(name)], [function])

    def _function(self, node: Node, line: int) -> Function:
        parameters = [
            self._text(child) for child in _field(node, "parameters").children_by_field_name("name")
        ]
        function = Function(line, parameters, [])
        self._inside.append(function)
        function.body = self.block(node.child_by_field_name("body"))
        self._inside.pop()
        self._inside[-1].assigned_inside |= function.assigned
        self._inside[-1].assigned |= function.assigned
        return function

    def _if(self, node: Node, line: int) -> If:
        found = If(line, [self._branch(node)], [])
        for child in node.children_by_field_name("alternative"):
            if child.type == "else_statement":
                found.otherwise = self.block(child.child_by_field_name("body"))
            else:
                found.branches.append(self._branch(child))
        return found

    def _branch(self, node: Node) -> tuple[Expression, list[Statement]]:
        condition = self._expression(_field(node, "condition"))
        return condition, self.block(node.child_by_field_name("consequence"))

    def _for(self, node: Node, line: int) -> Loop:
        clause = _field(node, "clause")
        body = self.block(node.child_by_field_name("body"))
        if clause.type == "for_numeric_clause":
            heads = [clause.child_by_field_name(name) for name in ("start", "end", "step")]
            found = [self._expression(head) for head in heads if head is not None]
            return Loop(line, "numeric", [self._text(_field(clause, "name"))], found, body)
        names, values = (child for child in clause.named_children if child.type != "comment")
        return Loop(
            line,
            "generic",
            [self._text(one) for one in names.named_children],
            self._expressions(values),
            body,
        )

    def _expressions(self, node: Node) -> list[Expression]:
        return [self._expression(child) for child in node.named_children if child.type != "comment"]

    def _expression(self, node: Node) -> Expression:
        line = node.start_point[0] + 1
        kind = node.type
        if kind == "identifier":
            return Name(line, self._text(node))
        if kind == "string":
            return Constant(line, string_value(self._bytes(node)))
        if kind == "number":
            return Constant(line, number_value(self._text(node)))
        if kind in _WORDS:
            return Constant(line, _WORDS[kind])
        self._deeper()
        try:
            return self._compound(node, line)
        finally:
            self._depth -= 1

    def _compound(self, node: Node, line: int) -> Expression:
        match node.type:
            case "parenthesized_expression":
                (inner,) = (child for child in node.named_children if child.type != "comment")
                return self._expression(inner)
            case "binary_expression":
                left, right = _field(node, "left"), _field(node, "right")
                operator = next(child.type for child in node.children if not child.is_named)
                return Binary(line, operator, self._expression(left), self._expression(right))
            case "unary_expression":
                return Unary(line, node.children[0].type, self._expression(_field(node, "operand")))
            case "function_call":
                return self._call(node, line)
            case "dot_index_expression":
                key = Constant(line, self._bytes(_field(node, "field")))
                return Index(line, self._expression(_field(node, "table")), key)
            case "method_index_expression":
                key = Constant(line, self._bytes(_field(node, "method")))
                return Index(line, self._expression(_field(node, "table")), key)
            case "bracket_index_expression":
                table = self._expression(_field(node, "table"))
                return Index(line, table, self._expression(_field(node, "field")))
            case "table_constructor":
                fields = [child for child in node.named_children if child.type == "field"]
                return Table(line, [self._field(child) for child in fields])
            case "function_definition":
                return self._function(node, line)
            case "vararg_expression":
                return Vararg(line)
        raise NotUnderstood(f"line {line}: {node.type} is not known")

    def _field(self, node: Node) -> tuple[Expression | None, Expression]:
        value = self._expression(_field(node, "value"))
        name = node.child_by_field_name("name")
        if name is None:
            return None, value
        if node.children[0].type == "[":
            return self._expression(name), value
        return Constant(name.start_point[0] + 1, self._bytes(name)), value

    def _call(self, node: Node, line: int) -> Call:
        called = _field(node, "name")
        arguments = self._expressions(_field(node, "arguments"))
        if called.type == "method_index_expression":
            table = self._expression(_field(called, "table"))
            return Call(line, table, arguments, self._text(_field(called, "method")))
        return Call(line, self._expression(called), arguments)


_WORDS: dict[str, bool | None] = {"true": True, "false": False, "nil": None}


def _field(node: Node, name: str) -> Node:
    found = node.child_by_field_name(name)
    if found is None:
        raise NotUnderstood(f"line {node.start_point[0] + 1}: a {node.type} without {name}")
    return found


# Literals, Lua 5.3 manual section 3.1

_ESCAPE = re.compile(
    rb"\\(?:x([0-9A-Fa-f]{2})|u\{([0-9A-Fa-f]{1,8})\}|([0-9]{1,3})|z\s*|(\r\n|\n\r|.))", re.DOTALL
)
_LETTERS = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True))
_LONG = re.compile(rb"\[(=*)\[(?:\r\n|\n\r|\n|\r)?(.*)\]\1\]", re.DOTALL)


def string_value(literal: bytes) -> bytes:
    """Return the bytes that a string literal means."""
    found = _LONG.fullmatch(literal)
    return found[2] if found is not None else _ESCAPE.sub(_unescaped, literal[1:-1])


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes([int(match[1], 16)])
    if match[2]:
        return chr(min(int(match[2], 16), 0x10FFFF)).encode("utf-8", "surrogatepass")
    if match[3]:
        return bytes([int(match[3]) & 0xFF])
    if not match[4]:
        return b""
    letter = match[4]
    return bytes([_LETTERS.get(letter[0], letter[0])]) if len(letter) == 1 else b"\n"


def number_value(text: str) -> int | float:
    """Return the number that a numeral means: integers wrap around at 64 bits when they are hexadecimal."""
    lowered = text.lower()
    if lowered.startswith("0x"):
        if "." in lowered or "p" in lowered:
            return float.fromhex(lowered)
        value = int(lowered, 16) & 0xFFFFFFFFFFFFFFFF
        return value - (1 << 64) if value >> 63 else value
    if lowered.isdigit():
        value = int(lowered) if len(lowered) < 40 else 1 << 64
        return value if value < 1 << 63 else float(lowered)
    return float(lowered)
