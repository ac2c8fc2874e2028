"""The diagnosis pane: ranked hypotheses, the reasoning, evidence to follow, and what is still missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.cells import cell_len

from triage_tui.runs.diagnosis_model import Experiment, Hypothesis, Opinion
from triage_tui.runs.evidence import IN_TEXT, describe_syscall
from triage_tui.runs.reopened import reopened_said
from triage_tui.text import number_of, safe_line
from triage_tui.ui.evidence_rows import FOLD, MAX_SAYS, derivation_pieces, evidence_rows
from triage_tui.ui.headline import what_happened
from triage_tui.ui.panes.base import Pane
from triage_tui.ui.pieces import Piece, PieceRows, all_rows, blank, fixed
from triage_tui.ui.rows import BLANK, Part, Row, Rows, clip, heading, short, wrap_parts, wrapped
from triage_tui.ui.run_view import RunView
from triage_tui.ui.widgets.line_view import LineView
from triage_tui.ui.words import target_words

if TYPE_CHECKING:
    from triage_tui.ui.app import TriageApp

MAX_EXPLANATION, MAX_EVIDENCE = 6000, 30
"""Laid out of one hypothesis: characters of its explanation, pieces of evidence."""
MAX_EXPERIMENTS = 8


def confidence_bar(confidence: float, cells: int = 10) -> tuple[Part, ...]:
    """Return a bar of `cells` cells and the number, "━━━━━━━─── 0.70"."""
    value = min(1.0, max(0.0, confidence if confidence == confidence else 0.0))
    full = round(value * cells)
    return (("━" * full, "confidence"), ("─" * (cells - full), "rule"), (f" {value:.2f}", "strong"))


def text_with_links(text: str, width: int, indent: int) -> list[Row]:
    """Wrap an explanation; its `[text](ev:...)` links become places that can be followed."""
    parts: list[Part] = []
    targets: list[str] = []
    last = 0
    if len(text) > MAX_EXPLANATION:
        left = number_of(len(text) - MAX_EXPLANATION, "character is", "characters are")
        text = f"{text[:MAX_EXPLANATION]} … ({left} left out here)"
    for match in IN_TEXT.finditer(text):
        parts.append((safe_line(text[last : match.start()].replace("\n", " ")), ""))
        parts.append((safe_line(match["text"]), f"link{len(targets)}"))
        targets.append(match["link"])
        last = match.end()
    parts.append((safe_line(text[last:].replace("\n", " "), MAX_EXPLANATION * 6), ""))
    rows = []
    pad = " " * indent
    for line in wrap_parts(parts, width, pad, pad):
        cell = 0
        links: list[tuple[int, int, str]] = []
        shown: list[Part] = []
        for word, role in line:
            size = cell_len(word)
            if role.startswith("link"):
                link = (
                    targets[int(role[4:] or 0)] if role != "link" else links[-1][2] if links else targets[0]
                )
                if links and links[-1][2] == link and links[-1][1] == cell:
                    links[-1] = (links[-1][0], cell + size, link)
                else:
                    links.append((cell, cell + size, link))
                role = "link"
            shown.append((word, role))
            cell += size
        rows.append(Row(tuple(shown), links=tuple(links)))
    return rows


def _title_rows(number: int, hypothesis: Hypothesis, width: int) -> list[Row]:
    title = safe_line(hypothesis.title, 200)
    bar = confidence_bar(hypothesis.confidence)
    lines = wrap_parts([(title, "strong")], max(20, width - 21), f" {number}. ", "    ")
    rows = []
    for place, parts in enumerate(lines):
        gap = " " * max(1, width - sum(cell_len(text) for text, _ in parts) - 16)
        end = ((gap, ""), *bar) if place == 0 else ()
        rows.append(Row((*parts, *end), hypothesis, "section"))
    return rows


def _wrapped(text: str, role: str, indent: int) -> Piece:
    return Piece(partial(wrapped, text, role=role, indent=indent))


def _hypothesis_pieces(
    view: RunView, number: int, hypothesis: Hypothesis, derivation: Sequence[Piece]
) -> list[Piece]:
    cause = short(hypothesis.cause, 60)
    pieces = [
        Piece(partial(_title_rows, number, hypothesis)),
        *fixed([Row((("    ", ""), (cause, "accent"), *_proximate(hypothesis)), hypothesis)]),
    ]
    if hypothesis.explanation:
        pieces.append(Piece(lambda width: text_with_links(hypothesis.explanation, width - 1, 4)))
    pieces += derivation
    for entries, bullet, role in ((hypothesis.evidence, "●", "good"), (hypothesis.contrary, "○", "warn")):
        if entries and bullet == "○":
            pieces += fixed([Row((("    against it", "muted"),))])
        for evidence in entries[:MAX_EVIDENCE]:
            pieces.append(Piece(partial(evidence_rows, view, evidence, bullet, role)))
        if len(entries) > MAX_EVIDENCE:
            more = number_of(len(entries) - MAX_EVIDENCE, "more is", "more are")
            pieces.append(_wrapped(f"… {more} left out here", "muted", 4))
    if hypothesis.below:
        pieces += fixed([Row((("    why it is not the first", "muted"),))])
        for evidence in hypothesis.below[:MAX_EVIDENCE]:
            pieces.append(Piece(partial(evidence_rows, view, evidence, "↓", "muted")))
    if hypothesis.wanted:
        pieces += fixed([Row((("    missing to be sure", "muted"),))])
        pieces += [_wrapped("? " + safe_line(wanted, 500), "muted", 6) for wanted in hypothesis.wanted[:20]]
    if hypothesis.origin:
        where = safe_line(hypothesis.origin, 200)
        pieces.append(_wrapped(f"by the entry {short(hypothesis.entry, 60)} of {where}", "warn", 4))
    if hypothesis.source == "model":
        name = f" ({short(hypothesis.model, 40)})" if hypothesis.model else ""
        pieces += fixed([Row(((f"    written by a language model{name}", "warn"),))])
    if hypothesis.opinion is not None:
        pieces += _opinion_pieces(hypothesis.opinion)
    return pieces


def _opinion_pieces(opinion: Opinion) -> list[Piece]:
    """Return what a model says of a hypothesis that is not its own; links in it lead to the evidence."""
    sure = f"{min(1.0, max(0.0, opinion.confidence)):.2f}"
    head = f"    second opinion of a language model ({short(opinion.model, 40)}, {sure})"
    pieces = fixed([Row(((head, "warn"),))])
    text = opinion.explanation or "It gives no reason."
    pieces.append(Piece(lambda width: text_with_links(text, width - 1, 6)))
    for entry in opinion.contrary[:MAX_EVIDENCE]:
        pieces.append(_wrapped("○ " + safe_line(entry.says, MAX_SAYS), "muted", 6))
    return pieces


def _proximate(hypothesis: Hypothesis) -> tuple[Part, ...]:
    if not hypothesis.proximate or hypothesis.proximate == hypothesis.cause:
        return ()
    return (("  seen as ", "muted"), (short(hypothesis.proximate, 40), "muted"))


def _ranking(hypotheses: Sequence[Hypothesis]) -> list[Piece]:
    """Return one line with the causes of all hypotheses: those further down may be far below the screen."""
    if len(hypotheses) < 2:
        return []
    told = [f"{short(one.cause, 30)} {min(1.0, max(0.0, one.confidence)):.2f}" for one in hypotheses[:20]]
    text = f"{len(hypotheses)} hypotheses: {', '.join(told)}"
    return [Piece(lambda width: [Row((("  ", ""), (clip(text, width - 2), "muted")), whole=text)], 1)]


def diagnosis_pieces(view: RunView, *, unfolded: bool = False) -> list[Piece]:
    """Return the diagnosis of a run as pieces: each stays what it is at another width.

    The steps of the derivation are shown where it is `unfolded`.
    """
    diagnosis = view.diagnosis
    problems = [*view.run.problems, *(diagnosis.record_problems if diagnosis is not None else ())]
    pieces = [_wrapped("! " + safe_line(text, 500), "bad", 1) for text in list(dict.fromkeys(problems))[:20]]
    if told := reopened_said(view.run.events):
        pieces.append(_wrapped(told, "bad", 1))
    if pieces:
        pieces.append(blank())
    if diagnosis is None:
        words = f"{target_words(view.snapshot)} {what_happened(view.snapshot)}."
        pieces.append(_wrapped(words, "strong", 1))
        pieces.append(_wrapped("There is no diagnosis of this run yet.", "muted", 1))
        pieces.append(Piece(partial(_last_failures, view)))
        return pieces
    pieces += [_wrapped("! " + safe_line(text, 600), "warn", 1) for text in diagnosis.kb_problems[:10]]
    if diagnosis.healthy:
        pieces += [_wrapped("This looks healthy: nothing to repair.", "good", 1), blank()]
    pieces += _ranking(diagnosis.hypotheses)
    for number, hypothesis in enumerate(diagnosis.hypotheses[:20], 1):
        derivation = derivation_pieces(view, diagnosis, unfolded=unfolded) if number == 1 else []
        pieces += [*_hypothesis_pieces(view, number, hypothesis, derivation), blank()]
    if len(diagnosis.hypotheses) > 20:
        more = number_of(len(diagnosis.hypotheses) - 20, "more hypothesis is", "more hypotheses are")
        pieces.append(_wrapped(f"… {more} left out here", "muted", 1))
    if not diagnosis.hypotheses:
        pieces.append(_wrapped("No hypothesis fits what was recorded.", "warn", 1))
    pieces += _experiment_pieces(view)
    if diagnosis.unknown_next and not diagnosis.experiments:
        pieces.append(Piece(lambda width: [heading("Next experiment", width)], 1))
        pieces.append(_wrapped(safe_line(diagnosis.unknown_next, 1000), "", 2))
    return pieces


def _experiment_pieces(view: RunView) -> list[Piece]:
    """Return what can be tried to be surer, and what came of what was tried."""
    offered = view.experiments[:MAX_EXPERIMENTS]
    finished = [event.payload for event in view.run.events if event.kind == "experiment_finished"]
    tried = [str(payload.get("learnt", ""))[:1000] for payload in finished[-MAX_EXPERIMENTS:]]
    pieces: list[Piece] = []
    if tried:
        pieces.append(Piece(lambda width: [heading("What experiments told", width)], 1))
        pieces += [_wrapped("● " + safe_line(learnt, 500), "", 2) for learnt in tried]
        pieces.append(blank())
    if offered:
        pieces.append(Piece(lambda width: [heading("What would make it sure", width)], 1))
        pieces += [Piece(partial(_experiment_rows, one)) for one in offered]
    return pieces


def _experiment_rows(experiment: Experiment, width: int) -> list[Row]:
    bits = f"{experiment.gain:.2f} bits" if 0 <= experiment.gain <= 1 else ""
    says = f"{safe_line(experiment.says, 300)}"
    lines = wrap_parts([(says, ""), (f"  {bits}", "muted")], width - 1, "  ▸ ", "    ")
    tells = f"{safe_line(experiment.what_it_would_tell, 300)}; {safe_line(experiment.cost, 200)}"
    more = wrap_parts([(tells, "muted")], width - 1, "    ", "    ")
    return [Row(tuple(parts), experiment) for parts in (*lines, *more)]


def diagnosis_rows(view: RunView, width: int, *, unfolded: bool = False) -> list[Row]:
    """Return the rows of the diagnosis of a run."""
    return all_rows(PieceRows(diagnosis_pieces(view, unfolded=unfolded)), width)


def _last_failures(view: RunView, width: int) -> list[Row]:
    failed = [call for call in view.calls if call.errno][-8:]
    if not failed:
        return []
    rows = [BLANK, heading("Last failed syscalls", width)]
    for call in failed:
        link = f"ev:syscall/{call.seq}"
        whole = safe_line(describe_syscall(call), 400)
        text = clip(whole, width - 10)
        rows.append(Row(((f"{call.seq:>7}  ", "link"), (text, "")), links=((0, 7, link),), whole=whole))
    return rows


class DiagnosisPane(Pane):
    """Hypotheses and evidence. Enter follows the link of the row, and shows or hides the derivation."""

    NAME: ClassVar[str] = "diagnosis"
    EMPTY: ClassVar[str] = "No run selected."

    def __init__(self) -> None:
        super().__init__()
        self._unfolded = False
        """Whether the steps of derivations are shown; who wants them once wants them of other runs, too."""
        self._knowledge = ""
        """Hash of the knowledge base in force, "" where it is not known."""

    def build(self, view: RunView) -> Rows:
        """Return the diagnosis as rows."""
        return PieceRows([*self._outdated(view), *diagnosis_pieces(view, unfolded=self._unfolded)])

    def take_knowledge(self, sha256: str) -> None:
        """Say of runs that were diagnosed with another knowledge base than this one that they were."""
        if sha256 == self._knowledge:
            return
        self._knowledge = sha256
        if self.view is not None:
            # One row comes or goes above all others: the cursor and what is in view stay what they are.
            before, row, top = len(self.rows), self.cursor, self.scroll_offset.y
            self.rebuild()
            moved = len(self.rows) - before
            self.move_to(max(0, row + moved) if row else 0)
            self.scroll_to(y=top + moved if top else 0, animate=False, immediate=True, force=True)

    def _outdated(self, view: RunView) -> list[Piece]:
        diagnosis = view.diagnosis
        if not self._knowledge or diagnosis is None or diagnosis.kb_sha256 in ("", self._knowledge):
            return []
        key = cast("TriageApp", self.app).keys_changed.get("diagnose", "D")
        how = f": {key} diagnoses the run again" if key else ""
        return [_wrapped(f"! The knowledge base is another one by now{how}.", "warn", 1)]

    def first(self, rows: Rows) -> int:
        """Start at the top, where the best hypothesis is."""
        return 0

    def shown_choice(self) -> Any:
        """Return whether the steps of derivations are shown."""
        return self._unfolded

    def show_choice(self, choice: Any) -> None:
        """Show the steps of derivations, or hide them."""
        if isinstance(choice, bool) and choice != self._unfolded:
            self._unfolded = choice
            self.rebuild()

    @property
    def opens(self) -> bool:
        """A link is followed, and the derivation is shown or hidden."""
        return super().opens or (self.current is not None and self.current.target == FOLD)

    def on_line_view_opened(self, event: LineView.Opened) -> None:
        """Show the steps of the derivation, or hide them."""
        if self.current is not None and self.current.target == FOLD and event.link is None:
            self.show_choice(not self._unfolded)
            event.stop()
