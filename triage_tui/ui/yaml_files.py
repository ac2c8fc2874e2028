"""Reading the user's configuration files; what is wrong is told with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from triage_tui.errors import TriageError
from triage_tui.runs.files import read_bounded, real_path
from triage_tui.text import safe_line

MAX_BYTES = 64 << 10
MAX_DEPTH = 16
"""How deeply lists and mappings may be nested; none of our files needs more than two levels."""
MAX_SCALAR = 1000
"""Characters of one value."""


def read_configured(path: Path) -> bytes:
    """Return the bytes of a file. Links are followed: configuration often is one into a repository.

    Raises:
        TriageError: it cannot be read, is no regular file or is too long.
    """
    return read_bounded(real_path(path), MAX_BYTES, whole=True)


def read_yaml(path: Path) -> Any:
    """Return what a file holds.

    Raises:
        TriageError: it cannot be read, is too long or is no YAML; the sentence names the line.
    """
    return parse_yaml(read_configured(path), path)


def parse_yaml(raw: bytes, path: Path) -> Any:
    """Return what the bytes of the file at `path` mean.

    Raises:
        TriageError: they are no YAML, or hold aliases, deep nesting or very long values; the sentence names
            the file and the line.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    name = safe_line(str(path), 200)
    try:
        depth = 0
        for event in yaml.parse(raw, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            why = ""
            # A few nested aliases are gigabytes once they are written out.
            if isinstance(event, yaml.AliasEvent):
                why = "an alias (*name) cannot be used here: write the value out"
            elif depth > MAX_DEPTH:
                why = f"lists and mappings are nested more than {MAX_DEPTH} levels deep"
            elif isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
                why = f"a value is longer than {MAX_SCALAR} characters"
            if why:
                where = f", line {event.start_mark.line + 1}" if event.start_mark is not None else ""
                raise TriageError(f"{name}{where}: {why}")
        return yaml.load(raw, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark, safe_line(str(error.problem or ""), 120)
        where = f" in line {mark.line + 1}: {problem}" if mark is not None else ""
        raise TriageError(f"{name} is not valid YAML{where}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        raise TriageError(f"{name} is not valid YAML") from None
