"""Whether a rule text can be shown exactly as it is: what is approved must be what was seen."""

from __future__ import annotations

from triage_tui.rulebook.hunks import lines_of
from triage_tui.text import MAX_LINE, safe_line

TAB = "    "
"""What a tab is shown as."""


def line_text(line: bytes) -> str:
    """Return a line as it is shown: without its end, tabs as spaces, what is not printable as escapes."""
    return safe_line(_content(line).replace("\t", TAB))


def is_exact(line: bytes) -> bool:
    """Tell whether a line is shown as it is, apart from tabs and the kind of its end."""
    content = _content(line)
    return len(content) <= MAX_LINE and safe_line(content.replace("\t", TAB)) == content.replace("\t", TAB)


def caveats(text: bytes) -> list[str]:
    """Return one sentence for each way in which a text is not shown exactly; none when it is."""
    lines = lines_of(text)
    told = []
    strange = [number for number, line in enumerate(lines, 1) if not is_exact(line)]
    if strange:
        some = ", ".join(map(str, strange[:8])) + (" …" if len(strange) > 8 else "")
        told.append(
            f"line{'s' * (len(strange) > 1)} {some}: characters that cannot be shown stand as escapes,"
            " and what is too long is cut"
        )
    if any(b"\t" in line for line in lines):
        told.append("tabs are shown as four spaces")
    returns = sum(line.endswith(b"\r\n") for line in lines)
    if returns:
        told.append("lines end in CR LF" if returns == len(lines) else f"{returns} lines end in CR LF")
    if lines and not lines[-1].endswith(b"\n"):
        told.append("the last line has no line end")
    return told


def _content(line: bytes) -> str:
    return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")
