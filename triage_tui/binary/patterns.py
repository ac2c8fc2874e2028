"""Regular expressions from outside: with RE2, whose time is linear in the text."""

from __future__ import annotations

from typing import Any

from triage_tui.errors import TriageError
from triage_tui.text import safe_line

_MEMORY = 8 << 20


def compiled(pattern: str) -> Any:
    """Return a compiled expression.

    Raises:
        TriageError: it is none, or one that RE2 does not have (look-around, back-references).
    """
    import re2

    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except (re2.error, UnicodeError) as error:
        # The library says why in bytes.
        said = error.args[0] if error.args else ""
        why = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise TriageError(
            f"{safe_line(pattern, 80)!r} is no RE2 expression: {safe_line(why, 120)}"
        ) from error
