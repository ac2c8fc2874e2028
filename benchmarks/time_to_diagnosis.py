"""From the moment at which a guest is frozen to the moment at which a person can read why."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import print_table
from benchmarks.terminal import Terminal
from triage_tui.runs.reader import load_run
from triage_tui.setup import ensure_program, ensure_qemu, known_programs

_HERE = Path(__file__).resolve().parents[1]
_ROUNDS = 7
# All of these programs miss something, and nothing but a diagnosis on the screen says so in this word.
_CAUSE = "missing_"
_PROGRAMS = ("udhcpc-mipsel", "xl2tpd-arm64", "haveged-armhf")


def _measure(name: str, workspace: Path) -> tuple[float, float]:
    """Let one program fail beside the open app; returns seconds from the freeze to file and to screen."""
    workspace.mkdir()
    program = known_programs()[name]
    command = [sys.executable, "-m", "triage_tui", "run", "-C", str(workspace)]
    command += ["--rootfs", str(ensure_program(name)), *program.argv]
    with Terminal([sys.executable, "-m", "triage_tui", "-C", str(workspace)], _HERE) as app:
        app.wait_for("No runs yet")
        log = workspace / "supervisor.log"
        with log.open("wb") as output:
            supervisor = subprocess.Popen(
                command, cwd=_HERE, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            app.wait_for(_CAUSE)
            shown = time.time()
        except RuntimeError as error:
            raise RuntimeError(f"{error}; the supervisor said: {log.read_text(errors='replace')}") from error
        finally:
            supervisor.terminate()
            supervisor.wait()
    [run_dir] = (workspace / "ai_runs").glob("[0-9]*")
    trigger = load_run(run_dir).snapshot.trigger
    frozen = trigger.ts_sec + trigger.ts_nsec / 1e9
    return (run_dir / "diagnosis.json").stat().st_mtime - frozen, shown - frozen


def main() -> None:
    """Measure and print."""
    ensure_qemu()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(_ROUNDS):
            for name in _PROGRAMS:
                written, shown = _measure(name, Path(scratch) / f"{name}-{number}")
                seconds.setdefault(f"{name}: diagnosis.json written", []).append(written)
                seconds.setdefault(f"{name}: diagnosis in the app", []).append(shown)
    print_table("From the freeze to the diagnosis", seconds)


if __name__ == "__main__":
    main()
