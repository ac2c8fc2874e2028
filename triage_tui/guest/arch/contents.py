"""What bytes hold of which only the place is known: requests, messages, settings, tables of pointers.

Each decoder knows its form for certain or says nothing; all are bounded, whatever the bytes are. Text of the
guest in what is returned is raw. Settings and headers are returned whole, "name=value": what masks secrets
(`runs.redaction`) goes by their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from triage_tui.guest.arch import layouts
from triage_tui.guest.arch.model import Arch
from triage_tui.guest.arch.netlink import messages_in
from triage_tui.guest.arch.structures import FieldText, Structure, fields_of

MAX_BYTES = 64 << 10
"""Bytes that are looked at."""
MAX_FIELDS = 256
MAX_TEXT = 400
"""Bytes of one field's text."""
MAX_POINTERS = 64
LOWEST_POINTER = 4096

HTTP_REQUEST, HTTP_ANSWER, NETLINK = "http request", "http answer", "netlink messages"
SETTINGS, POINTERS = "settings", "table of pointers"

_REQUEST = re.compile(
    rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT|PROPFIND|SUBSCRIBE|UNSUBSCRIBE|NOTIFY|M-SEARCH|"
    rb"DESCRIBE|SETUP|PLAY|TEARDOWN|ANNOUNCE|INVITE|REGISTER|ACK|BYE) [!-~]{1,2048}"
    rb"(?: (?:HTTP|RTSP|SIP)/\d\.\d)?\r?\n"
)
_ANSWER = re.compile(rb"(?:HTTP|RTSP|SIP)/\d\.\d \d{3}(?: [^\r\n]{0,200})?\r?\n")
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,80}:[^\r\n\0]{0,4096}\r?\n")
_SETTING = re.compile(rb"[A-Za-z_][\w.:/-]{0,79}=[\t\x20-\x7e\x80-\xff]*")
_TEXT = re.compile(rb"[\t\x20-\x7e]*\Z")
_STORES = (b"FLSH", b"HSLF")
"""Mark of a Broadcom NVRAM store, in either order; its header has 20 bytes (bcmnvram.h)."""


class Contents(NamedTuple):
    """What was recognised."""

    kind: str
    fields: list[FieldText]


def recognise(
    arch: Arch, data: bytes, string_at: Callable[[int], bytes | None] = lambda _address: None
) -> Contents | None:
    """Return what `data` is, None when nothing is certain.

    `string_at` returns the C string at an address without its NUL, None where there is none: without it no
    table of pointers is recognised.
    """
    data = data[:MAX_BYTES]
    for kind, decode in ((HTTP_REQUEST, _http), (HTTP_ANSWER, _http), (SETTINGS, _settings)):
        fields = decode(data, kind)
        if fields:
            return Contents(kind, fields[:MAX_FIELDS])
    messages = messages_in(arch, data)
    if messages:
        return Contents(NETLINK, messages[:MAX_FIELDS])
    table = pointer_table(arch, data, string_at)
    return Contents(POINTERS, table) if table else None


def _shown(raw: bytes) -> str:
    return raw[:MAX_TEXT].decode("utf-8", "backslashreplace") + ("…" if len(raw) > MAX_TEXT else "")


def _http(data: bytes, kind: str) -> list[FieldText]:
    """Return the first line, the headers and the body of a request or an answer."""
    first = (_REQUEST if kind == HTTP_REQUEST else _ANSWER).match(data)
    if first is None:
        return []
    name = "request" if kind == HTTP_REQUEST else "status"
    found = [FieldText(name, 0, first.end(), _shown(first[0].rstrip(b"\r\n")))]
    at = first.end()
    while (header := _HEADER.match(data, at)) is not None and len(found) < MAX_FIELDS - 1:
        found.append(FieldText("header", at, header.end() - at, _shown(header[0].rstrip(b"\r\n"))))
        at = header.end()
    end = re.compile(rb"\r?\n").match(data, at)
    body = data[end.end() :].rstrip(b"\0") if end is not None else b""
    if end is not None and body:
        found.append(FieldText("body", end.end(), len(body), _shown(body)))
    return found


def _settings(data: bytes, _kind: str) -> list[FieldText]:
    """Return the entries of a block of "name=value", ended by NULs or line breaks: an environment, NVRAM."""
    found: list[FieldText] = []
    at = 20 if data[:4] in _STORES else 0
    if at == 0 and not _SETTING.match(data):
        # The block may begin inside an entry, whose end says nothing.
        ends = [place for place in (data.find(b"\0"), data.find(b"\n")) if 0 <= place < MAX_TEXT]
        if not ends or not _TEXT.match(data[: min(ends)]):
            return []
        at = min(ends) + 1
    while len(found) < MAX_FIELDS and (entry := _SETTING.match(data, at)) is not None:
        end = entry.end()
        closed = data[end : end + 1] in (b"\0", b"\n") or data[end : end + 2] == b"\r\n"
        if not closed and end < len(data):
            break
        found.append(FieldText(f"[{len(found)}]", at, end - at, _shown(entry[0])))
        at = end + (2 if data[end : end + 2] == b"\r\n" else 1)
        if not closed:
            break
    return found if len(found) >= 2 else []


def pointer_table(
    arch: Arch, data: bytes, string_at: Callable[[int], bytes | None], least: int = 2
) -> list[FieldText]:
    """Return the pointers of a vector that ends with NULL, as argv does, each with the string it leads to.

    [] unless there are `least` of them and each leads to a printable string.
    """
    found: list[FieldText] = []
    for number in range(min(len(data) // arch.word, MAX_POINTERS)):
        at = number * arch.word
        value = int.from_bytes(data[at : at + arch.word], arch.endian)
        if value == 0:
            break
        text = string_at(value) if value >= LOWEST_POINTER else None
        if text is None or not _TEXT.match(text):
            return []
        found.append(FieldText(f"[{number}]", at, arch.word, f'"{_shown(text)}"', value))
    return found if len(found) >= least else []


def interfaces(arch: Arch, data: bytes) -> list[FieldText]:
    """Return the entries of the buffer of an ifconf: an array of ifreq with addresses (netdevice(7))."""
    size = layouts.layout(arch, "ifreq").size
    found: list[FieldText] = []
    for number in range(min(len(data) // size, MAX_POINTERS)):
        part = data[number * size : (number + 1) * size]
        if not any(part[:16]):
            break
        found += [
            one._replace(name=f"[{number}].{one.name}", offset=number * size + one.offset)
            for one in fields_of(arch, Structure("ifreq", 1, "SIOCGIFADDR"), part)
        ]
    return found
