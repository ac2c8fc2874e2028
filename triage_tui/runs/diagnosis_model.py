"""The content of `diagnosis.json`: hypotheses with evidence, and the proposals made from them."""

from __future__ import annotations

from typing import Literal

import msgspec

from triage_tui.runs.record import Record

DIAGNOSIS_SCHEMA_VERSION = 1

Risk = Literal["low", "medium", "high"]


class Evidence(Record):
    """One piece of evidence: a link (see `runs.evidence`) and one sentence on what it shows."""

    link: str
    says: str
    supported: bool = True
    """False when the link did not resolve: the claim is shown as unsupported."""


class Opinion(Record):
    """What a model says of a hypothesis that is not its own. It changes nothing of that hypothesis."""

    model: str
    confidence: float
    """The model's own figure, capped; not calibrated."""
    explanation: str = ""
    evidence: list[Evidence] = []
    contrary: list[Evidence] = []


class Hypothesis(Record):
    """One explanation of the failure. `confidence` is between 0 and 1."""

    cause: str
    proximate: str
    confidence: float
    title: str
    explanation: str = ""
    """One paragraph; may hold `[text](ev:...)` links."""
    evidence: list[Evidence] = []
    contrary: list[Evidence] = []
    wanted: list[str] = []
    source: Literal["kb", "model"] = "kb"
    """Who says so. The confidence of a model is its own word, capped and not calibrated."""
    model: str = ""
    """Name of the model, where that is the source."""
    opinion: Opinion | None = None
    """A model's second opinion on a hypothesis of the knowledge base."""
    entry: str = ""
    origin: str = ""
    """File of the entry where that is a person's own, the home directory as ~; "" for one that shipped."""
    below: list[Evidence] = []
    """Why it is ranked below the best hypothesis: what set them apart, most telling first."""
    parameters: dict[str, str] = {}
    signature: str = ""
    """The cause and what it is about, by which the same failure is known again in another run: nothing in it
    depends on addresses or on the build. "" in older records, and where a model is the source."""
    proposals: list[str] = []


class Proposal(Record):
    """One rule patch: what it changes, what it costs, how it is undone."""

    id: str
    hypothesis: int
    template: str
    title: str
    intent: str
    effect: str
    risk: Risk
    risk_text: str
    inverse: str
    files: list[str]
    """Names below `rules_patch/`, "fix/syscall/openat.lua"."""
    hit_limit: int = 0
    needs_input: str | None = None
    """What a person must supply first; a proposal that needs something is never applied unfilled."""
    observe_only: bool = False
    source: Literal["kb", "model", "pack", "trial", "sfemu"] = "kb"
    """Whose idea it is. What a model, a pack, a trial or SFEmu proposes is only ever approved by a person who
    names it."""
    removes: dict[str, str] = {}
    """Path and SHA-256 of active rules of the target that it takes out; what it has in `files` it adds."""
    origin: str = ""
    """File of the template where that is a person's own, the home directory as ~; "" for one that shipped."""
    ranked: str = ""
    """Why it stands before the next one for the same cause; "" for the last."""
    not_on_sfemu: str = ""
    """Of a run of SFEmu: why it acts only where triage-tui itself runs the program; "" for one that acts."""


EXPERIMENT_KINDS = (
    "observe",
    "memory",
    "probe",
    "input",
    "code",
    "longer",
    "full_trace",
    "verbose",
    "again",
)
"""`observe`: a rule that only watches calls; `memory`: more memory; `probe`: a question to the service;
`input`: a line on standard input; `code`: the code of the frame that decided; `longer`: more time;
`full_trace`: every call kept; `verbose`: an option of the program's own that makes it say more; `again`: the
same once more with everything kept, where nothing else can be tried."""


class Experiment(Record):
    """Something that can be tried to be surer of the cause, best first in `Diagnosis.experiments`.

    It is for reading: whoever carries one out derives it from the record again, and takes nothing from here.
    """

    id: str
    kind: str
    """One of `EXPERIMENT_KINDS`; a record of another version may have others."""
    says: str
    """What is done, one sentence without a final full stop."""
    why: str = ""
    what_it_would_tell: str = ""
    """Which hypotheses it tells apart, and by what."""
    parameters: dict[str, str] = {}
    cost: str = ""
    """What it takes, in words."""
    gain: float = 0.0
    """Bits that it is expected to tell about the cause, 0..1."""
    hypotheses: list[int] = []
    """Numbers, from 0, of the hypotheses of which the knowledge base says that it would settle them."""


class DerivationStep(Record):
    """One step from what the end shows back to the root cause."""

    role: str
    """What the step is in the derivation: "what the end shows", "the failed call behind it"."""
    says: str
    link: str


class Diagnosis(Record):
    """What was concluded about one run; hypotheses best first."""

    run_id: str
    scene: str
    headline: str
    healthy: bool = False
    hypotheses: list[Hypothesis] = []
    scene_kind: str = ""
    """Which analyzer derived the first hypothesis: "wait loop", "missing resource", ..."""
    derivation: list[DerivationStep] = []
    """How the first hypothesis follows from the end."""
    proposals: list[Proposal] = []
    kb_sha256: str = ""
    kb_problems: list[str] = []
    """One sentence for each entry or file of the knowledge base that was left out because of a mistake."""
    record_problems: list[str] = []
    """One sentence for each thing that the record lacks, or says in two ways."""
    unknown_next: str | None = None
    """When no cause is known: the experiment that would tell most."""
    experiments: list[Experiment] = []
    """What can be tried where the cause is not sure, best first."""
    analysis: str = ""
    """Directory of the model's analysis that is part of this, below the run; "" without one. The diagnosis
    without it is kept there."""
    schema_version: int = msgspec.field(default=DIAGNOSIS_SCHEMA_VERSION)
