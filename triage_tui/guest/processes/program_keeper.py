"""Know what each process of the guest executes, and have it execute another program when it asks for that.

A process that executes a program starts its emulator anew, without a gdb stub. It answers for itself then:
its log is opened at its first call (see `process_keeper`), and its registers are found at its first call that
is notified (see `emulator_image`).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.guest.arch import Arch
from triage_tui.guest.cell.policy import Refusal
from triage_tui.guest.emulator import emulator_image, environment
from triage_tui.guest.emulator.emulator_image import Landmarks
from triage_tui.guest.emulator.qemu import find_qemu, qemu_version
from triage_tui.guest.host import host_memory, process
from triage_tui.guest.host.sealed import COPIES
from triage_tui.guest.host.seccomp import Notification
from triage_tui.guest.log.syscall_record import to_text
from triage_tui.guest.processes import execution
from triage_tui.guest.processes.exec_policy import Execution, plan_execution, requested_path
from triage_tui.guest.processes.process_keeper import ProcessKeeper
from triage_tui.guest.processes.process_name import name_of
from triage_tui.guest.processes.process_table import GuestProcess, Program
from triage_tui.runs.model import Syscall
from triage_tui.text import recordable

_MAX_TRIES = 20
"""How often a program's registers are looked for."""
_MAX_ARGUMENTS = 256
"""Arguments of a program that are kept for the record, and bytes of each."""
_MAX_ARGUMENT = 1024


