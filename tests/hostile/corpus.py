"""Attacks as data: what a guest, a model or a foreign run directory may put where text belongs.

All but those that are only about size hold `MARK`, so that a test can look for what became of them.
"""

from __future__ import annotations

import base64

MARK = "7777"
"""A number that no sequence of ours ever holds."""

SIGNS = "✓✗◉○●▶▸◆■☐☑│╭─█⏎⌫"
"""Signs by which screens of ours show state, frames and keys."""

_CLIPBOARD = base64.b64encode(b"7777").decode()

TERMINAL: tuple[str, ...] = (
    f"\x1b]52;c;{_CLIPBOARD}\x07",
    f"\x1b]0;{MARK} title\x07\x1b]2;{MARK}\x1b\\",
    f"\x1b]8;;http://{MARK}.invalid\x1b\\link\x1b]8;;\x1b\\",
    f"\x1b]10;#{MARK}00\x07\x1b]50;{MARK}\x07\x1b]112;{MARK}\x07\x1b]9;{MARK}\x07\x1b]777;notify;{MARK};x\x07",
    f"\x1b[{MARK};1H\x1b[31;{MARK}m\x1b[6n\x1b[2J\x1b[?1049l\x1b[{MARK}t\x1b[>{MARK}c",
    f"\x1bc\x1bP{MARK}\x1b\\\x1b_{MARK}\x1b\\\x1b^{MARK}\x1b\\\x1bX{MARK}\x1b\\",
    f"\x9b{MARK}m\x9d52;c;{_CLIPBOARD}\x9c\x90{MARK}\x9c\x98{MARK}\x9c\x9e{MARK}\x9f{MARK}",
    f"\x1b]52;c;{MARK} unterminated",
    f"\x1bPtmux;\x1b\x1b]52;c;{MARK}\x07\x1b\\",
    f"{MARK}\x00\x07\x08\x0b\x0c\r\n\t\x0e\x0f\x7f",
)
UNICODE: tuple[str, ...] = (
    f"\u202e{MARK}\u2066\u2069\u202c\u200b\u200d\ufeff\u2028\u2029\u061c",
    f"{MARK}" + "\u0301" * 400 + "\u200b" * 400 + "\u1161" * 400 + "\u0489" * 50,
    f"{MARK}\U000e0041\U000e007f\U000e0100\ufe0f\u00ad\u034f\u3164\u115f\u2800",
    f"中文{MARK}\U0001f469\u200d\U0001f4bb\U0001f3fd\U0001f1e9\U0001f1ea\ufdfd\U00012031",
    f"\ue000{MARK}\U000f0000\U0010fffd\uffff\ufffe\u0378",
    f"שלום {MARK} مرحبا",
    f"\u0430pproved {MARK} \u2170 \uff41\uff50\uff50\uff52\uff4f\uff56\uff45",
    *(f"{MARK}{sign}{MARK} approved" for sign in SIGNS),
)
MARKUP: tuple[str, ...] = (
    f"[@click=app.quit]{MARK}[/] [red]{MARK}[/red] [link=http://{MARK}]x[/link] [/] [bold",
    f"<script>alert({MARK})</script><img src=x onerror=alert({MARK})><a href=javascript:{MARK}>x</a>",
    f"\"'><svg/onload=alert({MARK})><!-- --></pre></code></style></title><style>*{{}}</style>",
    f"[{MARK}](http://evil.invalid) ![{MARK}](http://evil.invalid/x.png) <http://{MARK}.invalid>",
    f"``` {MARK} ```` ~~~ `` ` {MARK}` | {MARK} \\| [x](http://evil.invalid) |",
    f"# {MARK}\n- [x] {MARK}\n1. {MARK}\n> {MARK}\n---\n\n    {MARK}\n<b>{MARK}</b>",
    f"http://{MARK}.invalid www.{MARK}.invalid {MARK}@evil.invalid @{MARK} #{MARK} !{MARK}",
    f"&lt;b&gt;{MARK}&#x1b;&amp; {{{{{MARK}}}}} ${{{MARK}}} %n%s {MARK}",
    f"../../{MARK}/../etc\n/{MARK}",
)
SIZE: tuple[str, ...] = (f"{MARK} " + "A" * 20_000,)

ATTACKS = (*TERMINAL, *UNICODE, *MARKUP, *SIZE)

RAW: tuple[bytes, ...] = (
    b"\xff\xfe\x9b31m\x1b[5m 7777",
    b"\xc0\xaf\xc1\x9b \xe0\x80\x9b 7777 \xed\xa0\x80\xed\xb0\x80 \xf8\x88\x80\x80\x80 \xf4\x90\x80\x80",
    b"7777 \xe4\xb8",
)
"""Bytes that are no UTF-8: overlong forms, surrogates, cut sequences."""

_LINES = b"\n".join((*(attack.encode() for attack in ATTACKS), *RAW))
BLOCK = _LINES + b"\n" + b"B" * (1 << 20) + b"\n" + _LINES + b"\n"
"""A log with all of them, twice, and a line of a megabyte between."""

FILE_NAMES: tuple[str, ...] = (
    "\x1b]0;7777\x07\u202elog",
    "line\nbreak",
    "לוג.log",
    "[@click=app.quit]x.log",
    "<script>alert(1)<",
    "z" * 200,
)
