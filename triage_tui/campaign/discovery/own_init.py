"""An init of a vendor's own: what it starts stands in its code, as the names of programs.

Netgear's, Asus's and Linksys's /sbin/rc, which is /sbin/init as well, is one; so is /sbin/preinit. Which of
the names it uses, when, and what it puts together (`dnsmasq -i %s`), no list of its texts tells.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from triage_tui.campaign.discovery.found import Finds, Start
from triage_tui.campaign.discovery.launches import wraps
from triage_tui.campaign.discovery.tools import no_service

MAX_CODE = 16 << 20
"""Bytes of an init that are looked through."""
MAX_TEXTS = 20_000
_TEXT = re.compile(rb"(?<=\0)[\x20-\x7e]{3,200}(?=\0)")
_WORDS = re.compile(r"[A-Za-z0-9_./:,=@+ -]+&?")
"""A command line that is complete: nothing is put in, and no shell is needed but for the ampersand."""
_SERVING = (b"\0listen\0", b"\0accept\0", b"\0bind\0", b"\0recvfrom\0", b"\0daemon\0")
"""Names of functions that a program takes from the C library when it waits for others."""
_MAX_NAMED = 60


_RUNIT = frozenset(("runit-init", "runit", "s6-linux-init", "s6-svscan", "openrc-init", "dinit", "minit"))
"""Inits whose services stand in files."""


def find_any(finds: Finds, paths: Sequence[str], environment: dict[str, str]) -> None:
    """Look at the first of `paths` that is a program: a vendor's own init."""
    for path in paths:
        if finds.view.head(path, 4) == b"\x7fELF":
            if posixpath.basename(finds.view.canonical(path) or path) in _RUNIT:
                return
            why = "this init is a program of the vendor's own: what it starts itself stands in no script"
            finds.leave_out(path, f"{why}, so name it in a target file", path)
            find(finds, path, environment)
            return


def find(finds: Finds, path: str, environment: dict[str, str]) -> None:
    """Add the programs of the root that an init's code names and that wait for others; tell of the rest."""
    view = finds.view
    given: dict[str, list[str]] = {}
    unfinished: dict[str, str] = {}
    others: dict[str, None] = {}
    own = view.canonical(path)
    for number, match in enumerate(_TEXT.finditer(b"\0" + view.head(path, MAX_CODE) + b"\0")):
        if number >= MAX_TEXTS:
            finds.leave_out(path, f"only its first {MAX_TEXTS} texts were looked at", path)
            break
        view.step(number % 20 == 0)
        words = match[0].decode("ascii").split()
        if not words or not re.fullmatch(r"[A-Za-z0-9_./+-]+", words[0]):
            continue
        name = posixpath.basename(words[0])
        if not name or no_service(name) or wraps(name):
            continue
        program = words[0] if words[0].startswith("/") else view.which(words[0], environment["PATH"])
        if program is None or ("/" in words[0].lstrip("/") and not words[0].startswith("/")):
            continue
        real = view.canonical(program)
        if real in (None, own) or view.head(program, 4) != b"\x7fELF":
            continue
        if not _serves(finds, program):
            others[name] = None
        elif _WORDS.fullmatch(" ".join(words)):
            line = " ".join(words).rstrip("& ")
            known = given.setdefault(program, [])
            if line not in known:
                known.append(line)
        else:
            unfinished.setdefault(program, " ".join(words))
    note = f"{path} names it in its code: when it starts it, and with which other arguments, is not known"
    for program, lines in given.items():
        # A name alone may only be what a process is looked for by.
        full = [line for line in lines if " " in line] or lines[:1]
        for line in full[:4]:
            finds.add(Start(program=program, argv=line.split(), env=environment, origin=path, notes=(note,)))
    for program, line in unfinished.items():
        if program not in given:
            finds.leave_out(line, f"{path} puts its command line together, so name it in a target file", path)
    if others:
        shown = ", ".join([*others][:_MAX_NAMED])
        finds.leave_out(shown, f"{path} names them in its code, and nothing in theirs waits for others", path)


def _serves(finds: Finds, program: str) -> bool:
    code = finds.view.head(program, MAX_CODE)
    finds.view.step(len(code) >> 20)
    return any(name in code for name in _SERVING)
