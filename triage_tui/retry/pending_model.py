"""A decision as it is written down before it is carried out, see `pending`."""

from __future__ import annotations

import re
from typing import Literal

from triage_tui.runs.record import Record

PENDING_DIR = ".pending"
"""In the rulebook; no target's directory can begin with a dot."""
MAX_BYTES = 64 << 10
MAX_PENDING = 256
"""Decisions that are settled at once."""

Kind = Literal["approve", "roll_back", "edit", "note", "judge", "move", "expire", "renew", "rollout"]
"""What is decided; "note" is anything that is one event of a run and its line in the audit log, "judge" is
what is said of a round once it is recorded. "expire" and "renew" are about a target and no run, and so is
"move", which goes to another generation and tells every run whose rules come or go by that. "rollout" is
about the rollout that `file` names."""

MOVES = ("approve", "roll_back", "expire", "renew")
"""Kinds after which another generation is active."""

PUBLISHED = (*MOVES, "move", "rollout")
"""Kinds after which what is published for another engine has to follow."""

CHANGE = re.compile(r"[0-9a-f]{16}")


class Pending(Record, kw_only=True):
    """A decision under way.

    `change` is its name, which its events and its line in the audit log carry. `file` and `sha256` are those
    of an edit: the rule file of the run, and the text that it gets. `judged` is the run that a judgement is
    on, where `run` is the one that it retries. A move has no run; its `target` is the name of a directory.
    """

    kind: Kind
    change: str
    run: str
    target: str
    actor: str
    file: str = ""
    sha256: str = ""
    before: str = ""
    judged: str = ""
