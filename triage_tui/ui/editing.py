"""Editing a rule's text in the person's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.text import safe_block, safe_line, safe_name

MAX_EDIT_BYTES = 256 << 10


def editor_command() -> list[str]:
    """Return the command of $VISUAL or $EDITOR, or vi.

    Raises:
        TriageError: the variable cannot be split into words.
    """
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        return shlex.split(text) or ["vi"]
    except ValueError as error:
        raise TriageError(f"$EDITOR is not a command ({error}): correct it and try again") from None


def edit_outside(text: str, name: str) -> str | None:
    """Let the editor change `text` in a private temporary file; return the new text, None if unchanged.

    Raises:
        TriageError: no editor, it ended with an error (then the edit is discarded), or the result is too
            long or not UTF-8.
    """
    command = editor_command()
    with tempfile.TemporaryDirectory(prefix="triage-tui-") as directory:
        path = Path(directory) / safe_name(name.rsplit("/", 1)[-1])
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        try:
            code = subprocess.run([*command, str(path)], check=False).returncode
        except OSError as error:
            raise TriageError(
                f"the editor {safe_line(command[0], 80)} cannot be started ({error.strerror}): set $EDITOR"
            ) from error
        if code != 0:
            raise TriageError(f"the editor ended with {code}, so the edit was discarded")
        raw = path.read_bytes()
    if len(raw) > MAX_EDIT_BYTES:
        raise TriageError(f"the edited rule has more than {MAX_EDIT_BYTES} bytes, so the edit was discarded")
    try:
        edited = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise TriageError("the edited rule is not UTF-8 text, so the edit was discarded") from None
    return None if edited == text else edited


def editable_here(text: str) -> bool:
    """Tell whether `text` can be shown in an editing widget exactly as it is."""
    plain = text.replace("\t", "    ")
    return len(text) <= MAX_EDIT_BYTES and safe_block(plain, max_lines=10_000) == plain
