"""The rules of a target that are active now, read for setting a proposal beside them."""

from __future__ import annotations

from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook.kinds import KINDS
from triage_tui.rulebook.places import target_directory
from triage_tui.runs.files import inside, read_bounded

MAX_RULE_BYTES = 256 << 10
_MAX_RULES = 256


def active_directory(workspace: Path, target_id: str) -> Path | None:
    """Return the directory of the active generation of a target, None when no rule is active."""
    if not target_id:
        return None
    try:
        rulebook = workspace / "rulebook"
        current = inside(rulebook, f"{target_directory(rulebook, target_id).name}/current")
    except TriageError:
        return None
    return current if current.is_dir() else None


def rule_id(text: str) -> str | None:
    """Return the `id` of a rule's header, if the first lines have one."""
    for line in text[:4096].split("\n")[:20]:
        if line.startswith("-- id:"):
            return line.removeprefix("-- id:").strip()
    return None


def active_rules(directory: Path | None) -> dict[str, str]:
    """Return the active rule texts, raw: each by its file name, and by "id:" and the id of its header."""
    texts: dict[str, str] = {}
    if directory is None:
        return texts
    for path in sorted(path for kind in KINDS for path in (directory / kind).glob("*.lua"))[:_MAX_RULES]:
        try:
            text = read_bounded(path, MAX_RULE_BYTES).decode("utf-8", "backslashreplace")
        except TriageError:
            continue
        texts[path.name] = text
        if (name := rule_id(text)) is not None:
            texts[f"id:{name}"] = text
    return texts


def rule_replaced(active: dict[str, str], name: str, text: str) -> str | None:
    """Return the active text that the proposed rule file `name` would replace, None for a new rule."""
    return active.get(f"id:{rule_id(text)}", active.get(name.rsplit("/", 1)[-1]))
