"""The report on a campaign as a document, which renderers turn into Markdown and HTML.

All text of records is made printable and masked on its way in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from triage_tui import __version__
from triage_tui.campaign.comparing import CHANGES, Comparison
from triage_tui.campaign.gains import Gain
from triage_tui.campaign.report import Report, TargetLine
from triage_tui.campaign.statistics import STANDINGS, Story
from triage_tui.export.document import (
    Block,
    Bullets,
    Document,
    Facts,
    Paragraph,
    Section,
    Span,
    Table,
    TableRow,
    Words,
    anchor,
)
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.verdict_figures import rung_in_words
from triage_tui.text import number_of, safe_line

MAX_STEPS = 30
MAX_STORIES = 100
MAX_RULES = 100
MAX_NAMED = 12
"""Targets that are named behind a step or a story."""
MAX_CHANGED = 500
MAX_TARGETS = 5000
MAX_ERRORS = 30


class _Text:
    """Makes text of records fit for a document; the same text is looked through once."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._known: dict[tuple[str, int], str] = {}

    def __call__(self, text: str, limit: int = 200) -> str:
        key = text, limit
        if key not in self._known:
            self._known[key] = safe_line(self._redaction.text(text), limit)
        return self._known[key]


def make_document(report: Report, redaction: Redaction) -> Document:
    """Return the document of a report."""
    text = _Text(redaction)
    names = {line.target: _name(line, text) for line in report.targets}
    sections = [
        _summary(report, text),
        _steps(report.gains, names, text),
        *([_compared(report.comparison, text)] if report.comparison is not None else []),
        _ladder(report, text),
        _stories(report.statistics.stories, names, text),
        _rules(report, text),
        *([_groups(report, text)] if len(report.statistics.groups) > 1 else []),
        *([_errors(report, text)] if report.statistics.errors else []),
        _unknown(report, text),
        _targets(report, text),
    ]
    masks = "" if redaction.off else " What looks like a secret is masked."
    return Document(
        title=f"Campaign {text(report.campaign.id, 60)}",
        subtitle=_in_a_line(report),
        sections=tuple(sections),
        foot=f"Written by triage-tui {__version__} from the record of the campaign.{masks}",
    )


def _in_a_line(report: Report) -> str:
    counted = report.statistics
    told = ", ".join(f"{number} {name}" for name, number in counted.standings.items())
    return f"{number_of(counted.targets, 'target')}: {told or 'none'}"


def _name(line: TargetLine, text: _Text) -> str:
    return text(f"{line.group}/{line.name}" if line.group else line.name, 80)


def _summary(report: Report, text: _Text) -> Section:
    campaign, counted = report.campaign, report.statistics
    options = campaign.options
    ended = campaign.finished or ("at work" if report.running else "not ended")
    rows: list[tuple[str, Words]] = [
        ("began", (Span(text(campaign.started, 60), True),)),
        ("ended", (Span(text(ended, 60)),)),
    ]
    if campaign.ended:
        rows.append(("how", (Span(text(campaign.ended, 400)),)))
    rows += [
        ("given", (Span(text(", ".join(campaign.given) or "-", 400), True),)),
        ("targets", (Span(f"{counted.done} of {counted.targets} have an outcome"),)),
        ("runs", (Span(f"{counted.runs}, in {number_of(counted.rounds, 'round')}"),)),
        ("work", (Span(f"{counted.work_s:.0f} s of workers, all targets together"),)),
        ("policy", (Span(text(options.policy_file or options.policy, 200), True),)),
        (
            "workers",
            (Span(text(options.scheduler, 200), True),)
            if options.scheduler
            else (Span(str(options.workers)),),
        ),
        ("rules at its start", (Span(text(campaign.rules_hash[:16] or "none", 40), True),)),
        ("made by", (Span(text(f"triage-tui {campaign.triage_tui}", 60)),)),
    ]
    rows += [
        (text(arch, 40), (Span(text(version, 200), True),))
        for arch, version in list(campaign.emulators.items())[:20]
    ]
    return Section(
        "What came of it", "summary", (Paragraph((Span(_in_a_line(report)),), True), Facts(tuple(rows)))
    )


def _steps(found: list[Gain], names: Mapping[str, str], text: _Text) -> Section:
    blocks: list[Block] = []
    if not found:
        blocks.append(Paragraph((Span("Nothing is left to do: no target needs anything that is known."),)))
    else:
        blocks.append(
            Paragraph(
                (
                    Span(
                        "The step of the largest expected gain comes first. The gain is an estimate: the"
                        " targets that need the same, times how often rules of that kind helped here."
                    ),
                )
            )
        )
    for number, gain in enumerate(found[:MAX_STEPS], 1):
        blocks += [
            Paragraph((Span(f"{number}. {text(gain.says, 400)}."),), True),
            Bullets(
                (
                    *((Span(f"{text(one, 300)}."),) for one in gain.how),
                    (Span("Targets: "), *_named(gain.targets, names)),
                )
            ),
        ]
    if len(found) > MAX_STEPS:
        more = number_of(len(found) - MAX_STEPS, "more step is", "more steps are")
        blocks.append(Paragraph((Span(f"{more} in the JSON report."),)))
    return Section("What to do next", "next", tuple(blocks))


def _named(targets: list[str], names: Mapping[str, str]) -> Words:
    spans: list[Span] = []
    for place, name in enumerate(targets[:MAX_NAMED]):
        spans += [*([Span(", ")] if place else []), Span(names.get(name, name), True, anchor("target", name))]
    if len(targets) > MAX_NAMED:
        spans.append(Span(f" and {len(targets) - MAX_NAMED} more"))
    return (*spans, Span("."))


