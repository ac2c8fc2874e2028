"""The plugin devices: device nodes, what reading them gives, and typed answers to their requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import Meta

from triage_tui.rulebook.plugins.configuration import (
    OPENS,
    STATS,
    Claim,
    Configuration,
    Mode,
    Path,
    Place,
    Settings,
    directories,
    path_problems,
    spelled,
)
from triage_tui.rulebook.plugins.texts import Text, size_at_most, wrong_parts
from triage_tui.runs import errnos
from triage_tui.runs.struct_layout import Field, Layout, lay_out
from triage_tui.text import number_of, safe_line

MAX_ANSWER = 4096
_CODE = r"\A(?:[!-~]|0x[0-9A-Fa-f]{2}) \d{1,3} (?:none|read|write|both)\Z"
_ERRORS = errnos.numbers("generic")

_MOST_NESTED = 4
"""Structures behind each other's pointers."""
_LONGEST_PATH = 180
"""It is a part of the label of what is opened."""
Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_]{0,40}\Z", description="a name of up to 40 letters")]
Number = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]


class Structure(Settings, frozen=True, kw_only=True):
    """What a pointer of the program leads to. `fields` declare it as `runs.struct_layout` has it.

    `values` are filled in, the rest stays; `into` is what is filled in where a field leads to.
    """

    fields: str = ""
    values: dict[str, int | str] = {}
    into: dict[str, Structure] = {}


class Request(Structure, frozen=True, kw_only=True):
    """One ioctl request, for any structure, or for one that holds the values `when`.

    `keeps`: what the program passes is kept under this name; `gives`: what was kept is given instead of
    `values`.
    """

    name: str = ""
    code: Annotated[str, Meta(pattern=_CODE, description='LETTER NUMBER DIRECTION, as in "p 9 read",')] = ""
    number: Number | None = None
    when: dict[str, int | str] = {}
    keeps: Name = ""
    gives: Name = ""
    answer: Annotated[int, Meta(ge=0, le=0x7FFFFFFF)] = 0
    errno: str | None = None


class Device(Settings, frozen=True, kw_only=True):
    """One node. What is behind it is `content`, then `fill` up to `size`; or `source`."""

    path: Path
    kind: Literal["character", "block"] = "character"
    mode: Mode = 0o660
    major: Annotated[int, Meta(ge=0, le=4095)] = 10
    minor: Annotated[int, Meta(ge=0, le=1048575)] = 255
    content: Text = ""
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
        names = ", ".join(spelled(device.path) for device in self.devices[:3])
        more = f" and {number_of(len(self.devices) - 3, 'other')}" if len(self.devices) > 3 else ""
        return f"Stands for {names}{more}"

    def deeds(self) -> Iterator[tuple[Place, str]]:
        """What each node is, and each of its answers."""
        for index, device in enumerate(self.devices):
            behind = {
                "memory": f"a file of {number_of(_size(device), 'byte')} in memory",
                "zero": "endless zeros",
                "null": "nothing: reading ends at once",
                "random": "random bytes",
                "silent": "nobody: reading waits",
            }[device.source]
            place: Place = ("devices", index)
            yield (
                place,
                f"lets the program find the {device.kind} device {spelled(device.path)}, behind it {behind}",
            )
            for number, request in enumerate(device.requests):
                yield (*place, "requests", number), f"answers {_request(request)} on {spelled(device.path)}"
            if device.other_requests == "success":
                yield (
                    (*place, "other_requests"),
                    f"answers any other request on {spelled(device.path)} with success",
                )

    def claims(self) -> list[Claim]:
        """Looking for the nodes, what is done with a descriptor of one, and listing their directories."""
        claims = [Claim(self.hooks(), {"path": spelled(device.path)}) for device in self.devices]
        listed = directories(device.path for device in self.devices)
        return claims + [Claim(self.hooks(), {"path": path}) for path in listed]

    def problems(self) -> Iterator[tuple[Place, str]]:
        """Nodes that are there twice, requests that are none, values that fit no field."""
        seen: set[str] = set()
        for index, device in enumerate(self.devices):
            place: Place = ("devices", index)
            for problem in path_problems(device.path, seen):
                yield (*place, "path"), problem
            if len(device.path) > _LONGEST_PATH:
                yield (*place, "path"), f"the path of a device has at most {_LONGEST_PATH} bytes"
            yield from wrong_parts(device.content, (*place, "content"), echo=False)
            if device.source != "memory" and (device.content or device.size):
                yield (*place, "source"), "content and size are for source memory only"
            asked = set()
            kept = {request.keeps for request in device.requests if request.keeps}
            for number, request in enumerate(device.requests):
                which = _which(request)
                if which in asked:
                    yield (*place, "requests", number), "this request is there twice"
                elif request.when and (*which[:-1], ()) in asked:
                    told = "the same request stands before it without `when`, and answers all of them"
                    yield (*place, "requests", number, "when"), told
                asked.add(which)
                if request.gives and request.gives not in kept:
                    yield (*place, "requests", number, "gives"), "no request of this device keeps it"
                for key, problem in _problems(request):
                    yield (*place, "requests", number, *key), problem


