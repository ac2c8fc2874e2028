"""The bars of the campaign screen: how far it is, and its views."""

from __future__ import annotations

from triage_tui.ui.campaign_data import CampaignData, pace
from triage_tui.ui.campaign_rows import progress_bar
from triage_tui.ui.campaign_views import VIEWS, CampaignPlace
from triage_tui.ui.rows import short
from triage_tui.ui.widgets.bar import Item

Items = tuple[list[Item], list[Item]]
"""What stands at the left, and at the right."""


def progress_items(data: CampaignData | None, width: int) -> Items:
    """Return how far a campaign is, on a screen of `width` cells."""
    if data is None:
        return [], []
    counted = data.statistics
    bar = progress_bar(counted.standings, counted.targets, max(8, min(30, width // 8)))
    # What goes on now comes first: where there is little room the end is cut.
    names = sorted(counted.standings, key=lambda name: name != "running")
    told = ", ".join(f"{counted.standings[name]} {name}" for name in names) or "no targets"
    left = [Item(" "), *(Item(text, role) for text, role in bar), Item(f" {told}")]
    speed = pace(data)
    right = [Item(f"{speed} ", "info")] if speed else []
    if data.state.problems:
        right.append(Item("read with problems ", "bad"))
    return left, right


def view_items(data: CampaignData | None, place: CampaignPlace, width: int) -> Items:
    """Return the views with what each has, and how the targets are shown, on a screen of `width` cells."""
    counts: dict[str, int] = {}
    note: list[str] = []
    if data is not None:
        counts = {
            "targets": len(data.lines),
            "stories": len(data.statistics.stories),
            "rules": len(data.statistics.rules),
            "next": len(data.gains),
            "compared": sum(one.change != "same" for one in data.comparison.targets)
            if data.comparison
            else 0,
        }
        if place.view == "targets":
            shown = len(place.shown(data))
            note += [short(place.title, max(10, min(40, width - 72)))] if place.only is not None else []
            note += [place.order] if place.order != "as given" else []
            note += [f"{shown} of these"] if shown != len(data.lines) else []
    items: list[Item] = []
    for number, (name, label) in enumerate(VIEWS, 1):
        here = name == place.view
        fill, action = "cursor" if here else "", f"screen.view('{name}')"
        count = f"{counts[name]} " if counts.get(name) else ""
        items.append(Item(f" {number} ", "key" if here else "faint", action, fill))
        items.append(Item(f"{label} ", "strong" if here else "muted", action, fill))
        items.append(Item(count, "faint", action, fill))
    return items, [Item(f"{', '.join(note)} ", "info")] if note else []
