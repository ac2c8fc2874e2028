"""Following code on the main screen: from a line to what it calls, from a call to what made it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

from textual import on

from triage_tui.errors import TriageError
from triage_tui.ui.messages import FunctionFound, ProgramsRead
from triage_tui.ui.screens.links import LinkScreen

if TYPE_CHECKING:
    from triage_tui.retry.inspecting.recorded_code import RecordedCode
    from triage_tui.runs.model import Syscall
    from triage_tui.ui.panes.backtrace import BacktracePane
    from triage_tui.ui.panes.memory import MemoryPane
    from triage_tui.ui.panes.registers import RegistersPane
    from triage_tui.ui.panes.syscalls import SyscallsPane
    from triage_tui.ui.run_view import RunView

MAX_STACK = 4096
"""Bytes of a frame's stack that are highlighted."""


class FollowScreen(LinkScreen):
    """The part of the main screen that knows the program files of a run."""

    _programs: tuple[str, int | None, RecordedCode] | None = None
    """Run, process and its program files: those of one process, they may be large."""

    def __init__(self) -> None:
        super().__init__()
        self._choosing = threading.Lock()

    def _programs_of(self, view: RunView, pid: int | None) -> RecordedCode:
        """Return the program files of a process; they are read when they are asked. For worker threads."""
        from triage_tui.retry.inspecting.recorded_code import RecordedCode

        with self._choosing:
            if self._programs is None or self._programs[:2] != (view.run_id, pid):
                self._programs = (view.run_id, pid, RecordedCode(view.run, pid))
            return self._programs[2]

    def on_code_pane_wanted(self) -> None:
        """The code is looked at: find out what its lines lead to."""
        view, known = self.view, self.code.known
        if view is None or known is None or known.view is not view or known.programs is not None:
            return

        def work() -> None:
            programs = self._programs_of(view, None)
            programs.read_all()
            self.post_message(ProgramsRead(view.run_id, programs))

        self.run_worker(work, thread=True, group="programs", exclusive=True, exit_on_error=False)

    @on(ProgramsRead)
    def programs_read(self, event: ProgramsRead) -> None:
        """Show the links of the code."""
        if self.view is not None and event.run_id == self.view.run_id:
            self.code.take_programs(event.programs)
            self.refresh_bars()

    # --- from code to code -------------------------------------------------------------------------------

    def follow_address(self, address: int) -> None:
        """Show the code at an address (odd for Thumb code): that of a frame, or of a program file."""
        view = self.view
        if view is None:
            return
        plain = address & ~1 if view.snapshot.target.arch.startswith("arm") else address
        if not self.code.show_address(plain):
            self._disassemble(view, address)

    def _disassemble(
        self,
        view: RunView,
        address: int,
        pid: int | None = None,
        *,
        is_return: bool = False,
        about: str = "",
        link: str = "",
    ) -> None:
        def work() -> None:
            from triage_tui.ui.panes.code import Function
            from triage_tui.ui.program_code import code_text

            try:
                found = self._programs_of(view, pid).function(address, is_return=is_return)
                made = Function(found.address, found.name, code_text(found), about, link)
                self.post_message(FunctionFound(view.run_id, pid, made))
            except TriageError as error:
                self.post_message(FunctionFound(view.run_id, pid, None, str(error)))
            except Exception as error:
                # A program file that defeats the reader must not take the review down.
                name = type(error).__name__
                self.post_message(FunctionFound(view.run_id, pid, None, f"this code cannot be read ({name})"))

        self.run_worker(work, thread=True, group="function", exclusive=True, exit_on_error=False)

    @on(FunctionFound)
    def function_found(self, event: FunctionFound) -> None:
        """Show a function, or say why there is none and stay where the link was."""
        if self.view is None or event.run_id != self.view.run_id:
            return
        if event.function is None:
            self.say(f"{event.sentence[:1].upper()}{event.sentence[1:]}.", "warning")
            if self.trail:
                self.action_go_back()
            return
        if self.active != "code":
            self.show_pane("code")
        self.code.show_function(event.function)
        self.tile_titles()
        self.refresh_bars()

    # --- from calls to code ------------------------------------------------------------------------------

    def action_call_code(self) -> None:
        """Go from the call under the cursor to the code that made it."""
        view, call = self.view, cast("SyscallsPane", self.pane("syscalls")).call
        if view is None or call is None:
            self.say("Select a call first.")
            return
        snapshot = view.snapshot
        if call.seq == snapshot.trigger.seq and snapshot.backtrace.frames:
            self.follow("ev:code/0" if 0 in view.code else "ev:frame/0")
            return
        backtrace = cast("BacktracePane", self.pane("backtrace"))
        if (row := backtrace.blocked_in(call.seq)) is not None:
            self.note_place(backtrace)
            self.show_pane("backtrace")
            self.call_after_refresh(backtrace.mark, row)
            return
        place = call.pc if call.pc is not None else call.return_address
        if place is None:
            self.say(
                f"The record does not say where syscall {call.seq} was made: it has that only of calls that"
                " were held."
            )
            return
        if (later := _replaced(view, call)) is not None:
            self.say(
                f"Syscall {call.seq} was made by another program: process {call.pid} became the one that is"
                f" known by syscall {later}."
            )
            return
        self.note_place(self.code)
        self._disassemble(
            view,
            place,
            _process(view, call),
            is_return=True,
            about=_made_by(view, call),
            link=_caller(view, call),
        )

    # --- frames ------------------------------------------------------------------------------------------

    def show_registers_of(self, index: int) -> None:
        """Let the registers pane show what is known of those of a frame."""
        cast("RegistersPane", self.pane("registers")).select_frame(index)

    def show_stack_of(self, index: int) -> None:
        """Let the memory pane show the stack of a frame, where it was kept."""
        view = self.view
        frames = view.snapshot.backtrace.frames if view is not None else []
        place = next((number for number, frame in enumerate(frames) if frame.idx == index), None)
        if place is None or (start := frames[place].sp) is None or self.active == "memory":
            return
        beyond = next(
            (frame.sp for frame in frames[place + 1 :] if frame.sp is not None and frame.sp > start), 0
        )
        size = min(max(1, beyond - start), MAX_STACK)
        try:
            cast("MemoryPane", self.pane("memory")).go_to(start, None, size)
        except TriageError:
            return


def _process(view: RunView, call: Syscall) -> int | None:
    """Return the process of a call, None for the one that is looked at."""
    process = next((one for one in view.snapshot.processes if one.pid == call.pid), None)
    return None if process is None or process.looked_at else call.pid


def _replaced(view: RunView, call: Syscall) -> int | None:
    """Return the later call by which the process became another program, if there is one."""
    for later in reversed(view.calls):
        if later.seq <= call.seq:
            return None
        if later.pid == call.pid and later.name in ("execve", "execveat") and later.ret == 0:
            return later.seq
    return None


def _made_by(view: RunView, call: Syscall) -> str:
    from triage_tui.ui.rows import short

    what = f"{short(call.name, 30)}, syscall {call.seq}"
    if call.pc is None:
        return f"By its link register, the function that made {what}, was called in front of the marked line."
    caller = "" if call.return_address is None else " Enter: who called this, by the link register."
    return f"The instruction in front of the marked line made {what}.{caller}"


def _caller(view: RunView, call: Syscall) -> str:
    """Return the link to where the code that made a call was called from."""
    if call.pc is None or call.return_address is None:
        return ""
    return f"ev:code/0x{call.return_address:x}"
