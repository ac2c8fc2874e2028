"""Rows of the campaign screen: targets, stories, rules, next steps, what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from triage_tui.runs.verdict_figures import rung_in_words
from triage_tui.text import number_of, safe_line
from triage_tui.ui.rows import BLANK, Part, Row, clip, fit, heading, short, wrap_parts, wrapped

if TYPE_CHECKING:
    from triage_tui.campaign.comparing import Compared, Comparison
    from triage_tui.campaign.gains import Gain
    from triage_tui.campaign.report import TargetLine
    from triage_tui.campaign.statistics import RuleCount, Story
    from triage_tui.ui.campaign_data import CampaignData, Entry

WIDE = 110
"""Cells from which targets have columns for the architecture, the rules and the time."""
_ROLES = {
    "well": "good", "further": "info", "stuck": "warn", "worse": "bad", "unknown": "warn", "refused": "bad",
    "lost": "bad", "cancelled": "muted", "running": "accent", "waiting": "faint",
}  # fmt: skip
_CHANGES = {
    "better": "good", "worse": "bad", "another cause": "warn", "new": "info", "gone": "muted",
    "not known": "faint", "same": "",
}  # fmt: skip
NO_CAUSE = "no known cause"
NOTHING_PASSES = "Nothing passes the filter."
NOT_RUN = ("refused", "lost", "cancelled")
_MOST_NAMED = 6
MAX_STEPS = 60
"""Steps that are laid out at once."""


class What(NamedTuple):
    """What a row stands for: "target", "story", "rule", "gain" or "compared", and which."""

    kind: str
    key: str
    place: int = -1


def name_of(line: TargetLine) -> str:
    """Return what a target is called: its group and its name, safe to show."""
    return safe_line(f"{line.group}/{line.name}" if line.group else line.name, 200)


# --- targets -------------------------------------------------------------------------------------------


def target_head(width: int) -> str:
    """Return the names of the columns of targets."""
    parts = _target_parts(width, "stands", "target", "rung", "cause or reason", _COLUMNS)
    return "".join(text for text, _ in parts)


_COLUMNS = ("arch", "rules", "runs", "time")


def target_row(data: CampaignData, entry: Entry, width: int) -> Row:
    """Return the row of a target, or the heading of a story."""
    if entry.place < 0:
        sign = "▾" if entry.opened else "▸"
        story = _told(entry.heading)
        count = number_of(entry.size, "target")
        room = max(8, width - cell_len(count) - 5)
        parts: tuple[Part, ...] = (
            (f" {sign} ", "accent"),
            (fit(story, room), "heading"),
            (f" {count}", "muted"),
        )
        return Row(parts, What("story", entry.heading), "section", whole=story)
    line = data.lines[entry.place]
    reason = line.story or line.said or ("" if line.standing in ("well", "waiting", "running") else NO_CAUSE)
    helped = sum(rule.helped for rule in line.rules)
    hurt = sum(rule.hurt for rule in line.rules)
    rules = f"+{helped} -{hurt}" if line.rules else ""
    columns = (
        short(line.arch, 20),
        rules,
        str(len(line.runs) or ""),
        f"{line.seconds:.0f} s" if line.seconds else "",
    )
    rung = rung_in_words(line.rung) if line.rung else line.word if line.word == "healthy" else ""
    parts = _target_parts(width, line.standing, name_of(line), short(rung, 40), short(reason, 300), columns)
    role = _ROLES.get(line.standing, "")
    parts = (
        (parts[0][0], role),
        (parts[1][0], "strong" if not entry.heading else ""),
        (parts[2][0], "info"),
        *((text, "muted") for text, _ in parts[3:-1]),
        (parts[-1][0], "" if line.story else "muted"),
    )
    return Row(parts, What("target", line.target, entry.place), whole=f"{name_of(line)} {short(reason, 400)}")


def _told(heading: str) -> str:
    """Return what a heading says."""
    if not heading.startswith("\0"):
        return short(heading, 400)
    standing = heading[1:]
    told = {"well": "well from the start", "running": "at work", "waiting": "not run yet"}
    return told.get(standing, f"not run: {standing}" if standing in NOT_RUN else NO_CAUSE)


def fit_name(name: str, width: int) -> str:
    """Return what a target is called in exactly `width` cells: its group is cut first, its own name last."""
    group, slash, own = name.rpartition("/")
    room = width - cell_len(own) - 1
    if cell_len(name) > width and slash:
        # Where there is no room for both, the own name tells one target of a root from another.
        name = f"{clip(group, room)}/{own}" if room > 1 else own
    return fit(name, width)


def _target_parts(
    width: int, standing: str, name: str, rung: str, reason: str, columns: Sequence[str]
) -> tuple[Part, ...]:
    wide = width >= WIDE
    names = max(16, min(40, width // 4))
    parts: list[Part] = [
        (" " + fit(standing, 10), ""),
        (fit_name(name, names) + " ", ""),
        (fit(rung, 13) + " ", ""),
    ]
    if wide:
        arch, rules, runs, time = columns
        parts += [
            (fit(arch, 9), ""),
            (fit(rules, 8), ""),
            (fit(runs, 5, "right") + " ", ""),
            (fit(time, 7, "right") + "  ", ""),
        ]
    room = max(8, width - sum(cell_len(text) for text, _ in parts))
    parts.append((fit(reason, room), ""))
    return tuple(parts)


# --- stories and rules ---------------------------------------------------------------------------------


def story_head(width: int) -> str:
    """Return the names of the columns of stories."""
    cause = fit("cause of the first run", _cause_room(width))
    return f" {'targets':>7} {'programs':>8}  {cause} how they stand now"


def _cause_room(width: int) -> int:
    return max(10, width - (47 if width >= WIDE else 40))


def story_row(story: Story, width: int) -> Row:
    """Return the row of a story."""
    key = short(story.key, 400) or NO_CAUSE
    told = ", ".join(f"{number} {name}" for name, number in story.standings.items())
    room = _cause_room(width)
    parts: tuple[Part, ...] = (
        (f" {len(story.targets):>7}", "strong"),
        (f" {story.programs:>8}  ", "muted"),
        (fit(key, room), "" if story.key else "muted"),
        (" " + fit(told, max(8, width - room - 21)), "muted"),
    )
    return Row(parts, What("story", story.key), whole=f"{key} {short(story.headline, 400)}")


def rule_head(width: int) -> str:
    """Return the names of the columns of rules."""
    return f" {'tried':>6} {'helped':>7} {'hurt':>5} {'neither':>8}  rule"


def rule_row(rule: RuleCount, width: int, place: int) -> Row:
    """Return the row of a rule."""
    title = short(rule.title, 300)
    kind = short(rule.template.replace("_", " "), 30)
    room = max(8, width - 32 - (24 if width >= WIDE else 0))
    parts: list[Part] = [
        (f" {len(rule.tried):>6}", ""),
        (f" {len(rule.helped):>7}", "good" if rule.helped else "faint"),
        (f" {len(rule.hurt):>5}", "bad" if rule.hurt else "faint"),
        (f" {rule.neither:>8}  ", "muted"),
        (fit(title, room), "strong"),
    ]
    if width >= WIDE:
        parts.append((" " + fit(kind, 23), "muted"))
    return Row(tuple(parts), What("rule", rule.title, place), whole=f"{title} {kind}")


# --- what to do next -----------------------------------------------------------------------------------


def gain_rows(data: CampaignData, found: Sequence[tuple[int, Gain]], width: int) -> list[Row]:
    """Return the next steps with their numbers, the targets behind each, and what is not known."""
    rows: list[Row] = []
    for number, gain in found[:MAX_STEPS]:
        rows += [*([BLANK] if rows else []), *_gain_rows(data, number, gain, width)]
    if len(found) > MAX_STEPS:
        more = f"{len(found) - MAX_STEPS} more are found by / and stand in the report."
        rows += [BLANK, *wrapped(more, width, "muted", 1)]
    if data.unknown:
        rows += [*([BLANK] if rows else []), heading("What is not known", width)]
        for text in data.unknown:
            rows += wrapped(f"{short(text, 500)}.", width, "muted", 1)
    return rows


def _gain_rows(data: CampaignData, number: int, gain: Gain, width: int) -> list[Row]:
    what = What("gain", gain.subject, number)
    role = {"supply": "strong", "drop": "warn", "run": "", "explain": ""}[gain.kind]
    says, how = f"{short(gain.says, 500)}.", short("; ".join(gain.how), 600)
    head: list[Part] = [(f"{number + 1:>3}. ", "accent"), (says, role)]
    names = [
        name_of(data.lines[data.places[name]]) for name in gain.targets[:_MOST_NAMED] if name in data.places
    ]
    more = len(gain.targets) - len(names)
    listed = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    rows = [Row(parts, what, whole=f"{says} {how}") for parts in wrap_parts(head, width - 1, "", "     ")]
    if how:
        rows += [Row(parts, what) for parts in wrap_parts([(how, "muted")], width - 1, "     ", "     ")]
    if listed:
        rows += [Row(parts, what) for parts in wrap_parts([(listed, "info")], width - 1, "     ", "     ")]
    return rows


# --- comparison ----------------------------------------------------------------------------------------


def compared_summary(found: Comparison, width: int, *, none_passes: bool = False) -> list[Row]:
    """Return what changed in sum; `none_passes` says that the filter lets no target through."""
    told = ", ".join(f"{number} {change}" for change, number in found.counts.items()) or "nothing to compare"
    rows = wrapped(f"Against campaign {short(found.before, 60)}: {told}.", width, "strong", 1)
    for note in found.notes:
        rows += wrapped(short(note, 300), width, "muted", 1)
    if found.stories:
        rows.append(heading("Causes of another number of targets", width))
    for one in found.stories[:20]:
        sign, role = ("+", "bad") if one.after > one.before else ("-", "good")
        text = f" {sign}{abs(one.after - one.before):<6} {one.before:>6} to {one.after:<6} "
        rows.append(Row(((text, role), (clip(short(one.key, 300), max(8, width - len(text))), ""))))
    rows.append(heading("Targets", width))
    return rows + (wrapped(NOTHING_PASSES, width, "muted", 1) if none_passes else [])


def compared_row(one: Compared, width: int, place: int) -> Row:
    """Return the row of a target that is another one than it was."""
    name = short(f"{one.group}/{one.name}" if one.group else one.name, 200)
    names = max(16, min(40, width // 4))
    change = one.change + (" *" if one.other_content else "")
    told = f"{short(one.was, 120) or '-'} → {short(one.now, 120) or '-'}"
    parts: tuple[Part, ...] = (
        (" " + fit(change, 16), _CHANGES.get(one.change, "")),
        (fit_name(name, names) + " ", "strong"),
        (fit(told, max(8, width - names - 18)), "muted"),
    )
    return Row(parts, What("compared", one.after or one.before, place), whole=f"{name} {told}")


# --- bars ----------------------------------------------------------------------------------------------


def progress_bar(standings: Mapping[str, int], total: int, cells: int) -> list[Part]:
    """Return a bar of `cells` in which each standing has its share, and at least one where it is there."""
    order = ("well", "further", "stuck", "unknown", "worse", "refused", "lost", "cancelled", "running")
    there = [name for name in order if standings.get(name, 0)][:cells]
    sizes = {name: max(1, round(cells * standings[name] / max(1, total))) for name in there}
    # Rounding must neither fill the bar while some wait nor leave it open when none does.
    left = round(cells * sum(standings[name] for name in there) / max(1, total))
    if standings.get("waiting", 0):
        left = min(left, cells - 1)
    while sizes and (over := sum(sizes.values()) - max(left, len(sizes))):
        largest = max(sizes, key=lambda name: sizes[name])
        sizes[largest] -= 1 if over > 0 else -1
    parts = [(("░" if name == "running" else "█") * size, _ROLES[name]) for name, size in sizes.items()]
    if (rest := cells - sum(sizes.values())) > 0:
        parts.append(("·" * rest, "faint"))
    return parts
