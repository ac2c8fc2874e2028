"""What worker threads tell the screen. Workers never touch a widget: they post one of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from triage_tui.campaign.following import Follower
    from triage_tui.retry.inspecting.recorded_code import RecordedCode
    from triage_tui.rulebook.check.findings import Finding
    from triage_tui.rulebook.check.recorded import Matched, OtherRuns
    from triage_tui.runs.analysis_model import Progress as AnalysisProgress
    from triage_tui.runs.evidence import Resolved
    from triage_tui.runs.listing import RunSummary
    from triage_tui.runs.trials_model import Counterfactual
    from triage_tui.ui.campaign_data import CampaignData
    from triage_tui.ui.comparison.compare import Comparison
    from triage_tui.ui.insight import Insight
    from triage_tui.ui.panes.base import Pane
    from triage_tui.ui.panes.code import Function
    from triage_tui.ui.run_view import RunView
    from triage_tui.ui.screens.progress import Progress
    from triage_tui.ui.screens.review import Decided
    from triage_tui.ui.screens.several import QueueProgress
    from triage_tui.ui.several import Outcome


@dataclass(eq=False, repr=False)
class RunsListed(Message):
    """All runs of the workspace were listed."""

    runs: list[RunSummary]


@dataclass(eq=False, repr=False)
class RunsUpdated(Message):
    """Some runs changed; None stands for one that is gone."""

    runs: dict[str, RunSummary | None]
    files_changed: bool = True
    """False when only the holders of frozen guests were looked at again."""


@dataclass(eq=False, repr=False)
class RunLoaded(Message):
    """A run was read. Of two readings of one run, the one with the higher `serial` began later."""

    view: RunView
    serial: int = 0


@dataclass(eq=False, repr=False)
class RunFailed(Message):
    """A run could not be read; `sentence` says why."""

    run_id: str
    sentence: str


@dataclass(eq=False, repr=False)
class MemoryRead(Message):
    """More memory of a frozen guest was read, or could not be; `link` leads to it."""

    run_id: str
    link: str
    sentence: str
    failed: bool = False


@dataclass(eq=False, repr=False)
class Done(Message):
    """An action ended. `sentence` is for the person; `pane` is where to look now; `decided` can be undone.

    `undone` is what it undid, and `again` says that `decided` was undone before.
    """

    sentence: str
    failed: bool = False
    run_id: str = ""
    pane: str | None = None
    decided: Decided | None = None
    undone: Decided | None = None
    again: bool = False


@dataclass(eq=False, repr=False)
class RetryOver(Message):
    """A retry that was asked for here is over; `trouble` says why it never began."""

    run_id: str
    trouble: str = ""


@dataclass(eq=False, repr=False)
class LookedInto(Message):
    """What is known of the proposed rules of a run was found out."""

    view: RunView
    insights: dict[str, Insight]


@dataclass(eq=False, repr=False)
class Matching(Message):
    """Looking at other runs has come so far."""

    done: int
    count: int


@dataclass(eq=False, repr=False)
class OthersMatched(Message):
    """A rule was held against its run and other runs; None when that failed, for the reason `trouble`."""

    run_id: str
    file: str
    here: Matched | None
    others: OtherRuns | None
    findings: list[Finding]
    """What is wrong with the rule once it is run over the calls of its run."""
    trouble: str = ""


@dataclass(eq=False, repr=False)
class Linted(Message):
    """What is wrong with a text under edit; `trouble` says why that is not known."""

    findings: list[Finding]
    trouble: str = ""


@dataclass(eq=False, repr=False)
class Decompiled(Message):
    """The decompiler ended; `sentence` says with what."""

    run_id: str
    frame: int
    sentence: str
    failed: bool = False


@dataclass(eq=False, repr=False)
class Peeked(Message):
    """What a link of a run points to was looked up; `pane` shows it at the mouse, None in a sheet."""

    view: RunView
    found: Resolved
    pane: Pane | None = None
    text: str = ""
    """The link."""


@dataclass(eq=False, repr=False)
class ProgramsRead(Message):
    """The program files of a run were read."""

    run_id: str
    programs: RecordedCode


@dataclass(eq=False, repr=False)
class FunctionFound(Message):
    """Code that was followed to, in process `pid`; or the sentence that says why there is none."""

    run_id: str
    pid: int | None
    function: Function | None
    sentence: str = ""


@dataclass(eq=False, repr=False)
class Compared(Message):
    """Two runs were compared."""

    found: Comparison


@dataclass(eq=False, repr=False)
class GoesOn(Message):
    """A long action (an export, a decision on several runs) goes on; `far` says how far it is."""

    progress: Progress | QueueProgress
    far: str


@dataclass(eq=False, repr=False)
class Exported(Message):
    """An export ended; `sentence` says with what."""

    sentence: str
    failed: bool = False


@dataclass(eq=False, repr=False)
class Experimented(Message):
    """An experiment on a run ended; `sentence` says what was learnt, or why nothing was."""

    run_id: str
    sentence: str
    failed: bool = False


@dataclass(eq=False, repr=False)
class FuturesSeen(Message):
    """Both futures of rules of a run were seen; None where they were not, for the reason `sentence`."""

    run_id: str
    files: list[str]
    found: Counterfactual | None
    sentence: str = ""


@dataclass(eq=False, repr=False)
class ModelTold(Message):
    """The model that is asked about a run took a step, or goes on: a line, or how far it is."""

    run_id: str
    line: str = ""
    progress: AnalysisProgress | None = None


@dataclass(eq=False, repr=False)
class Asked(Message):
    """The model was asked about a run; `sentence` says what came of it."""

    run_id: str
    sentence: str
    failed: bool = False


@dataclass(eq=False, repr=False)
class SeveralDone(Message):
    """A decision on several runs has ended; `reason` is that of a rejection."""

    progress: Progress | QueueProgress
    outcome: Outcome
    reason: str = ""


@dataclass(eq=False, repr=False)
class Trouble(Message):
    """Something in the background does not work."""

    sentence: str


@dataclass(eq=False, repr=False)
class CampaignRead(Message):
    """A campaign was read by the one who follows it; `note` says what could not be, "" for nothing."""

    follower: Follower
    data: CampaignData
    note: str = ""


@dataclass(eq=False, repr=False)
class CampaignFailed(Message):
    """A campaign cannot be read; `sentence` says why."""

    follower: Follower
    sentence: str
