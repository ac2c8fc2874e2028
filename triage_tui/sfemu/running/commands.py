"""Plain commands of rule directories, carried out without a shell: `mkdir -p`, `ln -sf` and their like.

SFEmu's Lua runs in the guest's root file system on a machine that executes programs of the guest's
architecture, so that the guest's own `/bin/mkdir` does this there. Here a shell under the emulator cannot
execute others, so what such a command means is done in this process. Only one simple command without
expansions is: its words as sh(1) quotes them, and output thrown away by `>/dev/null`, `2>&1`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase

_REDIRECTIONS = re.compile(r"(?<!\S)[12]?>\s*(?:/dev/null|&[12])(?!\S)|(?<!\S)&>\s*/dev/null(?!\S)")
_SPECIAL = frozenset("|&;<>()$`\\*?[]{}~#!\n")
_MOST_OUTPUT = 1 << 20


def run(command: str) -> tuple[int, bytes] | None:
    """Return exit status and output of a command, None for one that is not plain enough."""
    text = _REDIRECTIONS.sub(" ", command)
    silent = re.search(r"(?<!2)>\s*/dev/null", command) is not None
    try:
        words = _words(text)
    except ValueError:
        return None
    if not words or (handler := _COMMANDS.get(words[0])) is None:
        return None
    try:
        status, output = handler(words[1:])
    except OSError:
        return 1, b""
    except _Unknown:
        return None
    return status, b"" if silent else output


class _Unknown(Exception):
    """An option or a form that is not known here."""


def _words(text: str) -> list[str]:
    """Split a command as sh(1) does; ValueError where it has more than quoted words."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    bare = re.sub(r"'[^']*'|\"[^\"$`\\]*\"|\\'|\\\"", "", text)
    if _SPECIAL & set(bare):
        raise ValueError("not a plain command")
    return list(lexer)


def _options(words: list[str], known: str) -> tuple[str, list[str]]:
    """Return the letters of the options, and the other words."""
    letters = ""
    for index, word in enumerate(words):
        if word == "--":
            return letters, words[index + 1 :]
        if not word.startswith("-") or word == "-":
            return letters, words[index:]
        if not set(word[1:]) <= set(known):
            raise _Unknown
        letters += word[1:]
    return letters, []


def _mkdir(words: list[str]) -> tuple[int, bytes]:
    letters, paths = _options(words, "p")
    for path in paths:
        if "p" in letters:
            os.makedirs(path, exist_ok=True)
        else:
            os.mkdir(path)
    return (0 if paths else 1), b""


def _ln(words: list[str]) -> tuple[int, bytes]:
    letters, paths = _options(words, "sfn")
    if len(paths) != 2:
        raise _Unknown
    source, target = paths
    if os.path.isdir(target) and not ("n" in letters and os.path.islink(target)):
        target = os.path.join(target, os.path.basename(source))
    if "f" in letters and os.path.lexists(target):
        if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
            return 1, b""
        os.unlink(target)
    if "s" in letters:
        os.symlink(source, target)
    else:
        os.link(source, target)
    return 0, b""


_TESTS: dict[str, Callable[[str], bool]] = {
    "-e": os.path.exists,
    "-f": os.path.isfile,
    "-d": os.path.isdir,
    "-L": os.path.islink,
    "-h": os.path.islink,
    "-r": lambda path: os.access(path, os.R_OK),
    "-w": lambda path: os.access(path, os.W_OK),
    "-x": lambda path: os.access(path, os.X_OK),
    "-s": lambda path: os.path.exists(path) and os.path.getsize(path) > 0,
}


def _test(words: list[str]) -> tuple[int, bytes]:
    wanted = [word for word in words if word != "--"]
    if len(wanted) != 2 or wanted[0] not in _TESTS:
        raise _Unknown
    return (0 if _TESTS[wanted[0]](wanted[1]) else 1), b""


