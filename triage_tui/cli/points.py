"""`show --section points`: the places in the program that somebody takes for the reason of the failure."""

from __future__ import annotations

from triage_tui.runs.reader import Run
from triage_tui.runs.suspicious_points import SuspiciousPoint, read_points
from triage_tui.text import safe_block, safe_line


def show_points(run: Run) -> None:
    """Print the suspicious points of a run, the likeliest first, with their evidence."""
    points = sorted(read_points(run).points, key=lambda one: -one.score)
    if not points:
        print("nobody has noted a suspicious point")
    for position, point in enumerate(points):
        if position:
            print()
        _show(point)


def _show(point: SuspiciousPoint) -> None:
    cause = f", {safe_line(point.cause, 80)}" if point.cause else ""
    where = f" of {safe_line(point.module, 200)}" if point.module else ""
    name = safe_line(point.function_name, 200)
    print(f"{safe_line(point.id, 40)} {name}{where}: {point.state}, {point.score:.2f}{cause}")
    for text in (point.description, point.notes):
        if text:
            print("\n".join(f"  {line}" for line in safe_block(text, 100).split("\n")))
    if point.important_controlflow:
        print(f"  through {safe_line(', '.join(point.important_controlflow), 400)}")
    for one in point.evidence:
        mark = "" if one.supported else "  (unsupported: the link leads nowhere)"
        print(f"  {safe_line(one.link, 300)}  {safe_line(one.says, 200)}{mark}")
    by = ", ".join(f"{safe_line(entry.actor, 40)} {entry.wall[:19]}" for entry in point.history[-3:])
    print(f"  revision {point.revision}: {safe_line(by, 200)}")
