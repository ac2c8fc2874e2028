"""Which proposed rules changed since a person looked at them, and at which lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from triage_tui.rulebook.hunks import compare, digest_of

MAX_RUNS = 32
"""Runs whose texts are remembered; those looked at last."""


class Looked:
    """The texts of proposed rules as they were when a person first had them on the screen, run by run.

    A text that is another one later counts as looked at once it is accepted, or when the person wrote it.
    """

    def __init__(self) -> None:
        self._before: dict[str, dict[str, bytes]] = {}
        self._now: dict[str, dict[str, bytes]] = {}
        self._own: set[str] = set()

    def write(self, text: bytes) -> None:
        """Note a text that the person writes, or brings back: it needs no second look."""
        self._own.add(digest_of(text))

    def take(self, run_id: str, texts: Mapping[str, bytes]) -> list[str]:
        """Take the texts as they are now; return the files that changed since they were taken last."""
        before, last = self._before.pop(run_id, {}), self._now.pop(run_id, {})
        changed = []
        for file, text in texts.items():
            if file not in before or digest_of(text) in self._own:
                before[file] = text
            elif text not in (before[file], last.get(file)):
                changed.append(file)
        self._before[run_id], self._now[run_id] = before, {**last, **texts}
        for oldest in list(self._before)[:-MAX_RUNS]:
            del self._before[oldest], self._now[oldest]
        return changed

    def accept(self, run_id: str, files: Iterable[str]) -> None:
        """Count the texts of some files, as they are now, as looked at."""
        for file in files:
            if file in self._now.get(run_id, {}):
                self._before[run_id][file] = self._now[run_id][file]

    def changes(self, run_id: str, file: str) -> dict[int, int]:
        """Return where a text changed since it was looked at.

        Maps the index of the first line of each change to its number of lines; 0 means that lines which
        stood before that index are gone. The index may be one behind the last line.
        """
        before, now = self._before.get(run_id, {}).get(file), self._now.get(run_id, {}).get(file)
        if before is None or now is None or before == now:
            return {}
        return {hunk.new_start: hunk.added for hunk in compare(before, now).hunks}
