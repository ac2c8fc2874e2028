"""Which panes share which tile of the main screen. Imported after the first frame is painted."""

from __future__ import annotations

from textual.containers import Vertical

from triage_tui.ui.panes.backtrace import BacktracePane
from triage_tui.ui.panes.code import CodePane
from triage_tui.ui.panes.diagnosis import DiagnosisPane
from triage_tui.ui.panes.history import HistoryPane
from triage_tui.ui.panes.memory import MemoryPane
from triage_tui.ui.panes.patch import PatchPane
from triage_tui.ui.panes.process import ProcessPane
from triage_tui.ui.panes.registers import RegistersPane
from triage_tui.ui.panes.retry import RetryPane
from triage_tui.ui.panes.syscalls import SyscallsPane
from triage_tui.ui.widgets.tile import Tile


def columns() -> list[Vertical]:
    """Return the two columns of tiles: what is said at the left, the machine at the right."""
    story = Tile(DiagnosisPane(), PatchPane(), RetryPane(), HistoryPane(), id="tile-story")
    calls = Tile(SyscallsPane(), ProcessPane(), id="tile-calls")
    stack = Tile(BacktracePane(), RegistersPane(), id="tile-stack")
    code = Tile(CodePane(), MemoryPane(), id="tile-code")
    return [Vertical(story, calls, id="left"), Vertical(stack, code, id="right")]
