"""The program of a rule directory, under one name: SFEmu records neither its path nor its bytes."""

from __future__ import annotations

import os
import re
import secrets

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded
from triage_tui.sfemu.rules_dir import RulesDirectory
from triage_tui.text import safe_name

TARGET_FILE = "target_id"
"""In our workspace beside its records."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,80}\Z")


def known_id(rules: RulesDirectory) -> str:
    """Return the name under which its runs and rules belong together, "" where none is kept yet."""
    try:
        found = read_bounded(rules.home / TARGET_FILE, 200).decode("ascii", "replace").strip()
    except TriageError:
        return ""
    return found if _ID.match(found) else ""


def target_id(rules: RulesDirectory) -> str:
    """Return the name under which runs and rules of this directory belong together.

    It is made when it is first asked for and kept beside the records, so that it stays the same when the
    directory is moved.

    Raises:
        TriageError: it cannot be kept.
    """
    path = rules.home / TARGET_FILE
    for _ in range(2):
        if path.exists():
            found = read_bounded(path, 200).decode("ascii", "replace").strip()
            if _ID.match(found):
                return found
            raise TriageError(f"{path} holds no name of a target: remove it, another one is made then")
        made = f"{safe_name(rules.root.name)[:40] or 'sfemu'}-{secrets.token_hex(4)}"
        temporary = path.with_name(f".{TARGET_FILE}.{secrets.token_hex(4)}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(made + "\n", encoding="ascii")
            # Of two processes that make one, the first wins.
            os.link(temporary, path)
        except FileExistsError:
            continue
        except OSError as error:
            raise TriageError(f"{path} cannot be written: {error.strerror}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return made
    return target_id(rules)
