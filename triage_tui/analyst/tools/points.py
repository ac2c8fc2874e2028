"""Tools that note, change and list suspicious points: places that may be the reason of the failure."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from triage_tui.analyst.tools.case import Case
from triage_tui.analyst.tools.tool import Arguments, JsonObject, Tool
from triage_tui.errors import TriageError
from triage_tui.runs.suspicious_points import (
    MAX_EVIDENCE,
    MAX_TEXT,
    PointState,
    SuspiciousPoint,
    add_point,
    change_point,
    read_points,
)

Name = Annotated[str, Meta(min_length=1, max_length=300)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Score = Annotated[float, Meta(ge=0, le=1, description="how likely the failure comes from there, 0 to 1")]
Links = Annotated[
    list[Annotated[str, Meta(max_length=300)]],
    Meta(max_length=MAX_EVIDENCE, description="evidence links, as ev:syscall/12~0123456789ab"),
]
Flow = Annotated[
    list[Annotated[str, Meta(max_length=300)]],
    Meta(max_length=40, description="functions and values through which the failure goes"),
]


class CreateArguments(Arguments):
    """A new point."""

    function_name: Annotated[Name, Meta(description="function, or its address as 0x10400")]
    description: Annotated[Text, Meta(min_length=1, description="what is wrong there and why it fails")]
    cause: Annotated[
        str, Meta(max_length=80, description="cause by the failure taxonomy, or another word")
    ] = ""
    module: Annotated[str, Meta(max_length=1024, description="guest path of the file with the function")] = ""
    score: Score = 0.5
    important_controlflow: Flow = []
    evidence: Links = []


class UpdateArguments(Arguments):
    """What changes; what is not given stays."""

    suspicious_point_id: Annotated[str, Meta(min_length=1, max_length=40)]
    description: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)] | None = None
    cause: Annotated[str, Meta(max_length=80)] | None = None
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    state: Literal["open", "confirmed", "refuted"] | None = None
    notes: Annotated[
        Annotated[str, Meta(max_length=MAX_TEXT)] | None, Meta(description="what looking closer showed")
    ] = None
    important_controlflow: Flow | None = None
    evidence: Links | None = None
    expect_revision: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="refuse the change if the point is not at this revision"),
    ] = None


class ListArguments(Arguments):
    """Which points."""

    state: PointState | None = None
    function_name: Annotated[str, Meta(max_length=300)] = ""


def _create(case: Case, asked: CreateArguments) -> JsonObject:
    point = SuspiciousPoint(
        id="",
        function_name=asked.function_name,
        description=asked.description,
        module=asked.module,
        cause=asked.cause,
        score=asked.score,
        important_controlflow=asked.important_controlflow,
    )
    return _told(add_point(case.run, point, asked.evidence, case.actor))


def _update(case: Case, asked: UpdateArguments) -> JsonObject:
    fields = ("description", "cause", "score", "state", "notes", "important_controlflow")
    changes = {name: value for name in fields if (value := getattr(asked, name)) is not None}
    if not changes and asked.evidence is None:
        raise TriageError(f"nothing to change was given: {', '.join(fields)} or evidence")
    point = change_point(
        case.run, asked.suspicious_point_id, changes, asked.evidence, case.actor, asked.expect_revision
    )
    return _told(point)


def _told(point: SuspiciousPoint) -> JsonObject:
    answer: JsonObject = {"suspicious_point_id": point.id, "suspicious_point": _row(point)}
    wrong = [one.link for one in point.evidence if not one.supported]
    if wrong:
        answer["unsupported"] = wrong
    return answer


def _row(point: SuspiciousPoint) -> JsonObject:
    row: JsonObject = msgspec.to_builtins(point)
    del row["history"]
    return row


def _list(case: Case, asked: ListArguments) -> JsonObject:
    known = read_points(case.run)
    rows = [
        _row(point)
        for point in sorted(known.points, key=lambda one: -one.score)
        if asked.state in (None, point.state)
        and (not asked.function_name or asked.function_name == point.function_name)
    ]
    return {"count": len(rows), "revision": known.revision, "suspicious_points": rows}


TOOLS = (
    Tool(
        "create_suspicious_point",
        "Notes a place in the program that may be the reason of the failure, with evidence links. Links that"
        " lead nowhere are marked as unsupported and named in the answer.",
        CreateArguments,
        _create,
        writes=True,
    ),
    Tool(
        "update_suspicious_point",
        "Changes a suspicious point after looking closer: score, state (confirmed, refuted), notes, evidence."
        " What it said before stays in its history.",
        UpdateArguments,
        _update,
        writes=True,
    ),
    Tool(
        "list_suspicious_points",
        "The suspicious points of this run, the likeliest first, each with its evidence links.",
        ListArguments,
        _list,
    ),
)
