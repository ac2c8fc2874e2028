"""What tree-sitter-bash 0.25 does not understand of good scripts, said in another way that it does.

A construct that it takes for an error can cost all functions of a script: of 566 start scripts of OpenWrt and
Buildroot it was 13, dnsmasq's and uhttpd's among them. The meaning and the lines stay.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    rb"""(?P<joined>\\\n)|(?P<test>(?<![^ \t\n;&|(`!])\[(?=[ \t]))|(?P<equal>(?<=[ \t])==(?=[ \t]))"""
    rb"""|(?P<not>(?<=[ \t])\\!(?==))|\\.|'|"|\#"""
    rb"""|<<-?[ \t]*(?:\\|["']?)(?P<document>[A-Za-z_][A-Za-z0-9_]*)["']?[^\n]*\n"""
    rb"""|(?P<number>\$\(\((?:[^()\n]|\([^()\n]*\)){0,400}\)\))"""
    rb"""|\$\{(?P<replaced>[A-Za-z_][A-Za-z0-9_]*)/(?:[^{}\\\n]|\\.|\{[^{}\n]*\}){0,400}\}"""
    rb"""|(?P<cut>\$\{[A-Za-z_][A-Za-z0-9_]*[%\#]{1,2})(?P<tail>[^\[{}"'$\\\n]{0,40}\][^\[{}"'$\\\n]{0,40}\})"""
    rb"""|\$(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9])"""
    rb"""|(?P<empty>\);;)|(?P<end>\besac|\})(?=[ \t]+(?:\}|(?:done|fi|esac|else|elif)\b))""",
    re.DOTALL,
)
TEST = b"__test__"
"""What stands for `[`; `Script.text` gives that again."""
_MOST_ENDLESS = 100
"""Here-documents without an end that are looked for: each look goes through the whole script."""
_BEFORE_COMMENT = b" \t\n;&|("
_HEX = re.compile(rb"\b(?:0[xX]|[0-9]+\#)\$\{?([A-Za-z_][A-Za-z0-9_]*|[0-9])\}?")
_PLAIN = re.compile(rb"\$([A-Za-z_][A-Za-z0-9_]*|[0-9])")


def mended(source: bytes) -> tuple[bytes, list[int]]:
    """Return a script without such constructs, and the bytes in it before which lines were joined.

    `$NAME` becomes `${NAME}`: of `$DIR/$NAME.pid` the second one is taken for a command. `[` becomes TEST, an
    ordinary command: else a `>` some lines below can become a comparison that ends at another test's `]`.
    """
    parts: list[bytes] = []
    joined: list[int] = []
    copied = at = length = 0
    quoted = testing = False
    endless: set[bytes] = set()
    while (token := _TOKEN.search(source, at)) is not None:
        at = token.end()
        text, other = token[0], None
        testing = testing and not {b"\n"[0], b"]"[0]} & set(source[copied : token.start()])
        if token["joined"]:
            other = b""
        elif token["test"]:
            other, testing = TEST, True
        elif token["equal"]:
            other = b"=" if testing and not quoted else None
        elif token["not"]:
            other = text if quoted else b"!"
        elif token["number"]:
            other = _PLAIN.sub(rb"${\1}", _HEX.sub(rb"${!\1}", text))
        elif token["replaced"]:
            other = b"${!%s}" % token["replaced"] if set(b"'\"\\") & set(text) else None
        elif token["cut"]:
            other = token["cut"] + token["tail"].replace(b"]", b'"]"')
        elif token["name"]:
            other = b"${%s}" % token["name"]
        elif token["empty"]:
            other = None if quoted else b") ;;"
        elif token["end"]:
            other = None if quoted else text + b";"
        elif text == b'"':
            quoted = not quoted
        elif text == b"'" and not quoted:
            at = source.find(b"'", at) + 1 or len(source)
        elif text == b"#" and not quoted and source[token.start() - 1 : token.start()] in _BEFORE_COMMENT:
            at = source.find(b"\n", at)
            at = len(source) if at < 0 else at
        elif token["document"] and not quoted:
            name = token["document"]
            if name not in endless and len(endless) < _MOST_ENDLESS:
                end = re.compile(rb"^\t*%s[ \t]*$" % name, re.MULTILINE).search(source, at)
                at = end.end() if end is not None else token.start() + 2
                endless |= {name} if end is None else set()
            else:
                at = token.start() + 2
        if other is not None:
            length += token.start() - copied + len(other)
            parts += [source[copied : token.start()], other]
            copied = at
            if token["joined"]:
                joined.append(length)
    return b"".join([*parts, source[copied:]]), joined
