"""What a search of a root gives: the programs that it would start, and what was left out and why."""

from __future__ import annotations

import posixpath

import msgspec

from triage_tui.campaign.discovery.programs import Programs, RunnableProgram
from triage_tui.campaign.discovery.root_view import RootView
from triage_tui.campaign.model import Target
from triage_tui.text import recordable, safe_line

MAX_SERVICES = 2000
"""Programs that one root can give."""
MAX_LEFT_OUT = 2000
"""Things left out that are told one by one."""
MAX_WORDS = 256
"""Words of one command line."""
MAX_WORD = 64 << 10
"""Characters of one word."""
_MAX_NOTES = 8


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """Something that looks as if it were started, and is not among the targets."""

    root: str
    what: str
    """The command, the script or the unit."""
    why: str
    """One sentence without its end."""
    origin: str = ""
    """Where it stands."""


class Start(msgspec.Struct, kw_only=True):
    """How something is started, as a script or a unit says it."""

    program: str
    """Absolute guest path."""
    argv: list[str]
    cwd: str = "/"
    env: dict[str, str] = {}
    user: str = ""
    """Name or number, "" for root."""
    stdin: str = "null"
    origin: str
    name: str = ""
    notes: tuple[str, ...] = ()


class Finds:
    """Collects what is found in one root, each command line once, in the order of its start."""

    def __init__(self, view: RootView, group: str = "") -> None:
        self.view = view
        self.programs = Programs(view)
        self.targets: list[Target] = []
        self._group = group
        self._left: dict[tuple[str, str], LeftOut] = {}
        self._left_count = 0
        self._again = 0
        """Finds that were there before."""
        self._seen: set[tuple[object, ...]] = set()
        self._names: dict[str, int] = {}
        self._started: set[str] = set()
        self._reached: set[str] = set()
        self._users: dict[str, int] | None = None
        self._tools: dict[str, dict[str, None]] = {}

    @property
    def left_out(self) -> list[LeftOut]:
        """What was left out, without what is started elsewhere with the same words."""
        found = [
            one
            for one in self._left.values()
            if one.what not in self._started and not (one.what in self._reached and "only where" in one.why)
        ]
        if self._tools:
            names = sorted({name for called in self._tools.values() for name in called})
            origin = next(iter(self._tools)) if len(self._tools) == 1 else f"{len(self._tools)} scripts"
            what, why = ", ".join(names), "tools that do their work and end, no services"
            found.append(
                LeftOut(
                    root=str(self.view.root),
                    what=safe_line(what, 4000),
                    why=why,
                    origin=safe_line(origin, 200),
                )
            )
        more = self._left_count - len(self._left)
        if more > 0:
            found.append(
                LeftOut(root=str(self.view.root), what=f"{more} more", why="too many to be told one by one")
            )
        return found

    @property
    def told(self) -> int:
        """How much was found and left out so far."""
        return len(self.targets) + self._left_count + self._again

    def leave_out(self, what: str, why: str, origin: str = "") -> None:
        """Tell that something is not run, once for each reason."""
        what, why = safe_line(what, 300), safe_line(why, 300)
        if (what, why) in self._left:
            self._again += 1
            return
        self._left_count += 1
        if len(self._left) < MAX_LEFT_OUT:
            self._left[what, why] = LeftOut(
                root=str(self.view.root), what=what, why=why, origin=safe_line(origin, 200)
            )

    def reached(self, words: str) -> None:
        """Tell that a script was followed with these words: where else it is left out is not told."""
        self._reached.add(safe_line(words, 300))

    def tool(self, name: str, script: str) -> None:
        """Tell that a script calls a program that is no service."""
        if script in self._tools or len(self._tools) < MAX_LEFT_OUT:
            self._tools.setdefault(script, {})[name] = None

    def add(self, start: Start) -> bool:
        """Add a program, or say why it is left out; tell whether it is among the targets."""
        words = safe_line(" ".join(start.argv), 300)
        start.program = self.view.in_image(start.program)
        if (made := self.view.made_at(start.program)) is not None:
            self.leave_out(words, f"its program {start.program} is not in the root: {made}", start.origin)
            return False
        program = self.programs.runnable(start.program, start.argv)
        if not isinstance(program, RunnableProgram):
            self.leave_out(words, program, start.origin)
            return False
        notes = list(start.notes)
        user = self._user(start.user, notes)
        texts = [program.program, *program.argv, start.cwd, *start.env, *start.env.values()]
        if any(recordable(text) != text or "\0" in text for text in texts):
            self.leave_out(words, "its command line holds bytes that are no UTF-8", start.origin)
            return False
        if len(program.argv) > MAX_WORDS or any(len(text) > MAX_WORD for text in texts):
            self.leave_out(words, "its command line is too long", start.origin)
            return False
        cwd = start.cwd
        cwd = self.view.in_image(cwd)
        if not self.view.is_directory(cwd) or self.view.made_at(cwd) is not None:
            notes.append(f"its working directory {safe_line(cwd, 100)} is not in the root, so it begins in /")
            cwd = "/"
        for word in start.argv[1:MAX_WORDS]:
            path = posixpath.join(start.cwd, word.rpartition("=")[2])
            if "/" in word and (made := self.view.made_at(path)) is not None:
                notes.append(f"its argument {safe_line(word, 100)} is not in the root: {made}")
        self._started.add(words)
        key = (program.program, tuple(program.argv), cwd, tuple(sorted(start.env.items())), user, start.stdin)
        if key in self._seen:
            self._again += 1
            return True
        if len(self.targets) >= MAX_SERVICES:
            self.leave_out(words, f"the root starts more than {MAX_SERVICES} programs", start.origin)
            return False
        self._seen.add(key)
        self.targets.append(
            Target(
                target="",
                name=self._name(start.name or program.name),
                root=str(self.view.root),
                program=program.program,
                argv=program.argv,
                cwd=cwd,
                env=dict(start.env),
                user=user,
                stdin=start.stdin,
                arch=program.arch,
                origin=safe_line(start.origin, 200),
                order=len(self.targets) + 1,
                group=self._group,
                notes=[safe_line(note, 300) for note in dict.fromkeys(notes)][:_MAX_NOTES],
            )
        )
        return True

    def _name(self, name: str) -> str:
        name = safe_line(name, 60) or "program"
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}-{count}"

    def _user(self, user: str, notes: list[str]) -> int:
        """Return the user's number by the root's passwd(5); what is not known is run as root and noted."""
        name = user.partition(":")[0].partition(".")[0] if user else ""
        if name in ("", "root", "0"):
            return 0
        if name.isdecimal() and len(name) < 10:
            return int(name)
        if self._users is None:
            fields = [line.split(":") for line in self.view.lines("/etc/passwd")[:4096]]
            self._users = {
                field[0]: int(field[2])
                for field in fields
                if len(field) >= 3 and field[2].isdecimal() and len(field[2]) < 10
            }
        if name not in self._users:
            notes.append(f"the user {safe_line(name, 40)} is not in /etc/passwd, so it runs as root")
        return self._users.get(name, 0)
