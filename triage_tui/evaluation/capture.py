"""Run a case once, as `triage-tui run` does, and keep the run: a later evaluation only diagnoses it again."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from triage_tui import __version__
from triage_tui.errors import TriageError
from triage_tui.evaluation.corpus import PROGRAM_PATH, Case
from triage_tui.evaluation.packages import cached, evaluation_dir
from triage_tui.evaluation.product import run_product
from triage_tui.evaluation.rootfs import build_root
from triage_tui.guest.cell.policy import EXECUTIONS
from triage_tui.guest.emulator.qemu import qemu_version
from triage_tui.retry.start import read_start
from triage_tui.runs.ids import is_run_id
from triage_tui.runs.reader import load_run
from triage_tui.setup.cache import publish, staging

MIN_TIME_LIMIT_S = 25.0
"""A round lasts at least so long before it is frozen for its length alone: loops show up late."""
EXEC_POLICY = "refuse"
"""The labels tell what happens on a host without binfmt_misc, where no program of a guest is executed."""
HANG_S = 120.0
"""How much longer than its time limit a run may take before it is ended: probing and capturing take time."""
_LEFT_S = 86400.0


class Engine(msgspec.Struct, frozen=True):
    """What runs the cases: a run that another engine captured is not taken for one of this."""

    emulators: Path
    version: str


def engine_of(emulators: Path) -> Engine:
    """Return the engine with the emulators in a directory, with its version."""
    first = min(emulators.glob("qemu-*-static"), default=None)
    version = qemu_version(first) if first is not None else "unknown"
    return Engine(emulators=emulators, version=f"triage-tui {__version__}, QEMU {version}")


def captured_dir(case: Case, engine: Engine) -> Path:
    """Return where the run of a case is kept: a workspace, named after what decides how the run goes."""
    return evaluation_dir() / "runs" / f"{case.id}-{case.key(engine.version)}"


def captured_run(case: Case, engine: Engine) -> Path | None:
    """Return the directory of the kept run of a case, None when there is none."""
    found = _kept_run(case, engine)
    return found if found is not None and _goes_as_labelled(found) else None


def _kept_run(case: Case, engine: Engine) -> Path | None:
    runs = captured_dir(case, engine) / "ai_runs"
    found = sorted(path for path in runs.glob("*") if is_run_id(path.name)) if runs.is_dir() else []
    return found[0] if found else None


def _goes_as_labelled(run_dir: Path) -> bool:
    """Return whether a kept run was started with EXEC_POLICY, or cannot be told from one that was.

    That is one whose calls are all there, and which executed no program: nothing was asked of that policy.
    """
    with contextlib.suppress(TriageError):
        if read_start(run_dir).exec_policy == EXEC_POLICY:
            return True
    try:
        run = load_run(run_dir)
    except TriageError:
        # Whoever diagnoses it says that it is damaged.
        return True
    calls, counts = run.trace(), run.snapshot.statistics
    if len(calls) < counts.syscalls or counts.log_bytes_passed_over:
        return False
    return not any(call.name in EXECUTIONS and call.ret == 0 for call in calls)


def capture(case: Case, engine: Engine, cancel: threading.Event) -> Path:
    """Prepare a case, run it once without approving anything, keep the run, and return its directory.

    Raises:
        TriageError: it cannot be prepared or run; nothing of it is kept.
    """
    place = captured_dir(case, engine)
    with prepared(case) as (root, workspace, stdin):
        run_product(
            run_command(case, root, workspace, stdin), engine.emulators, time_limit(case) + HANG_S, cancel
        )
        if not any((workspace / "ai_runs").glob("*")):
            raise TriageError("the run left no record")
        shutil.rmtree(place, ignore_errors=True)
        publish(workspace, place)
    found = _kept_run(case, engine)
    assert found is not None
    return found


@contextmanager
def prepared(case: Case) -> Iterator[tuple[Path, Path, Path]]:
    """Yield the root file system of a case, an empty workspace and the file for its input; gone afterwards.

    Raises:
        TriageError: it cannot be prepared.
    """
    work_dir = evaluation_dir()
    work_dir.mkdir(parents=True, exist_ok=True)
    with staging(work_dir) as work:
        files = [file for spec in case.packages if (file := cached(spec)) is not None]
        if len(files) != len(case.packages):
            raise TriageError("its packages are not all there")
        root, workspace, stdin = work / "root", work / "workspace", work / "input"
        build_root(root, files, case.prepare)
        if case.input is not None:
            stdin.write_bytes(case.input)
        workspace.mkdir()
        yield root, workspace, stdin


def remove_leftovers() -> None:
    """Remove what evaluations that were killed left half-made, a day ago or earlier."""
    for path in evaluation_dir().glob("tmp-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _LEFT_S:
                shutil.rmtree(path, ignore_errors=True)


def time_limit(case: Case) -> float:
    """Return after how many seconds a round of `case` is frozen for its length alone."""
    return max(MIN_TIME_LIMIT_S, case.timeout + MIN_TIME_LIMIT_S / 2)


def run_command(
    case: Case, root: Path, workspace: Path, stdin: Path, *, rounds: int = 1, options: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs a prepared case without a person; in one round nothing is approved."""
    command = [sys.executable, "-m", "triage_tui", "run", "-C", str(workspace), "--json", *options]
    command += ["--policy", "auto", "--rounds", str(rounds), "--rootfs", str(root), "--cwd", case.cwd]
    command += ["--user", str(case.uid), "--time-limit", f"{time_limit(case):g}", "--exec", EXEC_POLICY]
    for name, value in (PROGRAM_PATH | case.env).items():
        command += ["--env", f"{name}={value}"]
    for name in case.network:
        command += ["--interface", name] if name != "lo" else []
    command += [f"--qemu-arg={word}" for word in case.qemu_args]
    # Where nothing is open at 0, the emulator's own files would be; a null device is the nearest thing.
    given = "null" if case.stdin == "closed" else str(case.stdin)
    command += ["--stdin", str(stdin) if case.input is not None else given]
    return [*command, "--", *case.words] if case.words[0].startswith("-") else [*command, *case.words]