def _which(request: Request) -> tuple[object, ...]:
    """What tells a request from others, `when` last; the size of its structure is a part of its number."""
    when = tuple(sorted(request.when.items(), key=str))
    if request.number is not None or not request.code:
        return (request.number, request.name if request.number is None else "", when)
    letter, number, direction = request.code.split(" ")
    letter = chr(int(letter, 16)) if len(letter) > 1 else letter
    return (letter, int(number), direction, request.fields, when)


def _problems(request: Request) -> Iterator[tuple[Place, str]]:
    if bool(request.code) == (request.number is not None):
        yield (), "either code or number is needed: which request it is"
    if request.code and int(request.code.split(" ")[1]) > 255:
        yield ("code",), "the number of a request is 0 to 255"
    if request.errno is not None and request.errno not in _ERRORS:
        yield ("errno",), "this is the name of no error"
    if (request.keeps or request.gives) and not request.fields:
        yield ("fields",), "what is kept or given has to be declared"
    yield from _wrong_structure(request, {"values": request.values, "when": request.when}, 1)


def _wrong_structure(
    structure: Structure, filled: Mapping[str, Mapping[str, int | str]], depth: int
) -> Iterator[tuple[Place, str]]:
    try:
        layout = lay_out(structure.fields, "arm", 4) if structure.fields else Layout(0, {})
    except ValueError as error:
        yield ("fields",), str(error)
        return
    if layout.size > MAX_ANSWER:
        yield ("fields",), f"these are more than {MAX_ANSWER} bytes"
    for setting, values in filled.items():
        for name, value in values.items():
            if problem := _wrong_value(layout.fields.get(name), value):
                yield (setting, name), problem
    for name, behind in structure.into.items():
        field = layout.fields.get(name)
        if field is None or field.kind == "bytes":
            yield ("into", name), "this is none of the fields that can lead somewhere"
        if depth >= _MOST_NESTED:
            yield ("into", name), f"at most {_MOST_NESTED} structures can stand behind each other"
            continue
        for key, problem in _wrong_structure(behind, {"values": behind.values}, depth + 1):
            yield ("into", name, *key), problem


def _wrong_value(field: Field | None, value: int | str) -> str:
    if field is None:
        return "this is none of the fields"
    if isinstance(value, str) != (field.kind == "bytes"):
        return "a text is wanted" if field.kind == "bytes" else "a number is wanted"
    if isinstance(value, str) and len(value) > field.size:
        return f"this is longer than the field's {field.size} bytes"
    if isinstance(value, int) and not -(1 << 8 * field.size - 1) <= value < 1 << 8 * field.size:
        return f"this does not fit the field's {field.size} bytes"
    return ""


def _size(device: Device) -> int:
    return max(size_at_most(device.content), device.size)


def _request(request: Request) -> str:
    what = request.name or (
        f"request {request.number:#x}" if request.number is not None else f"'{request.code}'"
    )
    if request.errno:
        return f"{safe_line(what, 60)} with {request.errno}"
    when = _listed(request.when)
    values = ", ".join(filter(None, (_listed(one.values) for one in _structures(request))))
    told = f"{what} with {request.answer}" + (f" and {values}" if values else "")
    told += f" and what {request.gives} was set to" if request.gives else ""
    told += f", and keeps {request.keeps}" if request.keeps else ""
    return safe_line(told + (f", where {when}" if when else ""), 200)


def _structures(structure: Structure) -> Iterator[Structure]:
    yield structure
    for behind in structure.into.values():
        yield from _structures(behind)


def _listed(values: Mapping[str, int | str]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in list(values.items())[:6])
