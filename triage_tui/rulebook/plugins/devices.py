"""The plugin devices: device nodes, what reading them gives, and typed answers to their requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import (
    Configuration,
    Path,
    Place,
    Settings,
    path_problems,
    shown,
)
from triage_tui.rulebook.plugins.fakefile import OPENS, STATS, Mode
from triage_tui.runs import errnos
from triage_tui.runs.struct_layout import lay_out
from triage_tui.text import number_of, safe_line

MAX_ANSWER = 4096
_CODE = r"\A(?:[!-~]|0x[0-9A-Fa-f]{2}) \d{1,3} (?:none|read|write|both)\Z"
_ERRORS = errnos.numbers("generic")

Number = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]


class Request(Settings, frozen=True, kw_only=True):
    """One ioctl request. `fields` declare its structure as `runs.struct_layout` has it."""

    name: str = ""
    code: Annotated[str, Meta(pattern=_CODE, description='LETTER NUMBER DIRECTION, as in "p 9 read",')] = ""
    number: Number | None = None
    fields: str = ""
    values: dict[str, int | str] = {}
    answer: Annotated[int, Meta(ge=0, le=0x7FFFFFFF)] = 0
    errno: str | None = None


class Device(Settings, frozen=True, kw_only=True):
    """One node. What is behind it is `content`, then `fill` up to `size`; or `source`."""

    path: Path
    kind: Literal["character", "block"] = "character"
    mode: Mode = 0o660
    major: Annotated[int, Meta(ge=0, le=4095)] = 10
    minor: Annotated[int, Meta(ge=0, le=1048575)] = 255
    content: str = ""
    size: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    fill: Annotated[int, Meta(ge=0, le=255)] = 0
    source: Literal["memory", "zero", "null", "random", "silent"] = "memory"
    requests: Annotated[list[Request], Meta(max_length=200)] = []
    other_requests: Literal["ENOTTY", "success"] = "ENOTTY"


class Devices(Configuration, frozen=True, kw_only=True):
    """The nodes."""

    devices: Annotated[list[Device], Meta(min_length=1, max_length=64)]

    def hooks(self) -> frozenset[str]:
        """Looking for the node, and what is done with a descriptor of it."""
        looks = {"access", "faccessat", "faccessat2", "readlink", "readlinkat"}
        return OPENS | STATS | looks | {"fstat", "fstat64", "ioctl"}

    def sentence(self) -> str:
        """Name the nodes."""
        names = ", ".join(_path(device) for device in self.devices[:3])
        more = f" and {number_of(len(self.devices) - 3, 'other')}" if len(self.devices) > 3 else ""
        return f"Stands for {names}{more}"

    def deeds(self) -> Iterator[tuple[Place, str]]:
        """What each node is, and each of its answers."""
        for index, device in enumerate(self.devices):
            behind = {
                "memory": f"a file of {number_of(max(len(device.content), device.size), 'byte')} in memory",
                "zero": "endless zeros",
                "null": "nothing: reading ends at once",
                "random": "random bytes",
                "silent": "nobody: reading waits",
            }[device.source]
            place: Place = ("devices", index)
            yield place, f"lets the program find the {device.kind} device {_path(device)}, behind it {behind}"
            for number, request in enumerate(device.requests):
                yield (*place, "requests", number), f"answers {_request(request)} on {_path(device)}"
            if device.other_requests == "success":
                yield (*place, "other_requests"), f"answers any other request on {_path(device)} with success"

    def claims(self) -> list[dict[str, str]]:
        """The paths."""
        return [{"path": _path(device)} for device in self.devices]

    def problems(self) -> Iterator[tuple[Place, str]]:
        """Nodes that are there twice, requests that are none, values that fit no field."""
        seen: set[str] = set()
        for index, device in enumerate(self.devices):
            place: Place = ("devices", index)
            for problem in path_problems(device.path, seen):
                yield (*place, "path"), problem
            if device.source != "memory" and (device.content or device.size):
                yield (*place, "source"), "content and size are for source memory only"
            asked = set()
            for number, request in enumerate(device.requests):
                which = _which(request)
                if which in asked:
                    yield (*place, "requests", number), "this request is there twice"
                asked.add(which)
                for key, problem in _problems(request):
                    yield (*place, "requests", number, *key), problem


def _which(request: Request) -> tuple[object, ...]:
    """What tells a request from others; the size of its structure is a part of its number."""
    if request.number is not None or not request.code:
        return (request.number, request.name if request.number is None else "")
    letter, number, direction = request.code.split(" ")
    letter = chr(int(letter, 16)) if len(letter) > 1 else letter
    return (letter, int(number), direction, request.fields)


def _problems(request: Request) -> Iterator[tuple[Place, str]]:
    if bool(request.code) == (request.number is not None):
        yield (), "either code or number is needed: which request it is"
    if request.code and int(request.code.split(" ")[1]) > 255:
        yield ("code",), "the number of a request is 0 to 255"
    if request.errno is not None and request.errno not in _ERRORS:
        yield ("errno",), "this is the name of no error"
    try:
        layout = lay_out(request.fields, "arm", 4) if request.fields else None
    except ValueError as error:
        yield ("fields",), str(error)
        return
    if layout is not None and layout.size > MAX_ANSWER:
        yield ("fields",), f"these are more than {MAX_ANSWER} bytes"
    for name, value in request.values.items():
        field = layout.fields.get(name) if layout is not None else None
        if field is None:
            yield ("values", name), "this is none of the fields"
        elif isinstance(value, str) != (field.kind == "bytes"):
            yield ("values", name), "a text is wanted" if field.kind == "bytes" else "a number is wanted"
        elif isinstance(value, str) and len(value) > field.size:
            yield ("values", name), f"this is longer than the field's {field.size} bytes"
        elif isinstance(value, int) and not -(1 << 8 * field.size - 1) <= value < 1 << 8 * field.size:
            yield ("values", name), f"this does not fit the field's {field.size} bytes"


def _request(request: Request) -> str:
    what = request.name or (
        f"request {request.number:#x}" if request.number is not None else f"'{request.code}'"
    )
    if request.errno:
        return f"{safe_line(what, 60)} with {request.errno}"
    values = ", ".join(f"{name} {value!r}" for name, value in list(request.values.items())[:6])
    return safe_line(f"{what} with {request.answer}" + (f" and {values}" if values else ""), 200)


def _path(device: Device) -> str:
    return safe_line(shown(device.path), 200)
