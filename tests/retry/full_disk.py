"""`python -m tests.retry.full_disk DIRECTORY`: decide on a tmpfs with little room, and print what came of it.

Run in name spaces of its own (`unshare --map-root-user --mount`), where it may mount. One JSON object: "ends"
counts how decisions ended, "wrong" names those that left neither the old state nor the new one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.retry.decisions import FILES, actions, check_nothing_left, copied, found, text_of, workspace_at
from triage_tui.errors import TriageError
from triage_tui.retry.rules import proposed
from triage_tui.retry.sharing import rollout as rolling
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook.rollouts import record

PAGE = 4096
SIZE = 4 << 20


def fill(path: Path, left: int) -> None:
    """Take all room of the file system but `left` pages."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(handle, bytes(PAGE))
    except OSError:
        size = os.fstat(handle).st_size // PAGE * PAGE
        os.ftruncate(handle, max(0, size - left * PAGE))
    finally:
        os.close(handle)


def begun(root: Path, rule: str) -> str:
    """Begin a rollout."""
    return rolling.begin(Workspace.at(root), rule, stage="one").id


def state_of(root: Path, run_id: str) -> object:
    """Return what the next program finds: of the run, of its rules, and of the rollouts."""
    rulebook = Workspace.at(root).rulebook
    rollouts = [record.read(rulebook, one) for one in record.rollout_ids(rulebook)]
    acts = [place for one in rollouts for place in one.placed if record.has_rule(rulebook / place, one)]
    return found(root, run_id), [(one.id, one.stage, one.state) for one in rollouts], acts


def main() -> None:
    """Decide with 0, 1, 2, ... pages of room until there is enough."""
    for check in ("check_rule", "first_error"):
        setattr(proposed, check, lambda *_: None)
    disk = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)], check=True)
    vars(rolling)["check_named"] = lambda _workspace, rules, **_: {rule.name: [] for rule in rules}
    template = disk / "template"
    run_id = workspace_at(template)
    rolling.begin(Workspace.at(template), f"{run_id}:{FILES[2]}", stage="one")
    actions(template).approve(run_id, [FILES[0]])
    (under_way,) = record.rollout_ids(template / "rulebook")
    decisions: dict[str, Callable[[Path], str]] = {
        "approve": lambda root: actions(root).approve(run_id, [FILES[1]]),
        "rollback": lambda root: actions(root).rollback(run_id),
        "reject": lambda root: actions(root).reject(run_id, "no"),
        "edit": lambda root: actions(root).save_edit(run_id, FILES[2], text_of("read", 3).decode()),
        "begin": lambda root: begun(root, f"{run_id}:{FILES[1]}"),
        "promote": lambda root: rolling.promote(Workspace.at(root), under_way, anyway="try").id,
        "stop": lambda root: rolling.stop(Workspace.at(root), under_way, "no").id,
    }
    ends: Counter[str] = Counter()
    wrong = []
    for name, decide in decisions.items():
        for left in range(40):
            root = copied(template, disk / "w")
            old = state_of(root, run_id)
            fill(disk / "filler", left)
            said = ""
            try:
                decide(root)
            except TriageError as error:
                said = str(error)
            (disk / "filler").unlink()
            now = state_of(root, run_id)
            # What is stopped, but not everywhere, is by the next program, which had room.
            took_place = not said or "but not everywhere" in said
            if (now != old) != took_place or (said and "No space left on device" not in said):
                wrong.append(f"{name} with {left} pages: {said or 'done'}")
            check_nothing_left(root)
            ends["refused" if said else "done"] += 1
            shutil.rmtree(root)
            if not said and left > 8:
                break
    print(json.dumps({"ends": ends, "wrong": wrong}))


if __name__ == "__main__":
    main()