def _compared(found: Comparison, text: _Text) -> Section:
    counts = tuple(
        TableRow((change, str(found.counts.get(change, 0)))) for change in CHANGES if found.counts.get(change)
    )
    blocks: list[Block] = [
        Paragraph((Span("Against campaign "), Span(text(found.before, 60), True), Span("."))),
        Table(("change", "targets"), counts),
    ]
    if found.notes:
        blocks.append(Bullets(tuple((Span(text(note, 400)),) for note in found.notes)))
    if found.stories:
        rows = tuple(
            TableRow((text(one.key, 160), str(one.before), str(one.after)))
            for one in found.stories[:MAX_STORIES]
        )
        blocks.append(
            Table(("cause", "targets before", "targets now"), rows, "Causes of another number of targets")
        )
    changed = [one for one in found.targets if one.change != "same"]
    if changed:
        cells = tuple(
            TableRow(
                (
                    text(f"{one.group}/{one.name}" if one.group else one.name, 80),
                    one.change + (" (other content)" if one.other_content else ""),
                    text(one.was or "-", 120),
                    text(one.now or "-", 120),
                )
            )
            for one in changed[:MAX_CHANGED]
        )
        left = f"; {len(changed) - MAX_CHANGED} more are left out" if len(changed) > MAX_CHANGED else ""
        blocks.append(Table(("target", "change", "was", "is"), cells, f"Targets that are not the same{left}"))
    return Section("Compared with an earlier campaign", "compared", tuple(blocks))


def _ladder(report: Report, text: _Text) -> Section:
    ladder = report.statistics.ladder
    words = list(dict.fromkeys(word for counts in ladder.values() for word in counts))
    if not ladder:
        return Section("Rungs and verdicts", "rungs", (Paragraph((Span("No target has an outcome yet."),)),))
    rows = tuple(
        TableRow(
            (
                rung_in_words(rung) if rung else "not judged",
                *(str(counts.get(word) or "") for word in words),
                str(sum(counts.values())),
            )
        )
        for rung, counts in ladder.items()
    )
    header = ("highest rung", *(text(word, 40) for word in words), "all")
    return Section(
        "Rungs and verdicts",
        "rungs",
        (Table(header, rows, "Targets by the highest rung that they stood on and the last verdict"),),
    )


def _stories(found: list[Story], names: Mapping[str, str], text: _Text) -> Section:
    if not found:
        return Section("Stories", "stories", (Paragraph((Span("No target stopped for anything."),)),))
    rows = tuple(
        TableRow(
            (
                text(story.key, 160) or "no known cause",
                str(len(story.targets)),
                str(story.programs),
                ", ".join(f"{number} {name}" for name, number in story.standings.items()),
            )
        )
        for story in found[:MAX_STORIES]
    )
    blocks: list[Block] = [
        Table(("cause of the first run", "targets", "programs", "how they stand now"), rows),
    ]
    examples = tuple(
        (*_named(story.targets[:3], names)[:-1], Span(": "), Span(text(story.headline, 400)))
        for story in found[:10]
        if story.headline
    )
    if examples:
        blocks += [Paragraph((Span("What happened in one of each:"),)), Bullets(examples)]
    return Section("Stories", "stories", tuple(blocks))


def _rules(report: Report, text: _Text) -> Section:
    found = report.statistics.rules
    if not found:
        return Section("Rules", "rules", (Paragraph((Span("No rule was tried."),)),))
    rows = tuple(
        TableRow(
            (
                text(rule.title, 120),
                text(rule.template.replace("_", " "), 40),
                str(len(rule.tried)),
                str(len(rule.helped)),
                str(len(rule.hurt)),
                str(rule.neither),
            )
        )
        for rule in found[:MAX_RULES]
    )
    header = ("rule", "kind", "targets tried", "helped", "hurt", "neither")
    return Section("Rules", "rules", (Table(header, rows),))


def _groups(report: Report, text: _Text) -> Section:
    groups = report.statistics.groups
    standings = [name for name in STANDINGS if any(name in counts for counts in groups.values())]
    rows = tuple(
        TableRow(
            (
                text(name, 80) or "-",
                *(str(counts.get(standing) or "") for standing in standings),
                str(sum(counts.values())),
            )
        )
        for name, counts in groups.items()
    )
    return Section("Groups", "groups", (Table(("group", *standings, "all"), rows),))


def _errors(report: Report, text: _Text) -> Section:
    errors = report.statistics.errors
    rows = tuple(TableRow((text(why, 300), str(number))) for why, number in list(errors.items())[:MAX_ERRORS])
    return Section("Not run", "not-run", (Table(("why", "targets"), rows),))


def _unknown(report: Report, text: _Text) -> Section:
    said = [*report.unknown, *report.problems]
    blocks: Iterable[Block] = (
        (Bullets(tuple((Span(f"{text(one, 400)}."),) for one in said)),)
        if said
        else (Paragraph((Span("Every target was run, judged and explained."),)),)
    )
    return Section("What is not known", "unknown", tuple(blocks))


def _targets(report: Report, text: _Text) -> Section:
    rows = tuple(
        TableRow(
            (
                _name(line, text),
                line.standing,
                text(line.word or "-", 40),
                rung_in_words(line.rung) if line.rung else "-",
                text(line.story or "-", 100),
                text(line.runs[-1] if line.runs else "-", 40),
            ),
            anchor("target", line.target),
            True,
        )
        for line in report.targets[:MAX_TARGETS]
    )
    left = len(report.targets) - MAX_TARGETS
    caption = f"{left} more are in the JSON report" if left > 0 else ""
    header = ("target", "stands", "verdict", "rung", "cause of the first run", "run")
    return Section("Targets", "targets", (Table(header, rows, caption),))
