"""JSON Schemas of what the commands print with `--json`, generated from the types that are printed.

`python -m triage_tui.cli.command_schemas` writes them into docs/schemas, one a command. A schema is of one
line: commands that print several objects print one a line.
"""

from __future__ import annotations

from typing import Any

import msgspec

from triage_tui.campaign.model import Progress
from triage_tui.cli.bisect import BisectedTold
from triage_tui.cli.campaign import CampaignTold
from triage_tui.cli.campaign_list import CampaignListed
from triage_tui.cli.campaign_listing import ListedLeftOut, ListedTarget
from triage_tui.cli.counterfactual import CounterfactualTold
from triage_tui.cli.diagnose import Rediagnosed
from triage_tui.cli.edit import Edited
from triage_tui.cli.export import Exports
from triage_tui.cli.golden import GoldenChecked, GoldenListed, GoldenMade
from triage_tui.cli.import_bundle import Imported
from triage_tui.cli.minimise import MinimisedTold
from triage_tui.cli.policy import PolicyTold
from triage_tui.cli.results import Approved, Decided, Failed, Moved, Said, Undiagnosed
from triage_tui.cli.rounds import RoundsTold
from triage_tui.cli.show import Shown
from triage_tui.cli.stable import StableExported, StableListed, StableShown, StableTested
from triage_tui.cli.watch import Watched
from triage_tui.retry.tracing.model import Trace
from triage_tui.retry.trials.each_rule import EachRule
from triage_tui.rulebook.check.findings import Finding
from triage_tui.rulebook.check.recorded import Matched
from triage_tui.runs.listing import RunSummary
from triage_tui.runs.schema import publish
from triage_tui.runs.writer import encode_json

PREFIX = "command-"
"""What the names of these schemas begin with, besides those of files."""

_SUMMARY = {field.name: field.type for field in msgspec.structs.fields(RunSummary)}
_STORY = {"story": str, "seen": int, "folded": int, "score": int}
Listed = msgspec.defstruct(
    "Listed", [*{"run_id": str, "dir": str, **_SUMMARY, **_STORY}.items()], kw_only=True
)
"""A line of `list`: what a summary of a run has, where the run is, and its story."""
_WATCHED = {field.name: field.type for field in msgspec.structs.fields(Watched)}
WatchedRun = msgspec.defstruct("WatchedRun", [*{**_SUMMARY, **_WATCHED}.items()], kw_only=True)
"""A line of `watch`: the same, and what happened."""


class Hunk(msgspec.Struct, kw_only=True):
    """A hunk of a proposed rule file; lines count from 1."""

    number: int
    key: str
    old_start: int
    new_start: int
    removed: list[str]
    added: list[str]


class PatchFile(msgspec.Struct, kw_only=True):
    """A proposed rule file against what is active, or the `problem` for which it cannot be read."""

    file: str
    problem: str | None = None
    source: str = ""
    does: str = ""
    recorded: Matched | None = None
    findings: list[Finding] = []
    sha256: str = ""
    active_sha256: str | None = None
    not_exact: list[str] = []
    hunks: list[Hunk] = []


class Patch(msgspec.Struct, kw_only=True):
    """What a run proposes: `show RUN --section patch`."""

    run_id: str
    state: str
    files: list[PatchFile]


COMMANDS: dict[str, tuple[type, ...]] = {
    "approve": (Approved,),
    "bisect": (BisectedTold,),
    "campaign": (Progress, CampaignTold),
    "campaign-list": (CampaignListed,),
    "campaign-targets": (ListedTarget, ListedLeftOut),
    "counterfactual": (CounterfactualTold,),
    "decide": (Decided,),
    "diagnose": (Rediagnosed, Undiagnosed),
    "edit": (Edited,),
    "error": (Failed,),
    "export": (Exports,),
    "freeze": (Said,),
    "golden-add": (GoldenMade,),
    "golden-check": (GoldenChecked,),
    "golden-list": (GoldenListed,),
    "import": (Imported,),
    "list": (Listed,),
    "minimise": (MinimisedTold,),
    "policy": (PolicyTold,),
    "reject": (Decided,),
    "resume": (RoundsTold, Decided),
    "retry": (RoundsTold, EachRule),
    "rollback": (Decided, Moved),
    "run": (RoundsTold,),
    "sfemu-ask": (Said,),
    "sfemu-plugin": (Said,),
    "show": (Shown,),
    "show-patch": (Patch,),
    "stable-drop": (Said,),
    "stable-export": (StableExported,),
    "stable-list": (StableListed,),
    "stable-show": (StableShown,),
    "stable-test": (StableTested,),
    "trace": (Trace,),
    "watch": (WatchedRun,),
}
"""Command -> the types of its lines; `error` is the last line of any that was not carried out."""


def schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a line that a command, a key of `COMMANDS`, prints."""
    schemas, definitions = msgspec.json.schema_components(COMMANDS[command], ref_template="#/$defs/{name}")
    one = schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"triage-tui {command} --json",
        **one,
        "$defs": definitions,
    }
    # As it is read again: a default may be a tuple.
    found: dict[str, Any] = msgspec.json.decode(encode_json(document))
    return found


if __name__ == "__main__":
    publish({f"{PREFIX}{name}": schema(name) for name in COMMANDS})
