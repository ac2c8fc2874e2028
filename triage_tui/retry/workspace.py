"""Where runs and rulebooks lie: one directory holds `ai_runs/` and `rulebook/`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.foreign import foreign_places, foreign_runs, is_home, looked_into
from triage_tui.runs.ids import is_run_id
from triage_tui.sfemu import rules_dir
from triage_tui.text import safe_line

if TYPE_CHECKING:
    from triage_tui.runs.reader import Run

_AWAY = "{rules} cannot be written: what is read of it here is kept in {home}"
ENVIRONMENT_VARIABLE = "TRIAGE_TUI_WORKSPACE"


class Workspace(msgspec.Struct, frozen=True):
    """A directory of runs and of the rules that were approved for their targets."""

    root: Path

    @classmethod
    def at(cls, directory: str | Path | None, *, made: bool = False) -> Workspace:
        """Return the workspace at `directory`, else at $TRIAGE_TUI_WORKSPACE, else here.

        In a rule directory of SFEmu it is the one that lies beside SFEmu's own records.

        Raises:
            TriageError: there is no such directory, and it is not `made` by what is done next.
        """
        try:
            root = Path(directory or os.environ.get(ENVIRONMENT_VARIABLE) or ".").absolute()
        except FileNotFoundError:
            raise TriageError("the current directory is gone: name a workspace with -C") from None
        if not made and not root.is_dir():
            shown = safe_line(str(root), 200)
            what = f"{shown} is no directory" if root.exists() else f"there is no directory {shown}"
            raise TriageError(f"{what}: name an existing one with -C")
        if (found := rules_dir.find(root)) is not None:
            root = rules_dir.made_home(found)
            if not root.is_relative_to(found.root):
                print(safe_line(_AWAY.format(rules=found.root, home=root), 900), file=sys.stderr)
        if (root / "rulebook" / ".pending").exists():
            # Here begins a program: what a killed one left is settled before anything is read.
            from triage_tui.retry.settling import settle

            settle(root)
        return cls(root)

    @property
    def runs_dir(self) -> Path:
        """Directory of the run records."""
        return self.root / "ai_runs"

    @property
    def rulebook(self) -> Path:
        """Directory of the rules that were approved, one directory a target, and of their audit log."""
        return self.root / "rulebook"

    @property
    def running_dir(self) -> Path:
        """Directory in which processes say that they supervise a running guest."""
        return self.root / "running"

    def rulebook_dir(self, target_id: str) -> Path:
        """Directory of the rule generations of one target."""
        # The first frame needs no rules.
        from triage_tui.rulebook.places import target_directory

        return target_directory(self.rulebook, target_id)

    @property
    def shared_dir(self) -> Path:
        """Directory of the rule generations that act for every target."""
        from triage_tui.rulebook.places import shared_directory

        return shared_directory(self.rulebook)

    def run_dir(self, run_id: str) -> Path:
        """Return the directory of a run, given its id, a unique ending of it, or "last".

        Raises:
            TriageError: there is no such run, or several.
        """
        found = self._all_run_dirs()
        if run_id == "last":
            if not found:
                if is_home(self.root):
                    shown = safe_line(", ".join(looked_into(self.runs_dir)), 500)
                    raise TriageError(f"there is no run in {shown} yet: SFEmu records them there")
                raise TriageError(
                    f"there is no run in {safe_line(str(self.runs_dir))} yet: start one with `triage-tui run`"
                )
            return self._taken_in(found[0])
        matching = [path for path in found if path.name == run_id] or [
            path for path in found if run_id and path.name.endswith(run_id)
        ]
        if len(matching) == 1:
            return self._taken_in(matching[0])
        if matching:
            raise TriageError(
                f"{len(matching)} runs end in {safe_line(run_id, 40)!r}: give more of the run id"
            )
        hint = "" if is_run_id(run_id) else " (a run id looks like 20260131_020000_00000001, or say `last`)"
        raise TriageError(
            f"there is no run {safe_line(run_id, 60)!r} in {safe_line(str(self.runs_dir))}{hint}"
        )

    def _all_run_dirs(self) -> list[Path]:
        """Return the directories of all runs, newest first: ours, and SFEmu's that were not taken in yet."""
        from triage_tui.runs.listing import run_dirs

        own = run_dirs(self.runs_dir)
        others = foreign_runs(self.runs_dir, {path.name for path in own})
        return sorted([*own, *others.values()], key=lambda path: path.name, reverse=True) if others else own

    def _taken_in(self, run_dir: Path) -> Path:
        """Return the record of ours of a run, which is brought up to date where SFEmu recorded it."""
        if not foreign_places(self.runs_dir):
            return run_dir
        from triage_tui.sfemu.following import ensure

        return ensure(self.root, run_dir.name)

    def take_in(self, seconds: float) -> int:
        """Take in what SFEmu recorded beside this, newest first, for so long; return how many are left."""
        if not foreign_places(self.runs_dir):
            return 0
        from triage_tui.sfemu.following import take_in

        return take_in(self.root, seconds)

    def check_writable(self) -> None:
        """Make the directory of the runs, so that a guest is not run for nothing.

        Raises:
            TriageError: runs cannot be written there.
        """
        try:
            self.runs_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.runs_dir) as probe:
                probe.write(bytes(4096))
                probe.flush()
        except OSError as error:
            raise TriageError(
                f"runs cannot be written in {safe_line(str(self.runs_dir))}: {error.strerror}; "
                "choose another workspace with -C DIR"
            ) from error

    def load(self, run_id: str) -> Run:
        """Read a run by id; see `run_dir` and `load_run` for what may be wrong."""
        from triage_tui.runs.reader import load_run

        return load_run(self.run_dir(run_id))
