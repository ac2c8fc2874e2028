"""What the views may ask to be done, and the guard that makes read-only mode hold below them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, cast

from triage_tui.errors import TriageError

if TYPE_CHECKING:
    from pathlib import Path

    from triage_tui.export.exporting import Wanted
    from triage_tui.rulebook.choices import Approval
    from triage_tui.runs.analysis_model import Progress

Decision = Literal["resume", "retry", "checkpoint", "end"]


class Actions(Protocol):
    """The changes a person can make. Every method may block and is called from a worker thread.

    Each returns one sentence that says what was done, and raises `TriageError` with one sentence otherwise.
    """

    def approve(self, run_id: str, files: list[str], seen: str = "", *, anyway: bool = False) -> str:
        """Activate the rule files (relative to `rules_patch/`) of a run as a new generation.

        `seen` is the state in which the person saw the run: refused when somebody decided since. Refused as
        well where a rule gets in the way of active ones, unless the person wants it `anyway`.
        """

    def approve_shown(self, run_id: str, approvals: Sequence[Approval], *, anyway: bool = False) -> str:
        """Activate rule texts that a person saw; refused when a file is another by now. `anyway` as above."""

    def approve_smaller(self, run_id: str, proposal_id: str) -> str:
        """Activate the smaller set of rules that trials found: some are taken out, others are narrower."""

    def reject(self, run_id: str, reason: str, seen: str = "") -> str:
        """Reject the proposals of a run for `reason`; `seen` as for `approve`."""

    def drop(self, run_id: str, names: Sequence[str], reason: str) -> str:
        """Note that some files or hunks of a run are not wanted, and why."""

    def reconsider(self, run_id: str) -> str:
        """Take back what was rejected or dropped last in a run."""

    def undo_approval(self, run_id: str) -> str:
        """Take back the last approval on a run that was made through these actions, if it is still active."""

    def rollback(self, run_id: str, seen: int | None = None) -> str:
        """Move the target of a run back to the generation before the active one.

        `seen` is the generation that the person saw active: refused when another one is by now.
        """

    def go_to_generation(self, target: str, number: int, reason: str = "", seen: int | None = None) -> str:
        """Make any generation of a target, or of all ("shared"), the active one; 0: no rule.

        `seen` is the generation that the person saw active: refused when another one is by now.
        """

    def import_pack(self, path: Path, sha256: str, *, unsigned: bool = False) -> str:
        """Keep the pack of a file that was shown, by its SHA-256; the one from before stays when it fails."""

    def propose_pack(self, run_id: str, name: str) -> str:
        """Propose the rules of an imported pack on a run."""

    def save_edit(self, run_id: str, relpath: str, text: str, expect: str | None = None) -> str:
        """Replace the text of one proposed rule file; `expect` is the SHA-256 of the text that was edited."""

    def decide(self, run_id: str, action: Decision) -> str:
        """Tell the holder of the frozen guest what to do with it."""

    def add_log(self, run_id: str, path: Path) -> str:
        """Put a log from elsewhere beside a run, lined up by its times."""

    def retry(self, run_id: str, *, checkpoint: bool = False) -> str:
        """Run the target again in the background, when no holder of the run is alive to do it.

        With `checkpoint` it goes on from where the run was frozen.
        """

    def await_retry(self, run_id: str, unwanted: threading.Event) -> str:
        """Return when the retry of a run came to something, or waiting for it is `unwanted`."""

    def stop_retry(self, run_id: str) -> str:
        """Have a retry end that is under way, or is about to begin."""

    def freeze(self) -> str:
        """Have the guest that was started last frozen and recorded."""

    def decompile(self, run_id: str, frame: int, cancel: threading.Event) -> str:
        """Decompile the function of a frame and keep the text in the record; `cancel` ends it."""

    def diagnose(self, run_id: str) -> str:
        """Diagnose a recorded run again, with the knowledge base as it is now."""

    def experiment(
        self, run_id: str, wanted: str, cancel: threading.Event, tell: Callable[[str], None]
    ) -> str:
        """Carry out an experiment on a run, "" for the best, and say what was learnt.

        `tell` is told how far it is; `cancel` ends it.
        """

    def counterfactual(
        self, run_id: str, files: Sequence[str], cancel: threading.Event, tell: Callable[[str], None]
    ) -> str:
        """Run the same start without and with rule files of a run, and keep what was seen.

        `tell` is told how far it is; `cancel` ends both.
        """

    def read_memory(self, run_id: str, address: int) -> str:
        """Read memory of the frozen guest that was not kept, and add it to the record."""

    def ask_model(
        self,
        run_id: str,
        cancel: threading.Event,
        tell: Callable[[str], None],
        watch: Callable[[Progress], None],
    ) -> str:
        """Ask the model that is set up about a run; `cancel` ends it.

        `tell` is told each step, `watch` how far it is about once a second.
        """

    def note_point(self, run_id: str, tool: str, texts: dict[str, str]) -> str:
        """Note or change a suspicious point of a run with a tool that writes; `texts` are its fields."""

    def begin_rollout(self, run_id: str, file: str) -> str:
        """Begin the rollout of a rule file that a run proposes: it is observed first."""

    def promote_rollout(self, rollout: str, anyway: str = "") -> str:
        """Bring a rollout to its next stage; `anyway` is why although its criteria are not met."""

    def stop_rollout(self, rollout: str, reason: str) -> str:
        """Stop a rollout: its rule leaves every place that it was put to."""

    def renew_rules(self, target_id: str) -> str:
        """Make the rules of a target active again that were set aside."""

    def export(
        self,
        run_ids: Sequence[str],
        wanted: Wanted,
        directory: Path | None,
        cancel: threading.Event,
        tell: Callable[[str], None],
    ) -> str:
        """Write runs into `directory` (None: `exports/` of the workspace); `tell` is told how far it is."""


ACTIONS = frozenset(name for name in vars(Actions) if not name.startswith("_"))
"""The names of all actions."""
READ_ONLY = "This view is read-only: start triage-tui without --read-only to decide."


def deferred(make: Callable[[], Actions]) -> Actions:
    """Return actions that are made when first asked for: their imports do not delay the first frame."""
    return cast("Actions", _Deferred(make))


def refusing() -> Actions:
    """Return actions of which each says in one sentence why nothing is changed."""
    return cast("Actions", _Refusing())


# Both stand for whatever `Actions` has, so that a new action is deferred, and refused, without a line here.


class _Deferred:
    def __init__(self, make: Callable[[], Actions]) -> None:
        self._make = make
        self._made: Actions | None = None
        self._making = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        _check(name)

        def act(*arguments: Any, **named: Any) -> Any:
            # Two workers may ask at once; what was decided is remembered in the object, so there is one.
            with self._making:
                if self._made is None:
                    self._made = self._make()
            return getattr(self._made, name)(*arguments, **named)

        return act


class _Refusing:
    def __getattr__(self, name: str) -> Any:
        _check(name)

        def refuse(*_: Any, **__: Any) -> NoReturn:
            raise TriageError(READ_ONLY)

        return refuse


def _check(name: str) -> None:
    if name not in ACTIONS:
        raise AttributeError(f"there is no action {name!r}")
