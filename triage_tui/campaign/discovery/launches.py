"""Command lines that start another program: start-stop-daemon(8), daemon(), nice(1), env(1) and the like."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

import msgspec

from triage_tui.campaign.discovery.programs import MULTI_CALL

_MAX_WRAPPERS = 8
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_SSD_IGNORED = """
-n --name -u --user -p --pidfile -s --signal -R --retry -g --group -k --umask -N --nicelevel -P
--procsched -I --iosched -O --output --ppid --pid --notify-timeout -1 --stdout -2 --stderr -w --wait
"""
_SSD_WITH_VALUE = {
    **dict.fromkeys(("-a", "--startas"), "startas"),
    **dict.fromkeys(("-x", "--exec"), "exec"),
    **dict.fromkeys(("-c", "--chuid"), "user"),
    **dict.fromkeys(("-d", "--chdir"), "cwd"),
    **dict.fromkeys(("-r", "--chroot"), "chroot"),
    **dict.fromkeys(("-e", "--env"), "env"),
    **dict.fromkeys(_SSD_IGNORED.split(), ""),
}
"""dpkg's, busybox's and OpenRC's start-stop-daemon. OpenRC's --user is busybox's --chuid; for the others it
only looks for a process."""


NO_START = "start-stop-daemon is asked to stop or to look, not to start"


class Launch(msgspec.Struct, kw_only=True):
    """A command line without what stands around its program."""

    words: list[str]
    argv0: str = ""
    """What the program sees as its name, "" for its first word."""
    env: dict[str, str] = {}
    cwd: str = ""
    user: str = ""
    env_directories: tuple[str, ...] = ()
    """Directories with a file for each variable: chpst -e, envdir(8)."""
    daemon: bool = False
    """Whether it is started as a service, whatever its name."""
    notes: tuple[str, ...] = ()


def wraps(name: str) -> bool:
    """Tell whether a program of that name starts what its arguments say."""
    return name in _WRAPPERS


def unwrapped(words: list[str]) -> Launch | str:
    """Return what a command line starts, or why it starts nothing here; `words` is not empty."""
    launch = Launch(words=list(words), env={})
    for _ in range(_MAX_WRAPPERS):
        if not launch.words:
            return "it names no program"
        if posixpath.basename(launch.words[0]) in MULTI_CALL:
            if len(launch.words) == 1:
                return "it is called without the name of an applet"
            if wraps(launch.words[1]):
                launch.words = launch.words[1:]
        wrapper = _WRAPPERS.get(posixpath.basename(launch.words[0]))
        if wrapper is None:
            return launch
        problem = wrapper(launch)
        if problem:
            return problem
        if (
            launch.daemon
            and posixpath.basename(launch.words[0] if launch.words else "") == "start-stop-daemon"
        ):
            return "it starts start-stop-daemon by itself"
    return "too many programs start each other"


def _start_stop_daemon(launch: Launch) -> str:
    given: dict[str, str] = {}
    rest: list[str] = []
    start = False
    words = launch.words[1:]
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            rest += words[at:]
            break
        name, equals, value = word.partition("=")
        if word.startswith("--"):
            if name in _SSD_WITH_VALUE:
                if not equals:
                    value = words[at] if at < len(words) else ""
                    at += 1
                _keep(given, launch, _SSD_WITH_VALUE[name], value)
            elif name in ("--stop", "--status", "--test"):
                return NO_START
            elif name == "--start":
                start = True
        elif word.startswith("-") and len(word) > 1:
            for index, letter in enumerate(word[1:], 1):
                option = f"-{letter}"
                if option in _SSD_WITH_VALUE:
                    value = word[index + 1 :]
                    if not value:
                        value = words[at] if at < len(words) else ""
                        at += 1
                    _keep(given, launch, _SSD_WITH_VALUE[option], value)
                    break
                if letter in "KTt":
                    return NO_START
                start = start or letter == "S"
        else:
            rest.append(word)
    program = given.get("startas") or given.get("exec", "")
    if not program and rest and start:
        # OpenRC takes the first word.
        program, *rest = rest
    if not start and not program:
        return "start-stop-daemon is not told what to start"
    if not program:
        return "start-stop-daemon is not told which program to start"
    if "chroot" in given:
        return f"it runs inside another root, {given['chroot']}"
    launch.words = [program, *rest]
    launch.user = given.get("user", launch.user)
    launch.cwd = given.get("cwd", launch.cwd)
    launch.daemon = True
    return ""


def _keep(given: dict[str, str], launch: Launch, name: str, value: str) -> None:
    if name == "env":
        key, equals, text = value.partition("=")
        if equals and key:
            launch.env[key] = text
    elif name:
        given[name] = value


def _daemon_function(launch: Launch) -> str:
    """`daemon` of Red Hat's /etc/init.d/functions, and daemon(1): options, then the command."""
    words = launch.words[1:]
    while words and words[0][:1] in "+-":
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--user", "-u"):
            launch.user = value if equals else (words.pop(0) if words else "")
        elif not equals and name in (
            "--pidfile",
            "--check",
            "--chdir",
            "--name",
            "-n",
            "-F",
            "-D",
            "-o",
            "-N",
        ):
            given = words.pop(0) if words else ""
            if name in ("--chdir", "-D"):
                launch.cwd = given
        if word == "--":
            break
    launch.words, launch.daemon = words, True
    # Red Hat's hands the words to a shell, so one of them may be the whole command.
    if len(words) == 1 and " " in words[0]:
        launch.words = words[0].split()
    return ""


