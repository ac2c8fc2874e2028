"""Rows that lead to evidence: what speaks for a hypothesis, and the steps from the end back to it."""

from __future__ import annotations

from functools import partial

from rich.cells import cell_len

from triage_tui.runs.diagnosis_model import DerivationStep, Diagnosis, Evidence
from triage_tui.text import number_of, safe_line
from triage_tui.ui.pieces import Piece
from triage_tui.ui.rows import Part, Row, clip, short, wrap_parts
from triage_tui.ui.run_view import RunView

MAX_SAYS = 600
"""Characters laid out of what one piece of evidence says."""
MAX_STEPS = 20

FOLD = "the derivation"
"""What the row stands for that shows or hides the steps of the derivation."""


def evidence_rows(
    view: RunView, evidence: Evidence, bullet: str, role: str, width: int, *, quoted: bool = True
) -> list[Row]:
    """Return a link, what it says, and where it leads to a call that call, unless not `quoted`."""
    found = view.resolve(evidence.link)
    supported = found.holds and evidence.supported
    left_out = bool(found.left_out) and evidence.supported
    sign: Part = (bullet, role) if supported else ("◌", "muted") if left_out else ("✗", "bad")
    head: list[Part] = [("    ", ""), sign, (" ", "")]
    links: tuple[tuple[int, int, str], ...] = ()
    if found.exists:
        name = short(found.title, 40)
        links = ((6, 6 + cell_len(name), evidence.link),)
        head.append((name, "link"))
    elif left_out:
        head += [(short(found.title, 40), "muted"), ("  left out of this bundle", "warn")]
    else:
        head.append(("no such evidence", "bad"))
    if not supported and not left_out:
        mark = "changed since" if found.exists and not found.hash_ok else "unsupported"
        head += [("  ", ""), (mark, "bad")]
    said: list[Part] = [(safe_line(evidence.says, MAX_SAYS), "" if supported or left_out else "muted")]
    rows = []
    for number, parts in enumerate(wrap_parts(said, width, "      ", "      ")):
        cells = sum(cell_len(text) for text, _ in (*head, *parts)) - 2
        if number == 0 and cells <= width:
            rows.append(Row((*head, ("  ", ""), *parts[1:]), links=links))
            head = []
        else:
            rows.append(Row(parts, links=links))
    if head:
        rows.insert(0, Row(tuple(head), links=links))
    call = safe_line(found.text, 400) if found.exists and found.link.kind == "syscall" and quoted else ""
    if call:
        rows.append(Row((("      ", ""), (clip(call, width - 7), "muted")), links=links, whole=call))
    return rows


def derivation_pieces(view: RunView, diagnosis: Diagnosis, *, unfolded: bool) -> list[Piece]:
    """Return how the best hypothesis follows from the end: one row, or with it each step and its evidence."""
    steps = diagnosis.derivation[:MAX_STEPS]
    if not steps:
        return []
    kind = f" ({short(diagnosis.scene_kind, 40)})" if diagnosis.scene_kind else ""
    count = number_of(len(steps), "step", "steps")
    how = (
        f"▾ from the end back to it{kind}"
        if unfolded
        else f"▸ {count} back from the end, enter shows them{kind}"
    )
    pieces = [Piece(partial(_fold_rows, how), 1, FOLD)]
    if unfolded:
        pieces += [Piece(partial(_step_rows, view, number, step)) for number, step in enumerate(steps, 1)]
    return pieces


def _fold_rows(text: str, width: int) -> list[Row]:
    return [Row((("    ", ""), (clip(text, width - 5), "muted")), FOLD, whole=text)]


def _step_rows(view: RunView, number: int, step: DerivationStep, width: int) -> list[Row]:
    says = f"{safe_line(step.role, 80)}: {safe_line(step.says, MAX_SAYS)}"
    return evidence_rows(
        view, Evidence(link=step.link, says=says), str(number), "accent", width, quoted=False
    )
