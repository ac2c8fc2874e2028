"""In which order the proposals for one cause stand, and what each says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runs.build import a_proposal
from triage_tui.language.catalogue import load_language
from triage_tui.proposals.ranking import Candidate, rank
from triage_tui.proposals.template_form import After
from triage_tui.proposals.templates import load_library
from triage_tui.resources import shipped


def candidate(name: str, *, carrier: str = "syscall", files: bool = True, **fields: Any) -> Candidate:
    """A proposal that gives made-up answers by a rule for calls at low risk."""
    proposal = a_proposal(
        name,
        *([f"fix/{carrier}/openat@{name}.lua"] if files else []),
        template=name,
        title=f"Do {name}",
        risk=fields.pop("risk", "low"),
        observe_only=fields.pop("observe_only", False),
        needs_input=fields.pop("needs_input", None),
    )
    return Candidate(proposal, fields.pop("gives", "answer"), fields.pop("undone", "at_once"), **fields)


BETTER_FIRST = [
    ({"carrier": "start", "risk": "high"}, {"observe_only": True}, "it acts, and the other only watches"),
    ({"risk": "high"}, {"needs_input": "the key"}, "it can be approved as it is"),
    (
        {"gives": "real", "carrier": "start", "risk": "high"},
        {"gives": "made"},
        "it gives the program the real thing; the other makes the thing up, but it is there",
    ),
    ({"risk": "high"}, {"carrier": "plugin"}, "a rule for calls costs less than a table of a plugin"),
    ({"carrier": "plugin"}, {"carrier": "start"}, "costs less than a setting of the start"),
    ({"carrier": "plugin"}, {"files": False}, "costs less than a setting of the start"),
    ({"calls": 40}, {"risk": "medium"}, "its risk is low, and that of the other medium"),
    ({"calls": 2, "undone": "next_start"}, {"calls": 40}, "it is for 2 recorded calls, and the other for 40"),
    ({}, {"undone": "next_start"}, "it is undone at once, and the other with the next start"),
    ({}, {}, "they are alike, and the knowledge base names it first"),
]


@pytest.mark.parametrize(("better", "worse", "why"), BETTER_FIRST)
def test_what_counts_first_decides_whatever_comes_behind(
    better: dict[str, Any], worse: dict[str, Any], why: str
) -> None:
    orders = [(better, worse)] if better == worse else [(better, worse), (worse, better)]
    for fields in orders:
        names = {id(one): "better" if one is better else "worse" for one in fields}
        first, second = rank([candidate(names[id(one)], **one) for one in fields])
        assert (first.id, second.id) == ("better", "worse") or better == worse
        assert first.ranked.startswith(f"before “{second.title}”: ")
        assert why in first.ranked
        assert second.ranked == ""
        told = load_language("zh").sentence(first.ranked)
        assert "排在" in told
        assert "before" not in told


def test_a_template_stands_behind_others_because_it_says_so() -> None:
    after = (After(templates=["answers", "table"], because="programs fail at it"),)
    real = candidate("real", gives="real", carrier="start", after=after)
    found = rank(
        [real, candidate("table", carrier="plugin"), candidate("answers"), candidate("last", risk="high")]
    )
    assert [one.id for one in found] == ["answers", "last", "table", "real"]
    assert found[2].ranked == "before “Do real”: programs fail at it"
    # Without those it stands where it belongs, and two that want the same stand as if they said nothing.
    assert [one.id for one in rank([candidate("x"), real])] == ["real", "x"]
    either = candidate("either", gives="real", after=(After(templates=["or"], because="b"),))
    other = candidate("or", after=(After(templates=["either"], because="b"),))
    assert [one.id for one in rank([other, either])] == ["either", "or"]
    # What only a person can complete is not waited for.
    asks = candidate("answers", needs_input="it")
    assert [one.id for one in rank([asks, real])] == ["real", "answers"]


def test_the_order_of_the_shipped_entries_is_told_by_their_templates() -> None:
    """A made-up interface stands behind answers for it although it is there; what only watches is last."""
    library = load_library()
    seen = {}
    for path in sorted(Path(shipped("rules")).glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text()).get("entries", []):
            templates = [library.templates[name] for name in entry.get("proposals", [])]
            found = [
                candidate(
                    one.id,
                    carrier="syscall" if one.lua else "plugin" if one.plugin else "start",
                    files=bool(one.lua or one.plugin or one.start),
                    risk=one.risk,
                    observe_only=one.observe,
                    needs_input=one.needs_input,
                    gives=one.gives,
                    undone=one.undone,
                    after=one.after,
                )
                for one in templates
            ]
            order = seen[entry["id"]] = [one.id for one in rank(found)]
            assert sorted(order) == sorted(entry.get("proposals", []))
            watching = [library.templates[name].observe for name in order]
            assert watching == sorted(watching), entry["id"]
    assert seen["missing-interface"][:3] == ["interface_answers", "interface_table", "add_interface"]
    assert any(order[:2] == ["hardware_clock", "open_device"] for order in seen.values())
    assert any(order[:2] == ["start_as_root", "identity_root"] for order in seen.values())