def _start_daemon(launch: Launch) -> str:
    """LSB 5.0, init script functions: start_daemon [-f] [-n nicelevel] [-p pidfile] pathname [args...]."""
    return _skipped(launch, frozenset(("-n", "-p")), daemon=True)


def _service_start(launch: Launch) -> str:
    launch.words, launch.daemon = launch.words[1:], True
    return ""


def _options(with_value: str = "", values: int = 0, daemon: bool = False) -> Callable[[Launch], str]:
    options = frozenset(with_value.split())

    def skip(launch: Launch) -> str:
        return _skipped(launch, options, values, daemon)

    return skip


def _skipped(launch: Launch, with_value: frozenset[str], values: int = 0, daemon: bool = False) -> str:
    words = launch.words[1:]
    while words and words[0].startswith("-") and len(words[0]) > 1:
        word = words.pop(0)
        if word == "--":
            break
        if word in with_value and words:
            words.pop(0)
    launch.words = words[values:]
    launch.daemon = launch.daemon or daemon
    return ""


def _env(launch: Launch) -> str:
    words = launch.words[1:]
    while words and (words[0].startswith("-") or _ASSIGNMENT.match(words[0])):
        word = words.pop(0)
        if word in ("-u", "-C", "--unset", "--chdir") and words:
            words.pop(0)
        elif not word.startswith("-"):
            name, _, value = word.partition("=")
            launch.env[name] = value
    launch.words = words
    return ""


def _exec(launch: Launch) -> str:
    """The shell's own, with the name that `-a` gives the program."""
    words = launch.words[1:]
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word == "-a" and words:
            launch.argv0 = words.pop(0)
    launch.words = words
    return ""


def _user_first(launch: Launch) -> str:
    """chpst(8) -u, setuidgid(8), s6-setuidgid and the like: the user, then the command."""
    words = launch.words[1:]
    name = posixpath.basename(launch.words[0])
    if name == "chpst":
        while words and words[0].startswith("-"):
            option = words.pop(0)
            if option == "-u" and words:
                launch.user = words.pop(0).lstrip(":")
            elif option == "-e" and words:
                launch.env_directories += (words.pop(0),)
            elif option == "-/" and words:
                return f"it runs inside another root, {words[0]}"
            elif option in ("-U", "-b", "-n", "-l", "-L", "-m", "-d", "-o", "-p", "-f", "-c", "-t") and words:
                words.pop(0)
    elif words:
        launch.user = words.pop(0)
    launch.words = words
    return ""


def _envdir(launch: Launch) -> str:
    """envdir(8) and s6-envdir: a directory with a file for each variable, then the command."""
    words = launch.words[1:]
    while words and words[0].startswith("-"):
        words.pop(0)
    launch.env_directories += tuple(words[:1])
    launch.words = words[1:]
    return ""


def _other_root(launch: Launch) -> str:
    return f"it runs inside another root, {launch.words[1] if len(launch.words) > 1 else ''}".rstrip(", ")


_WRAPPERS: dict[str, Callable[[Launch], str]] = {
    "start-stop-daemon": _start_stop_daemon,
    "start_daemon": _start_daemon,
    "daemon": _daemon_function,
    "service_start": _service_start,
    "env": _env,
    "nohup": _options(),
    "setsid": _options(),
    "exec": _exec,
    "command": _options(),
    "nice": _options("-n --adjustment"),
    "ionice": _options("-c -n -p --class --classdata"),
    "chrt": _options("-p", values=1),
    "taskset": _options("-p", values=1),
    "timeout": _options("-s -k --signal --kill-after", values=1),
    "stdbuf": _options("-i -o -e"),
    "time": _options("-f -o"),
    "linux32": _options(),
    "linux64": _options(),
    "softlimit": _options("-a -c -d -f -l -m -n -o -p -r -s -t"),
    "chpst": _user_first,
    "setuidgid": _user_first,
    "s6-setuidgid": _user_first,
    "su-exec": _user_first,
    "gosu": _user_first,
    "chroot": _other_root,
    "envdir": _envdir,
    "s6-envdir": _envdir,
    "unshare": _options(),
    "cttyhack": _options(),
}