def _rm(words: list[str]) -> tuple[int, bytes]:
    letters, paths = _options(words, "rf")
    for path in paths:
        if "r" in letters and os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path) or "f" not in letters:
            os.unlink(path)
    return 0, b""


def _touch(words: list[str]) -> tuple[int, bytes]:
    _letters, paths = _options(words, "")
    for path in paths:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        os.utime(path)
    return 0, b""


def _chmod(words: list[str]) -> tuple[int, bytes]:
    _letters, rest = _options(words, "")
    if len(rest) < 2 or not re.fullmatch(r"[0-7]{3,4}|[ugo]*a?\+x", rest[0]):
        raise _Unknown
    for path in rest[1:]:
        os.chmod(path, os.stat(path).st_mode & 0o7777 | 0o111 if "+" in rest[0] else int(rest[0], 8))
    return 0, b""


def _cp(words: list[str]) -> tuple[int, bytes]:
    _letters, paths = _options(words, "fp")
    if len(paths) != 2:
        raise _Unknown
    shutil.copy(*paths)
    return 0, b""


def _mv(words: list[str]) -> tuple[int, bytes]:
    _letters, paths = _options(words, "f")
    if len(paths) != 2:
        raise _Unknown
    shutil.move(paths[0], paths[1])
    return 0, b""


def _cat(words: list[str]) -> tuple[int, bytes]:
    _letters, paths = _options(words, "")
    if not paths:
        raise _Unknown
    output = b""
    for path in paths:
        with open(path, "rb") as file:
            output += file.read(_MOST_OUTPUT - len(output))
    return 0, output


def _ls(words: list[str]) -> tuple[int, bytes]:
    letters, paths = _options(words, "1a")
    if len(paths) > 1 or (paths and not os.path.isdir(paths[0])):
        raise _Unknown
    names = sorted(os.listdir(paths[0] if paths else "."))
    shown = [name for name in names if "a" in letters or not name.startswith(".")]
    return 0, b"".join(os.fsencode(name) + b"\n" for name in shown)[:_MOST_OUTPUT]


def _readlink(words: list[str]) -> tuple[int, bytes]:
    letters, paths = _options(words, "f")
    if len(paths) != 1:
        raise _Unknown
    found = os.path.realpath(paths[0]) if "f" in letters else os.readlink(paths[0])
    return 0, os.fsencode(found) + b"\n"


_KINDS = {"f": os.path.isfile, "d": os.path.isdir, "l": os.path.islink}


def _find(words: list[str]) -> tuple[int, bytes]:
    """Find in one directory, not below it, by kind and name: what SFEmu's scripts list rules with."""
    place, options = words[0] if words else "", words[1:]
    known = dict(zip(options[::2], options[1::2], strict=False))
    names = {"-maxdepth", "-type", "-name"}
    if len(options) != 2 * len(known) or not known.keys() <= names or known.get("-maxdepth") != "1":
        raise _Unknown
    kind, pattern = known.get("-type"), known.get("-name", "*")
    if place.startswith("-") or (kind is not None and kind not in _KINDS):
        raise _Unknown
    paths = [os.path.join(place, name) for name in sorted(os.listdir(place)) if fnmatchcase(name, pattern)]
    if kind is not None:
        # A link is of a kind of its own.
        paths = [one for one in paths if os.path.islink(one) == (kind == "l") and _KINDS[kind](one)]
    return 0, b"".join(os.fsencode(one) + b"\n" for one in paths)[:_MOST_OUTPUT]


_COMMANDS: dict[str, Callable[[list[str]], tuple[int, bytes]]] = {
    "mkdir": _mkdir,
    "ln": _ln,
    "test": _test,
    "rm": _rm,
    "touch": _touch,
    "chmod": _chmod,
    "cp": _cp,
    "mv": _mv,
    "cat": _cat,
    "ls": _ls,
    "readlink": _readlink,
    "find": _find,
    "true": lambda _words: (0, b""),
    "false": lambda _words: (1, b""),
    "sync": lambda _words: (0, b""),
}
