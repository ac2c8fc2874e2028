"""Expansion of words: POSIX.1-2017, Shell Command Language, 2.6, as far as a root tells the values."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from triage_tui.campaign.discovery.root_view import RootView, has_pattern
from triage_tui.campaign.discovery.shell.arithmetic import evaluate
from triage_tui.campaign.discovery.shell.state import MAX_VALUE, ShellState, Value

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_FIELDS = 2000
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUOTED_ESCAPE = re.compile(r"\\([$`\"\\\n])")
_PARAMETER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])(:?[-=+?]|##?|%%?)?")


_ANSI_ESCAPE = re.compile(r"\\([abefnrtv\\'\"])")
_ANSI = {"a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {
    char: char for char in "\\'\""
}
_EXPANSIONS = frozenset(("simple_expansion", "expansion", "command_substitution", "arithmetic_expansion"))


_CUT = re.compile(
    r"\$\{(?:#(?P<name>[A-Za-z_]\w*|\d)\}"
    r"|(?P<of>[A-Za-z_]\w*|\d)(?::(?P<first>\d{1,5})(?::(?P<count>\d{1,5}))?"
    r"|(?P<all>//?)(?P<from>[^/}$`*?\[\]'\"\\#%]+)(?:/(?P<to>[^}$`'\"\\&]*))?)\})",
    re.ASCII,
)
"""${#NAME}, ${NAME:1:2} and ${NAME/a/b}: bash's, and busybox's ash's."""


class Field(msgspec.Struct, frozen=True):
    """A word, or a piece of one. `pattern`: an unquoted part of it is a pattern of file names."""

    text: str | None
    why: str = ""
    pattern: bool = False


Substitute = Callable[[ShellState, "Node"], Value]


class Words:
    """Expands the words of scripts; `substitute` tells what a command prints."""

    def __init__(self, view: RootView, substitute: Substitute) -> None:
        self._view = view
        self._substitute = substitute
        self.unset: dict[str, None] = {}
        """Names of variables that were asked for and that nothing had set; whoever wants them empties it."""
        self.doubts: dict[str, None] = {}
        """Sentences about variables that were asked for, whose values may be others; the same."""

    def expand(self, shell: ShellState, node: Node) -> list[Value]:
        """Return the words that one word of the text becomes: none, one or several."""
        found: list[Value] = []
        for field in self.fields(shell, node):
            if field.text is not None and field.pattern:
                names = self._view.glob(field.text, shell.cwd)
                found += [Value(name) for name in names] or [Value(field.text)]
            else:
                found.append(Value(field.text, field.why))
        return found[:MAX_FIELDS]

    def single(self, shell: ShellState, node: Node) -> Value:
        """Return what a word is where it is not split, as in an assignment."""
        return _joined(self.fields(shell, node, quoted=True))

    def fields(self, shell: ShellState, node: Node, quoted: bool = False) -> list[Field]:
        """Return the fields of a node before file names are looked for."""
        self._view.step()
        text = shell.script.text
        match node.type:
            case "string":
                return self._string(shell, node)
            case "raw_string":
                return [Field(text(node)[1:-1])]
            case "ansi_c_string":
                return [Field(_ANSI_ESCAPE.sub(_ansi, text(node)[2:-1]))]
            case "translated_string" | "command_name":
                fields: list[Field] = []
                for child in node.named_children:
                    fields += self.fields(shell, child, quoted)
                return fields
            case "concatenation":
                return self._concatenated(shell, node, quoted)
            case "simple_expansion":
                return self._split(shell, self._parameter(shell, text(node).lstrip()[1:], quoted), quoted)
            case "expansion":
                return self._split(shell, self._braced(shell, node, quoted), quoted)
            case "command_substitution":
                value = self._substitute(shell, node)
                return self._split(shell, [Field(value.text, value.why)], quoted)
            case "arithmetic_expansion":
                value = self.number(shell, node, 3, 2)
                return [Field(value.text, value.why)]
            case "process_substitution":
                return [Field(None, f"the value of {text(node)[:60]} is not known")]
            case "variable_assignment":
                return [Field(text(node))]
        raw = text(node)
        return [Field(_ESCAPE.sub(_unescaped, raw), pattern=not quoted and has_pattern(raw))]

    def number(self, shell: ShellState, node: Node, head: int, tail: int) -> Value:
        """Return the value of an arithmetic expression between the first and the last bytes of a node."""
        source = shell.script.text(node)
        blanks = _blanks(source)
        if source[blanks : blanks + 2] == "$[":
            head, tail = 2, 1
        parts: list[str] = []
        at = node.start_byte + blanks + head
        for child in _expansions(node):
            if child.start_byte < at:
                continue
            value = self.single(shell, child)
            if value.text is None:
                return value
            parts += [shell.script.between(at, child.start_byte), value.text]
            at = child.end_byte
        parts.append(shell.script.between(at, max(at, node.end_byte - tail)))
        return evaluate(shell, "".join(parts))

    def here_document(self, shell: ShellState, node: Node) -> Value:
        """Return the text of a here-document."""
        starts = [shell.script.text(one) for one in node.named_children if one.type == "heredoc_start"]
        body = next((one for one in node.named_children if one.type == "heredoc_body"), None)
        if body is None:
            return Value("")
        fields = [Field("")]
        at = body.start_byte
        if not set("'\"\\") & set(starts[0] if starts else ""):
            for child in body.named_children:
                if child.type == "heredoc_content":
                    continue
                fields = _glued(fields, [Field(_quoted(shell.script.between(at, child.start_byte)))])
                fields = _glued(fields, self.fields(shell, child, quoted=True))
                at = child.end_byte
            rest = shell.script.between(at, body.end_byte)
            if "`" in rest:
                return Value(None, "what a here-document holds is not known")
            fields = _glued(fields, [Field(_quoted(rest))])
        else:
            fields = [Field(shell.script.text(body))]
        value = _joined(fields)
        if value.text is not None and shell.script.text(node).startswith("<<-"):
            return Value(re.sub(r"^\t+", "", value.text, flags=re.MULTILINE))
        return value

    def _string(self, shell: ShellState, node: Node) -> list[Field]:
        fields = [Field("")]
        at = node.start_byte + 1
        for child in node.named_children:
            if child.type == "string_content":
                continue
            # The tree leaves blanks between expansions out, or has them as part of the next one.
            start = child.start_byte + _blanks(shell.script.text(child))
            fields = _glued(fields, [Field(_quoted(shell.script.between(at, start)))])
            fields = _glued(fields, self.fields(shell, child, quoted=True))
            at = child.end_byte
        end = max(at, node.end_byte - 1)
        fields = _glued(fields, [Field(_quoted(shell.script.between(at, end)))])
        if len(node.named_children) == 1 and shell.script.text(node) in ('"$@"', '"${@}"'):
            return [Field(value.text, value.why) for value in shell.positional]
        return fields

    def _concatenated(self, shell: ShellState, node: Node, quoted: bool) -> list[Field]:
        fields: list[Field] = []
        for child in node.children:
            fields = _glued(fields, self.fields(shell, child, quoted))
        return fields

    def _parameter(self, shell: ShellState, name: str, quoted: bool) -> list[Field]:
        if name in ("@", "*"):
            return [Field(value.text, value.why) for value in shell.positional] or [Field("")]
        value = self.parameter(shell, name)
        return [Field(value.text, value.why, not quoted and has_pattern(value.text or ""))]

    def parameter(self, shell: ShellState, name: str) -> Value:
        """Return the value of a parameter: a variable, or one of the shell's own."""
        if name.isdecimal():
            if name == "0":
                return Value(shell.script.path)
            index = int(name[:4]) - 1
            return shell.positional[index] if index < len(shell.positional) else Value("")
        match name:
            case "#":
                return Value(str(len(shell.positional)))
            case "?":
                return Value(None, "the status of a command is not known")
            case "$" | "!" | "-":
                return Value(None, f"${name} is known only while the script runs")
            case "@" | "*":
                return _joined([Field(one.text, one.why) for one in shell.positional], " ")
        if name == "PWD":
            return Value(shell.cwd)
        if name not in shell.variables:
            if shell.unknown:
                return Value(None, f"{name} may be set by {shell.unknown}, which only the device has")
            self.unset[name] = None
        elif name in shell.doubts:
            self.doubts[shell.doubts[name]] = None
        return shell.get(name)

    def _braced(self, shell: ShellState, node: Node, quoted: bool) -> list[Field]:
        text = shell.script.text(node)
        blanks = _blanks(text)
        text = text[blanks:]
        if (cut := _CUT.fullmatch(text)) is not None:
            value = self.parameter(shell, cut["name"] or cut["of"])
            return [Field(None, value.why) if value.text is None else Field(_cut(value.text, cut))]
        form = _PARAMETER.match(text)
        if form is None:
            return [Field(None, f"the value of {text[:60]} is not known")]
        name, operator = form[1], form[2] or ""
        rest = text[form.end() :]
        if not operator:
            if rest != "}":
                return [Field(None, f"the value of {text[:60]} is not known")]
            return self._parameter(shell, name, quoted)
        value = self.parameter(shell, name)
        operand = self._operand(
            shell, node, node.start_byte + blanks + len(text[: form.end()].encode("utf-8", "surrogateescape"))
        )
        if operator[0] in "#%" or operator in ("#", "##", "%", "%%"):
            return [_trimmed(value, operand, operator)]
        unset = (
            value.text == "" if ":" in operator else name not in shell.variables and not name.isdecimal()
        ) and value.text is not None
        match operator[-1]:
            case "+":
                return [Field("") if unset else operand if value.text is not None else Field(None, value.why)]
            case "-" | "=" | "?" if unset:
                if operator[-1] == "=" and not name.isdecimal():
                    shell.set(name, Value(operand.text, operand.why))
                return [operand]
        return [Field(value.text, value.why, not quoted and has_pattern(value.text or ""))]

    def _operand(self, shell: ShellState, node: Node, at: int) -> Field:
        """Return what stands behind the operator of a braced expansion."""
        fields = [Field("")]
        for child in node.named_children:
            if child.start_byte < at:
                continue
            fields = _glued(fields, [Field(shell.script.between(at, child.start_byte))])
            fields = _glued(fields, self.fields(shell, child, quoted=True))
            at = child.end_byte
        fields = _glued(fields, [Field(shell.script.between(at, max(at, node.end_byte - 1)))])
        value = _joined(fields, " ")
        return Field(value.text, value.why)

    def _split(self, shell: ShellState, fields: list[Field], quoted: bool) -> list[Field]:
        """Split what an expansion gave at the characters of IFS, unless it stands in quotes."""
        if quoted:
            value = _joined(fields, " ")
            return [Field(value.text, value.why)]
        found: list[Field] = []
        for field in fields:
            if field.text is None:
                found.append(field)
            else:
                found += [Field(part, "", has_pattern(part)) for part in split_fields(shell, field.text)]
        return found[:MAX_FIELDS]


def split_fields(shell: ShellState, text: str) -> list[str]:
    """Split a text at the characters of IFS: blanks together, others each for itself (POSIX, 2.6.5)."""
    given = shell.variables.get("IFS")
    if given is None or given.text is None or given.text == " \t\n":
        return text.split()
    blanks = "".join(char for char in given.text if char in " \t\n")
    others = "".join(char for char in given.text if char not in " \t\n")
    text = text.strip(blanks) if blanks else text
    if not given.text or not text:
        return [text] if text else []
    blank = f"[{re.escape(blanks)}]" if blanks else ""
    between = f"{blank}*[{re.escape(others)}]{blank}*" if blanks else f"[{re.escape(others)}]"
    parts = re.split(f"{between}|{blank}+" if blanks and others else between if others else f"{blank}+", text)
    return parts[:-1] if others and parts[-1] == "" else parts


def _expansions(node: Node) -> list[Node]:
    """Return the expansions inside of an arithmetic expression, in their order."""
    found: list[Node] = []
    waiting = list(node.children)[::-1]
    while waiting and len(found) < MAX_FIELDS:
        child = waiting.pop()
        if child.type in _EXPANSIONS:
            found.append(child)
        else:
            waiting += list(child.children)[::-1]
    return found


def _glued(before: list[Field], after: list[Field]) -> list[Field]:
    """Join the last field of one part of a word with the first of the next."""
    if not before or not after:
        return before or after
    last, first = before[-1], after[0]
    if last.text is None or first.text is None:
        joined = Field(None, last.why or first.why)
    elif len(last.text) + len(first.text) > MAX_VALUE:
        joined = Field(None, "a word is too long")
    else:
        joined = Field(last.text + first.text, "", last.pattern or first.pattern)
    return [*before[:-1], joined, *after[1:]]


def _joined(fields: list[Field], between: str = "") -> Value:
    unknown = next((field for field in fields if field.text is None), None)
    if unknown is not None:
        return Value(None, unknown.why)
    if sum(len(field.text or "") for field in fields) > MAX_VALUE:
        return Value(None, "a word is too long")
    return Value(between.join(field.text or "" for field in fields))


def _trimmed(value: Value, operand: Field, operator: str) -> Field:
    """Take a prefix (#) or a suffix (%) away that a pattern matches, the longest where it is doubled."""
    if value.text is None or operand.text is None:
        return Field(None, value.why or operand.why)
    text = value.text
    if len(text) > 4096:
        return Field(None, "a word is too long")
    cuts = range(len(text) + 1)
    order = cuts if (operator in ("#", "%%")) else reversed(cuts)
    for cut in order:
        part = text[:cut] if operator[0] == "#" else text[cut:]
        if fnmatch.fnmatchcase(part, operand.text):
            return Field(text[cut:] if operator[0] == "#" else text[:cut])
    return Field(text)


def _ansi(match: re.Match[str]) -> str:
    return _ANSI.get(match[1], match[0])


def _cut(text: str, cut: re.Match[str]) -> str:
    """Return what ${#NAME}, ${NAME:1:2} or ${NAME/a/b} is of a value."""
    if cut["name"]:
        return str(len(text))
    if cut["first"]:
        first = int(cut["first"])
        return text[first : first + int(cut["count"])] if cut["count"] else text[first:]
    if len(text) * len(cut["to"] or "") > MAX_VALUE:
        return text
    return text.replace(cut["from"], cut["to"] or "", -1 if cut["all"] == "//" else 1)


def _blanks(text: str) -> int:
    """Return how many blanks a text begins with."""
    return len(text) - len(text.lstrip(" \t\n"))


def _unescaped(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]


def _quoted(text: str) -> str:
    return _QUOTED_ESCAPE.sub(_unescaped, text)
