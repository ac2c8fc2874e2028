"""Whether a program of a root can be run: an ELF file for an emulated architecture, or a script of one.

execve(2): a script begins with `#!`, the interpreter and at most one argument; Linux takes four levels.
"""

from __future__ import annotations

import posixpath

import msgspec

from triage_tui.campaign.discovery.root_view import RootView
from triage_tui.errors import TriageError
from triage_tui.guest.spec import LaunchSpec, resolve_target
from triage_tui.text import safe_line

_MAX_INTERPRETERS = 4
_BYTES_A_STEP = 64 << 10
_SHEBANG = 256
"""Bytes of the line that Linux reads (BINPRM_BUF_SIZE)."""
MULTI_CALL = frozenset(("busybox", "toybox", "sbase-box", "ubase-box"))
"""Programs that do what the name says by which they are called, or their first argument."""


_SHELLS = frozenset(("sh", "ash", "bash", "dash", "busybox", "hush", "msh"))
INIT_D_SCRIPT = "/lib/init/init-d-script"
"""What start scripts of Debian that describe their program read in."""
DESCRIBING = frozenset(("openrc-run", "runscript", "init-d-script"))
"""Interpreters of start scripts that are shells and start what the script's variables describe."""


class RunnableProgram(msgspec.Struct, frozen=True):
    """What the kernel would execute: of a script, its interpreter."""

    program: str
    argv: list[str]
    arch: str
    name: str
    """What people call it: the script, or the applet."""


class Programs:
    """Looks at the programs of one root, each once."""

    def __init__(self, view: RootView) -> None:
        self._view = view
        self._heads: dict[str, bytes] = {}
        self._archs: dict[str, tuple[str, str]] = {}

    def runnable(self, program: str, argv: list[str]) -> RunnableProgram | str:
        """Return how a program is run, or one sentence why it cannot be."""
        applet = posixpath.basename(program)
        if applet in MULTI_CALL and argv:
            named = [posixpath.basename(word) for word in argv[:2]]
            applet = next((name for name in named if name and name not in MULTI_CALL), applet)
        words = list(argv) or [program]
        for _ in range(_MAX_INTERPRETERS):
            line = self.shebang(program)
            if line is None:
                arch, why = self._arch(program)
                return RunnableProgram(program, words, arch, applet) if arch else why
            interpreter, argument = line
            if not interpreter.startswith("/"):
                return f"its interpreter {safe_line(interpreter, 80)!r} is no absolute path"
            words = [interpreter, *([argument] if argument else []), program, *words[1:]]
            program = interpreter
            if posixpath.basename(program) == "env" and argument and not argument.startswith("-"):
                found = self._view.which(argument, "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
                if found is None:
                    return f"its interpreter {safe_line(argument, 80)} is not in the root"
                words = [found, *words[2:]]
                program = found
        return "its interpreters are scripts themselves, more than the kernel takes"

    def shebang(self, program: str) -> tuple[str, str] | None:
        """Return interpreter and argument of a script, None where the file is no script."""
        if program not in self._heads:
            self._heads[program] = self._view.head(program, _SHEBANG)
        head = self._heads[program]
        if not head.startswith(b"#!"):
            return None
        line = head[2:].split(b"\n")[0].decode("utf-8", "surrogateescape").strip(" \t\r")
        interpreter, _, argument = line.partition(" ") if " " in line else line.partition("\t")
        return interpreter, argument.strip()

    def interpreter(self, program: str) -> str:
        """Return the name of a script's interpreter, "" where it names none."""
        line = self.shebang(program)
        if line is None:
            return ""
        if INIT_D_SCRIPT.encode() in self._view.head(program, 512):
            return posixpath.basename(INIT_D_SCRIPT)
        name = posixpath.basename(line[0])
        passes_on = name in ("env", "with-contenv") and bool(line[1])
        return posixpath.basename(line[1].split(" ")[0]) if passes_on else name

    def is_shell_script(self, program: str) -> bool:
        """Tell whether it is a script of a shell; one without a first line is the caller's shell's."""
        interpreter = self.interpreter(program)
        if interpreter:
            return interpreter in _SHELLS or interpreter in DESCRIBING
        head = self._view.head(program)
        return bool(head) and not head.startswith(b"\x7fELF") and self._view.text(program) is not None

    def _arch(self, program: str) -> tuple[str, str]:
        """Return the architecture of an ELF program, or "" and why it cannot be run."""
        if program not in self._archs:
            self._archs[program] = self._look(program)
        return self._archs[program]

    def _look(self, program: str) -> tuple[str, str]:
        real = self._view.canonical(program)
        if real is None:
            return "", self._missing(program)
        if real == program:
            status = self._view.status(real)
            # The whole file is read for its hash.
            self._view.step(status.st_size // _BYTES_A_STEP if status is not None else 0)
            try:
                return resolve_target(LaunchSpec(program, rootfs=self._view.root))[0].arch, ""
            except TriageError as error:
                # The root is told beside it.
                root = str(self._view.root)
                return "", str(error).replace(f" in {root}", "").replace(root, "the root")
        return self._arch(real)

    def _missing(self, program: str) -> str:
        if target := self._view.link_target(program):
            return f"{program} is a link to {target}, which is not in the root"
        return f"there is no program {program} in the root"
