"""Good scripts that the parser of tree-sitter takes for broken ones have a whole tree all the same."""

from __future__ import annotations

import pytest

from triage_tui.campaign.discovery.shell.mending import mended
from triage_tui.campaign.discovery.shell.syntax import parse

_GOOD = [
    'case "$x" in\n *" ${p} "*);;\n *) a;;\nesac',
    'case "$l" in\n"" |\\\n"0.0.0.0:"* |\\\n"[::]:"* ) continue;;\n'
    '\\[*\\]:* ) l="${l:1}"; i="$i ${l%%]:*}";;\nesac',
    '[ "$p" \\!= 0 ] && a',
    "a \"--${n//_/-} ${v//'/\\\\'}\"",
    "a $(( (0x$h >> 16) % 3 )) $((10#$h))",
    "f() { case $1 in [0-9]) [ $((v & $1)) -gt 0 ] && shift || return 0;; esac }\na",
    "while a; do { b; } done\nc",
    "a $DIR/$NAME.pid # it's\nb",
    '[ "$a" -gt 0 ] && return 0\necho "x" > "$C"\necho "x" > "$D"\nif [ ! -r "$e" ]; then a; fi',
    "[ $a == b -a \\( ! -f c \\) ] && d; ((a == b)) && [[ $a == $b ]]",
]


@pytest.mark.parametrize("script", _GOOD)
def test_good_scripts_have_a_whole_tree(script: str) -> None:
    found = parse("x", f"f() {{\n{script}\n}}\nlast".encode())
    assert found is not None
    assert not found.root.has_error
    last = found.root.children[-1]
    assert (found.text(last), found.place(last)) == ("last", f"x line {script.count(chr(10)) + 4}")


def test_what_a_script_says_is_told_as_it_is_written() -> None:
    found = parse("x", b"[ -f /a ] &&\\\n b \"[ c\" '$d == [ e'\n")
    assert found is not None
    node = found.root.children[0]
    assert found.text(node) == "[ -f /a ] && b \"[ c\" '$d == [ e'"
    assert found.place(node.children[-1]) == "x line 2"


def test_mending_ends_with_rubbish() -> None:
    for piece in (b"$((", b"${a/", b"${a%%]", b"[ ", b"<<E\n", b"\\\n", b"$((((", b"${a/{"):
        assert len(mended(piece * 40_000)[0]) < 40_000 * 16
