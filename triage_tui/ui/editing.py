"""Editing a rule's text in the person's own editor."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import subprocess
import time
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.text import safe_block, safe_line, safe_name

MAX_EDIT_BYTES = 256 << 10
_AT_ONCE_S = 2.0
_DIGEST = re.compile(r"[0-9a-f]{12}")

_WAITS = {
    **dict.fromkeys(("code", "code-insiders", "codium", "cursor", "windsurf", "zed", "zeditor"), "--wait"),
    **dict.fromkeys(("subl", "sublime_text", "gedit", "gnome-text-editor"), "--wait"),
    **dict.fromkeys(("gvim", "mvim"), "-f"),
    "kate": "--block",
    "mate": "-w",
}
"""Editors with windows, and what makes each come back only when the text is closed."""


def editor_command() -> list[str]:
    """Return the command of $VISUAL or $EDITOR, or vi; one with windows is told to wait.

    Raises:
        TriageError: the variable cannot be split into words.
    """
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        words = shlex.split(text) or ["vi"]
    except ValueError as error:
        raise TriageError(f"$EDITOR is not a command ({error}): correct it and try again") from None
    wait = _WAITS.get(Path(words[0]).name)
    return words if wait is None or set(words) & {*_WAITS.values(), "--nofork"} else [*words, wait]


def draft_path(run_id: str, name: str, text: str) -> Path:
    """Return where an edit of `text` lies until it is saved: in $XDG_STATE_HOME/triage-tui/edits."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    run = safe_name(run_id, 40)
    return Path(base) / "triage-tui" / "edits" / f"{run}-{digest}-{safe_name(name.rsplit('/', 1)[-1], 120)}"


def draft_of(run_id: str, name: str, text: str) -> str | None:
    """Return the edit of `text` that was kept, None when there is none that is another text."""
    try:
        draft = read_bounded(draft_path(run_id, name, text), MAX_EDIT_BYTES).decode(
            "utf-8", "surrogateescape"
        )
    except TriageError:
        return None
    return draft if draft != text else None


def earlier_draft(run_id: str, name: str, text: str) -> Path | None:
    """Return the last edit of the file that was kept and is of another text than `text`, if there is one."""
    own = draft_path(run_id, name, text)
    start, end = f"{safe_name(run_id, 40)}-", f"-{safe_name(name.rsplit('/', 1)[-1], 120)}"
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for path in own.parent.iterdir():
            digest = path.name.removeprefix(start).removesuffix(end)
            if path != own and path.name == f"{start}{digest}{end}" and _DIGEST.fullmatch(digest):
                found.append((path.lstat().st_mtime, path))
    return max(found)[1] if found else None


def kept_where(run_id: str, name: str, text: str, edited: str) -> str:
    """Keep an edit of `text` that could not be saved; return in words where it is, or why it is nowhere."""
    path = draft_path(run_id, name, text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(path, edited.encode("utf-8", "surrogateescape"), mode=0o600)
    except OSError as error:
        return f"and the edit could not be kept either ({error.strerror or type(error).__name__})"
    return f"the edit is kept in {safe_line(str(path), 300)}"


def forget_draft(run_id: str, name: str, text: str) -> None:
    """Remove the edit of `text` that was kept, if there is one."""
    with contextlib.suppress(OSError):
        draft_path(run_id, name, text).unlink(missing_ok=True)


def edit_outside(text: str, name: str, run_id: str = "") -> str | None:
    """Let the editor change `text` in a private file; return the new text, None if unchanged.

    The file stays until `forget_draft`: an edit that was not taken, whatever the reason, is what the editor
    opens the next time.

    Raises:
        TriageError: no editor; it ended with an error; it came back at once, so that it may still be open;
            the result is too long or not UTF-8.
    """
    command = editor_command()
    path = draft_path(run_id, name, text)
    original = text.encode("utf-8", "surrogateescape")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        read_bounded(path, MAX_EDIT_BYTES)
    except TriageError:
        path.unlink(missing_ok=True)
        write_atomic(path, original, mode=0o600)
    began = time.monotonic()
    try:
        code = subprocess.run([*command, str(path)], check=False).returncode
    except OSError as error:
        raise TriageError(
            f"the editor {safe_line(command[0], 80)} cannot be started ({error.strerror}): set $EDITOR"
        ) from error
    raw = read_bounded(path, MAX_EDIT_BYTES + 1)
    if raw == original:
        if code == 0 and time.monotonic() - began < _AT_ONCE_S and _has_windows(command):
            raise TriageError(
                "the editor came back at once: if it is open in a window, save there and press e again"
            )
        path.unlink(missing_ok=True)
        if code != 0:
            raise TriageError(f"the editor ended with {code}, and nothing was changed")
        return None
    kept = "so the edit was not taken; it is kept, and e opens it again"
    if code != 0:
        raise TriageError(f"the editor ended with {code}, {kept}")
    if len(raw) > MAX_EDIT_BYTES:
        raise TriageError(f"the edited rule has more than {MAX_EDIT_BYTES} bytes, {kept}")
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raise TriageError(f"the edited rule is not UTF-8 text, {kept}") from None
    return raw.decode("utf-8")


def _has_windows(command: list[str]) -> bool:
    """Tell whether the editor may have a window of its own: those of terminals come back when they end."""
    return Path(command[0]).name not in ("vi", "vim", "nvim", "nano", "micro", "hx", "kak", "ed", "true")


def editable_here(text: str) -> bool:
    """Tell whether `text` can be shown in an editing widget, and given back, exactly as it is."""
    lines = text.count("\n")
    plain = text.replace("\t", "    ")
    if lines and text.count("\r\n") == lines:
        plain = plain.replace("\r\n", "\n")
    return len(text) <= MAX_EDIT_BYTES and safe_block(plain, max_lines=10_000) == plain