class Emulators:
    """The emulators of a guest: copied on first use, with what was learned of them."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._open: dict[str, tuple[Path, int]] = {}
        self.landmarks: dict[str, Landmarks] = {}
        """Architecture -> where its emulator keeps things."""

    def find(self, arch: Arch) -> tuple[Path, int]:
        """Return the path of the emulator for `arch` and a descriptor of a sealed copy.

        Raises:
            TriageError: there is none.
        """
        if arch.name not in self._open:
            path = find_qemu(arch, self._directory)
            try:
                self._open[arch.name] = (path, COPIES.borrow(path))
            except OSError as error:
                raise TriageError(f"{path} cannot be copied into memory: {error.strerror}") from error
        return self._open[arch.name]

    def close(self, *, again: bool) -> None:
        """Let go of them; `again` says that no process of the guest is left."""
        for _path, fd in self._open.values():
            COPIES.give_back(fd, again=again)
        self._open.clear()


class ProgramKeeper(ProcessKeeper):
    """The part of a guest that keeps track of programs."""

    _emulators: Emulators
    _deferred: deque[Notification]
    """Notifications that came while another one was being answered."""
    _started_by_rule: Notification | None
    """The execution whose program a rule starts although the run refuses it."""

    # ------------------------------------------------------------ executing

    def _plan(self, known: GuestProcess, notification: Notification, name: str) -> Execution | Refusal:
        """Return what the host call `name` (execve or execveat) executes, or how it is refused."""
        # Not by what the log says: a guest chooses the text in it.
        try:
            path = requested_path(name, notification)
        except OSError:
            return Refusal(-errno.EFAULT, "")
        # Its first thread may have ended before this one.
        shown = process.living_id(known.pid)
        return plan_execution(
            Path(f"/proc/{shown}/root"),
            shown,
            path,
            lambda which: self._path_of(known, which),
            foreign=self.spec.exec_policy == "emulate" or self._started_by_rule is notification,
        )

    def _path_of(self, known: GuestProcess, which: str) -> str | None:
        """Return the program of the process `which`, an inner id or "self"."""
        if not which.isdigit():
            return known.program.path
        others = self.processes_known.by_pid.values()
        return next((other.program.path for other in others if other.inner == int(which)), None)

    def _judge_execution(self, known: GuestProcess, notification: Notification, name: str) -> Refusal | None:
        """Return how an execution is refused, None if it can be done."""
        plan = self._plan(known, notification, name)
        if isinstance(plan, Refusal):
            return plan
        if plan.descriptor is not None:
            os.close(plan.descriptor)
        try:
            self._emulators.find(plan.arch)
        except TriageError as error:
            return Refusal(-errno.ENOEXEC, f"not executed: {error}")
        return None

    def _execute(
        self, known: GuestProcess, notification: Notification, name: str, call: Syscall | None
    ) -> None:
        """Have the process execute the program that it asks for."""
        plan = self._plan(known, notification, name)
        if isinstance(plan, Refusal):
            if call is not None and plan.why:
                call.note = plan.why
            self._answer(notification, plan.result)
            return
        at = 1 if name == "execve" else 2
        argv_at, envp_at = notification.args[at : at + 2]
        tid = notification.tid
        try:
            path, emulator = self._emulators.find(plan.arch)
            start = self._emulator_start
            self._give_own(notification, emulator, start.first_fd, cloexec=True)
            if plan.descriptor is not None:
                self._give_own(notification, plan.descriptor, start.program_fd, cloexec=False)
            pointers = execution.read_pointers(tid, envp_at)
            variables, moved, dropped = environment.sift(tid, pointers)
            if environment.turns_round(qemu_version(path)):
                variables.reverse()
                moved.reverse()
            argv = self._argument_texts(tid, argv_at, plan)
        except (OSError, TriageError) as error:
            number = getattr(error, "errno", None) or errno.ENOEXEC
            self._answer(notification, -number)
            return
        finally:
            if plan.descriptor is not None:
                os.close(plan.descriptor)
        program = plan.path if plan.descriptor is None else f"/proc/self/fd/{start.program_fd}"
        options = [str(path), *start.log_arguments()]
        if plan.arch.name == self.first_program.arch.name:
            options += self.spec.emulator_options
        words: list[bytes | None] = [os.fsencode(option) for option in options]
        for variable in moved:
            words += [b"-E", variable]
        words += [b"-0", None if plan.argv0 is None else os.fsencode(plan.argv0)]
        words += [os.fsencode(word) for word in (program, *plan.inserted)]
        outcome = self._carrier.execute(
            notification,
            known.pid,
            execution.Emulation(emulator, start.first_fd, tuple(words)),
            argv_at,
            variables,
            self._deferred.append,
        )
        self._note_execution(known, outcome, plan, argv, call, dropped)

    def _give_own(self, notification: Notification, descriptor: int, number: int, cloexec: bool) -> None:
        """Give the waiting process a descriptor of ours, as one of the emulator's own."""
        start = self._emulator_start
        start.raise_limit(notification.tid)
        try:
            self._carrier.add_fd(notification, descriptor, number, cloexec)
        finally:
            known = self.processes_known.of_thread(notification.tid)
            start.lower_limit(notification.tid, known.limits.open_files(start.open_files) if known else None)

    @staticmethod
    def _argument_texts(tid: int, address: int, plan: Execution) -> list[str]:
        """Return the program's argument vector for the record."""
        own = [
            to_text(host_memory.read_string(tid, pointer, _MAX_ARGUMENT))
            for pointer in execution.read_pointers(tid, address)[:_MAX_ARGUMENTS]
        ]
        first = plan.argv0 if plan.argv0 is not None else own[0] if own else ""
        return [recordable(first), *map(recordable, plan.inserted), *own[1:]]

    def _note_execution(
        self,
        known: GuestProcess,
        outcome: execution.Outcome,
        plan: Execution,
        argv: list[str],
        call: Syscall | None,
        dropped: list[str],
    ) -> None:
        if outcome.again:
            # The emulator makes the call again, without writing it down again.
            return
        if outcome.killed:
            self.report(f"{plan.path} was not executed: {outcome.why}")
            return
        if outcome.error:
            if call is not None and outcome.why:
                call.note = f"not executed: {outcome.why}"
            return
        if call is not None:
            call.ret = 0
            # The guest may have changed it since it was written down.
            call.path = recordable(plan.requested)
            call.note = f"now runs {recordable(plan.path)}"
            if plan.arch.name != known.program.arch.name:
                call.note += f" ({plan.arch.name})"
            if dropped:
                names = recordable(", ".join(dropped))
                call.note += f", without {names}, which would change the emulator"
        program = Program(self._absolute_path(known, plan.path), argv, plan.arch, plan.elf)
        program.name = name_of(plan.requested)
        self._start_afresh(known, program)

    def _start_afresh(self, known: GuestProcess, program: Program) -> None:
        """Forget what was known of a process: it executes another program now."""
        for log in self.trace.of_process(known.pid):
            self.trace.forget(log.tid)
        self.trace.effects(known.pid).begin_program()
        self.processes_known.forget_threads(known.pid)
        known.memory.close()
        known.program = program
        known.envs = {}
        known.loops.clear()

    def _name_process(self, known: GuestProcess, notification: Notification) -> bool:
        """Give a process the name of its new program; True when its call will be made again."""
        name, known.program.name = known.program.name, b""
        return self._carrier.give_name(notification, name, self._deferred.append)

    def _absolute_path(self, known: GuestProcess, path: str) -> str:
        if path.startswith("/"):
            return path
        with contextlib.suppress(OSError):
            shown = process.living_id(known.pid)
            directory = os.readlink(f"/proc/{shown}/cwd")
            root = os.readlink(f"/proc/{shown}/root")
            if root != "/" and directory.startswith(root):
                directory = directory[len(root) :]
            return os.path.normpath(os.path.join(directory or "/", path))
        return path

    # ------------------------------------------------------------ finding registers

    def _find_env(
        self, known: GuestProcess, notification: Notification, name: str, call: Syscall | None = None
    ) -> None:
        log = self.trace.logs.get(notification.tid)
        if call is None and log is not None:
            call = next(iter(self.trace.pending(log)[-1:]), None)
        self._locate(known, notification.tid, call)
        if notification.tid not in known.envs:
            super()._find_env(known, notification, name, call)

    def _locate(self, known: GuestProcess, tid: int = 0, call: Syscall | None = None) -> bool:
        """Find the registers and the address space of what a process executes; whether they are known.

        `call` is what its thread `tid` is in, if that is known.
        """
        program = known.program
        if program.location is not None:
            return True
        if program.tries >= _MAX_TRIES:
            return False
        program.tries += 1
        try:
            marks = self._emulators.landmarks.get(program.arch.name)
            if marks is None and (call is None or tid == known.pid):
                found = emulator_image.find_program(known.pid, program.arch, program.elf)
                marks = emulator_image.discover(known.pid, program.arch, found, call)
                # Without a call they are likely, and good for this one look.
                if marks is not None and call is not None:
                    self._emulators.landmarks[program.arch.name] = marks
            if marks is None:
                return False
            program.location = emulator_image.locate(known.pid, program.arch, program.elf, marks)
        except TriageError as error:
            if program.tries == _MAX_TRIES:
                self.report(f"nothing is known of {program.path}: {error}")
            return False
        known.envs[known.pid] = program.location.env
        return True
