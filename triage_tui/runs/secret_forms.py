"""The forms in which secrets stand in text: what programs on devices print, configure and send.

Each form is an expression whose group `value`, or `quoted`, is the secret. What a name must be for its value
to be one, and what a value must look like, is decided here too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import re2

from triage_tui.runs.secrets import is_secret_name

Span = tuple[int, int]

_QUOTED = r"(?P<quote>\\{0,3}[\"'])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,4096})(?P=quote)"
"""A quoted value; in the text of a JSON file its quotes are escaped."""
_ASSIGNED = re.compile(
    rf"(?<![\w-])(?P<name>-{{0,2}}[A-Za-z_][\w.-]{{0,63}})=(?:{_QUOTED}|[\"']?(?P<value>[^\s\0\"',;&)\]}}\\]+))"
)
_OPTION = re.compile(
    rf"(?<![^\s\"'(\[])(?P<name>--?[A-Za-z][\w-]{{1,63}}) +(?:{_QUOTED}|[\"']?(?P<value>[^\s\"'-][^\s\"']*))"
)
_FIELD = re.compile(
    r"(?<![\w.-])(?P<around>(?:\\{0,3}[\"'])?)(?P<name>[A-Za-z_][\w.-]{0,63})(?P=around)"
    rf"[ \t]{{0,8}}:(?!:|//)[ \t]{{0,8}}(?:{_QUOTED}|(?P<value>[^\s\"',;{{}}()\[\]\\]++)(?!\())"
)
"""name: value, as headers, YAML and JSON have it."""
_WHOLE_LINE = re.compile(
    r"^[ \t]*(?P<name>[\w-]{0,40}(?:passphrase|psk))(?:[ \t]*=[ \t]*|[ \t]+(?=\S{8}))"
    r"(?P<value>[^\s\"'=][^\r\n\"'=]*)$",
    re.MULTILINE | re.IGNORECASE,
)
"""A line of the configuration of a wireless network: the passphrase may hold spaces."""
_USER = re.compile(
    r"(?<!\S)(?P<name>-u|-U|--user|--proxy-user)[ =]+(?P<opened>[\"'])?[^\s:\"'/]+:"
    r"(?P<value>(?!\d+(?![^\s\"'])|//)(?(opened)[^\r\n\"']+|[^\s\"']+))"
)
_USER_ATTACHED = re.compile(
    r"(?<!\S)(?P<name>-[uU])(?!(?:nix|dp|rl|ri|id|ser|tf-?8|sb|p)\b)(?P<opened>[\"'])?[^\s:\"'/=-][^\s:\"'/=]*:"
    r"(?P<value>(?!\d+(?![^\s\"'])|[/:])(?(opened)[^\r\n\"']+|[^\s\"']+))"
)
"""The user right behind the option, `-uadmin:pw`, as curl and wget take it."""
_HEADER = re.compile(
    r"(?P<name>\b(?:proxy-)?authorization|\b(?:set-)?cookie|\bx-[\w-]{0,40}(?:auth|key|token|secret))\s*:\s*(?P<value>[^\r\n\"\\]+)",
    re.IGNORECASE,
)
_URL = re.compile(r"://(?P<value>[^/@\s:\"]*:[^/?#\s\"]*)(?=@)")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,2}PRIVATE KEY-----"
    r"(?P<value>[A-Za-z0-9+/=\s\\:,-]{16,}?)(?=-----END|[^A-Za-z0-9+/=\s\\:,-]|\Z)"
)
_CRYPT = re.compile(
    r"(?P<value>\$(?:1|5|6|7|y|gy|apr1|md5|2[abxy])\$(?:[^\s$:\"'\\]{1,64}\$){0,3}[./A-Za-z0-9]{20,})"
)
_OLD_CRYPT = re.compile(r":(?P<value>[./0-9A-Za-z]{13})(?=:\d{0,6}:\d{0,6}:)")
"""Hashes of passwords, as in /etc/shadow; the second form is the oldest, in a line of /etc/passwd."""
_WITHOUT_NAME = (_URL, _PRIVATE_KEY, _CRYPT, _OLD_CRYPT)
"""Each begins with characters that stand for themselves: these are looked for twenty times as fast."""
_NO_SECRET = re.compile(
    r"(?:true|false|yes|no|on|off|none|null|nil|empty|required|optional|missing|invalid|incorrect|wrong|expired|ok|"
    r"failed|failure|error|accepted|rejected|denied|unknown|set|unset|not|is|for|string|str|int|bool|char|number|text|"
    r"return|break|psk|rsa|eap|xauth|pin|for|was|has|from|of|in|to|and|or|must|cannot|protected|authentication)[.!?]*|\d{1,2}|[%$<].*|\*+",
    re.IGNORECASE,
)
"""Values that tell of a secret and are none: words, small numbers, formats, variables."""

_SPACED = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z_][\w.-]{0,63})[ \t]{0,8}(?:=>|->|:?=(?!=))[ \t]{0,8}"
    rf"(?:{_QUOTED}|(?P<value>[^\s\0\"',;{{}}()\[\]\\<>]++)(?!\())"
)
"""name = value, as most configuration files have it."""
_PAIR = re.compile(
    r"(?<![\w.<-])(?P<name>[A-Za-z_][\w-]{0,63})[ \t]{1,8}"
    rf"(?:{_QUOTED}|(?P<value>[^\s\0\"',;{{}}()\[\]\\<>=:]++)(?![(=:]))"
)
"""name value, as routers and servers have it: `requirepass x`, `option key 'x'`, `user a password x`."""
_ELEMENT = re.compile(
    r"<(?P<name>[\w:.-]{1,64})(?:[ \t][^<>\r\n]{0,200})?>(?P<value>[^<>\r\n]{1,400})</(?P=name)>"
)
_TOKEN = re.compile(
    r"(?<![\w-])(?P<name>(?:php|j)?sess(?:ion)?_?(?:id)?|sysauth(?:_https?)?|sid|stok|csrf\w{0,20}|nonce)"
    r"[ \t]?[=:][ \t]?[\"']?(?P<value>[0-9A-Za-z+/_=-]{16,})",
    re.IGNORECASE,
)
"""What proves a login, drawn by lot."""
_CHAP = re.compile(
    r"^[ \t]*(?:\"[^\"\r\n]*\"|[^\s\"]+)[ \t]+\*[ \t]+(?P<quote>\"?)(?P<value>[^\s\"]+)(?P=quote)"
    r"(?:[ \t]+(?:\*|[\d.]+))?[ \t]*$",
    re.MULTILINE,
)
"""client, any server, secret, addresses: pppd(8), "chap-secrets"."""
_IPSEC = re.compile(r"\b(?:PSK|XAUTH|EAP|NTLM|PIN)[ \t]+\\{0,3}\"(?P<value>[^\"\\\r\n]+)")
_SENT = re.compile(
    r"(?:(?<![^\r\n\"'])PASS|\bAUTH (?:PLAIN|LOGIN))[ \t]+(?P<value>[^\s\"'\\:]{3,})(?=[\r\n\"'\\]|\Z)"
)
"""Commands of FTP, POP3 and SMTP."""

_LEVELED = re.compile(
    r"\b(?:secret|password|key)[ \t]{1,4}\d{1,2}[ \t]{1,4}(?P<value>[^\s\"']{4,})", re.IGNORECASE
)
"""As routers have it: the number says how it is hidden, 0 for not at all."""
_ATTACHED = re.compile(
    r"\b(?:mysql\w{0,12}|mariadb\w{0,12}|sshpass)\b[^\r\n]{0,200}?[ \t]-p(?P<value>[^\s\"',)]{3,})"
)
"""The password right behind -p, as clients of MySQL and sshpass take it."""

_PAIR_NAME = re.compile(
    r"(?:pass(?:word|wd|phrase)?\d?|psk|secret|community|masterauth|(?:^|_)pw|(?:^|_)key)\Z", re.IGNORECASE
)
_LINE_NAME = re.compile(r"(?:pass(?:wd|phrase)?\d?|(?<!^)password|psk|community|masterauth)\Z", re.IGNORECASE)
_NO_WORD = re.compile(
    r"0[xX][0-9a-fA-F]+|[-+]?\d[\d.:]*|E[A-Z0-9]{2,}|.*/.*|.*\.(?:so|c|h|lua|conf|txt|py|sh|log)\b.*"
)
_MIXED = re.compile(r"(?=.*[A-Za-z])(?=.*\d)|(?=.*[a-z])(?=.+[A-Z])(?=.*[^A-Z])|(?=.*\w)(?=.*[!@#$%^&*+?])")


def names_secret(name: str) -> bool:
    """Tell whether what this option, variable, field or element holds is a secret."""
    return is_secret_name(name.lstrip("-").replace("-", "_").replace(".", "_"))


def looks_secret(value: str) -> bool:
    """Tell whether a word of running text could be a password or a key: no plain word, number or path."""
    return len(value) >= 5 and _NO_WORD.fullmatch(value) is None and _MIXED.match(value) is not None


def _group(match: re.Match[str]) -> str:
    """Return the name of the group that holds the secret."""
    return "quoted" if "quoted" in match.re.groupindex and match["quoted"] else "value"


def _value(match: re.Match[str]) -> str:
    return match[_group(match)]


def _is_word(match: re.Match[str]) -> bool:
    return _NO_SECRET.fullmatch(_value(match)) is not None


def _always(_match: re.Match[str]) -> bool:
    return True


def _named(match: re.Match[str]) -> bool:
    return names_secret(match["name"])


def _field(match: re.Match[str]) -> bool:
    """Tell whether `name: value` tells of a secret. Much that is none has this form: reports, memory maps."""
    name = match["name"].lower()
    if not names_secret(name) or _is_word(match):
        return False
    if match["around"] or match["quote"] or looks_secret(match["value"]):
        return True
    return not (name == "pass" or (name.startswith("private") and not name.endswith("key")))


def _spaced(match: re.Match[str]) -> bool:
    return names_secret(match["name"]) and not _is_word(match)


def _pair(match: re.Match[str]) -> bool:
    """Tell whether `name value` is one: prose has this form, too."""
    if not _PAIR_NAME.search(match["name"]) or _is_word(match):
        return False
    if match["quoted"]:
        return len(match["quoted"]) > 2
    if match["name"].lower() != "key" and looks_secret(match["value"]):
        return True
    # A line that holds nothing else is one of a configuration.
    alone = match.string.strip() == match[0].strip() and not _NO_WORD.fullmatch(match["value"])
    return alone and _LINE_NAME.search(match["name"]) is not None


def _element(match: re.Match[str]) -> bool:
    return names_secret(match["name"]) and match["value"].strip() != ""


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    (_WHOLE_LINE, _always),
    (_IPSEC, _always),
    (_CHAP, _always),
    (_SENT, _always),
    (_LEVELED, _always),
    (_ATTACHED, _always),
    (_ELEMENT, _element),
    (_ASSIGNED, _named),
    (_OPTION, _named),
    (_HEADER, _always),
    (_TOKEN, _always),
    (_USER, _always),
    (_USER_ATTACHED, _always),
    (_FIELD, _field),
    (_SPACED, _spaced),
    (_PAIR, _pair),
)


_HINTS = (
    *("pass", "secret", "token", "credential", "cookie", "private", "auth", "psk", "pin", "pwd", "pw", "key"),
    *("community", "sess", "sid", "stok", "csrf", "nonce", "eap", "ntlm", "mysql", "mariadb", "-u", "*"),
    "--proxy-user",
)
"""What stands in each line that holds a secret with a name, in letters of either size."""
_hint = re2.compile(("(?i)" + "|".join(map(re.escape, _HINTS))).encode())


def hinted_lines(text: str) -> list[Span]:
    """Return the lines of `text` that may hold a secret with a name, from first to last."""
    # One byte for each character, so that places are the same.
    data = text.encode("ascii", "replace")
    found: list[Span] = []
    at = 0
    while (hint := _hint.search(data, at)) is not None:
        end = data.find(b"\n", hint.start())
        end = end if end >= 0 else len(data)
        found.append((data.rfind(b"\n", 0, hint.start()) + 1, end))
        at = end + 1
    return found


def named_in(line: str, form: int) -> Iterator[Span]:
    """Yield where the secrets of one form (0 to `FORMS` - 1) stand in one line, from left to right."""
    pattern, is_secret = _FORMS[form]
    at = 0
    while (match := pattern.search(line, at)) is not None:
        first, last = match.span(_group(match))
        if is_secret(match):
            yield first, last
            at = max(last, match.start() + 1)
        else:
            # What is no secret may hold one: path=/a/password=x.
            at = max(first, match.start() + 1)


FORMS = len(_FORMS)


def nameless_in(text: str) -> Iterator[Span]:
    """Yield where keys, hashes of passwords, and passwords in URLs stand, which need no name."""
    for pattern in _WITHOUT_NAME:
        yield from (match.span("value") for match in pattern.finditer(text))


def is_user_password(words: str) -> bool:
    """Tell whether `option value` is a user with a password, as curl takes it."""
    return _USER.fullmatch(words) is not None


def assigned_in(word: str) -> list[str]:
    """Return the values that one word of a command line assigns to names of secrets."""
    return [_value(match) for match in _ASSIGNED.finditer(word) if names_secret(match["name"])]


def passwords_in_urls(text: str) -> list[str]:
    """Return user and password of each URL, with the colon between them."""
    return _URL.findall(text)
