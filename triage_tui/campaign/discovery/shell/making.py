"""Tools of a script that make files and directories: mkdir(1), cp(1), ln(1), mount(8), and redirections."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from triage_tui.campaign.discovery.root_view import RootView
from triage_tui.campaign.discovery.shell.answers import Answer
from triage_tui.campaign.discovery.shell.state import ShellState
from triage_tui.campaign.discovery.shell.substitutions import printed

if TYPE_CHECKING:
    from tree_sitter import Node

    from triage_tui.campaign.discovery.shell.follow import Follower

_MAX_LEVELS = 6
"""Levels of directories of which one is copied into the other."""
_KERNEL = frozenset(
    ("proc", "sysfs", "tmpfs", "ramfs", "devpts", "devtmpfs", "usbfs", "debugfs", "cgroup", "cgroup2")
)
"""File systems that are empty when they are mounted, or the kernel's."""
_UNPACKING = frozenset(("tar", "cpio", "unzip", "unsquashfs"))


def make(view: RootView, shell: ShellState, words: list[str], place: str) -> None:
    """Know what a command line makes; `words` begins with the name of the tool."""
    if shell.dead or len(words) < 2:
        return
    name, sure = posixpath.basename(words[0]), not shell.conditions
    options = [word for word in words[1:] if word.startswith("-") and len(word) > 1]
    plain = [posixpath.join(shell.cwd, word) for word in words[1:] if word not in options]
    letters = "".join(option[1:] for option in options if not option.startswith("--"))
    made = view.made
    match name:
        case "mkdir":
            for path in plain:
                made.directory(_place(view, path), place, sure)
        case "touch":
            for path in plain:
                if view.status(path) is None:
                    made.write(_place(view, path), b"", place, sure)
        case "cp" | "mv" if len(plain) > 1:
            *sources, target = plain
            for source in sources[:500]:
                _copied(view, source, target, place, sure)
                real = view.canonical(source)
                if name == "mv" and real in made.texts:
                    made.remove(real or "", sure)
        case "ln" if plain:
            given = [word for word in words[1:] if word not in options]
            target, link = given[0], plain[1] if len(plain) > 1 else shell.cwd
            if view.is_directory(link) and not ("n" in letters and view.is_link(link)):
                link = posixpath.join(link, posixpath.basename(target))
            link = _place(view, link)
            base = posixpath.dirname(link) if "s" in letters else shell.cwd
            made.copy(
                posixpath.normpath(posixpath.join(base, target)), link, place, sure, link="s" in letters
            )
        case "rm" | "unlink":
            for path in plain:
                if (real := view.canonical(path)) is not None and real != "/":
                    made.remove(real, sure)
        case "mount":
            _mounted(view, words[1:], place, sure)
        case _ if name in _UNPACKING:
            if "-C" in words[:-1]:
                into = words[words.index("-C") + 1]
            else:
                into = words[words.index("-d") + 1] if "-d" in words[:-1] else shell.cwd
            into = _place(view, posixpath.join(shell.cwd, into))
            if into != "/" and "c" not in letters[:1]:
                made.unknown.add(into)


def write_unknown(view: RootView, shell: ShellState, path: str, place: str) -> None:
    """Know a file of which only the device has the text."""
    target = posixpath.join(shell.cwd, path)
    if not view.is_directory(target):
        view.made.write(_place(view, target), None, place, not shell.conditions)


def _place(view: RootView, path: str) -> str:
    """Return a guest path without links in its directory; it need not be there."""
    path = posixpath.normpath(path)
    parent, name = posixpath.split(path)
    real = view.canonical(parent)
    return posixpath.join(parent if real is None else real, name)


def _copied(view: RootView, source: str, target: str, place: str, sure: bool) -> None:
    inside = source.endswith(("/.", "/"))
    real = view.canonical(source)
    if real is None:
        return
    if view.is_directory(target) and not (inside and view.is_directory(real)):
        target = posixpath.join(target, posixpath.basename(source))
    _merged(view, real, _place(view, target), place, sure, 0)


def _merged(view: RootView, source: str, target: str, place: str, sure: bool, level: int) -> None:
    view.step()
    source = view.canonical(source) or source
    if view.is_directory(source) and view.is_directory(target) and level < _MAX_LEVELS:
        into = view.canonical(target) or target
        if into == source or into.startswith(f"{source.rstrip('/')}/"):
            return
        for name in view.names(source):
            _merged(view, posixpath.join(source, name), posixpath.join(into, name), place, sure, level + 1)
    elif source in view.made.texts:
        view.made.write(target, view.made.texts[source], place, sure)
    else:
        view.made.copy(source, target, place, sure)


def _mounted(view: RootView, words: list[str], origin: str, sure: bool) -> None:
    kind = options = ""
    plain = []
    bind = False
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word in ("-t", "-o") and at < len(words):
            kind, options = (words[at], options) if word == "-t" else (kind, f"{options},{words[at]}")
            at += 1
        elif word.startswith("-t") and len(word) > 2:
            kind = word[2:]
        elif word.startswith("-"):
            bind = bind or word in ("--bind", "-B", "--rbind", "--move", "-M")
            if word == "-a":
                _of_fstab(view, origin)
        else:
            plain.append(word)
    if len(plain) != 2:
        return
    source, target = plain
    given = options.split(",")
    if bind or "bind" in given or "rbind" in given:
        real = view.canonical(source)
        if real is not None and view.status(target) is not None:
            view.made.copy(real, _place(view, target), origin, sure)
    elif kind in ("overlay", "overlayfs", "mini_fo"):
        lower = next((word.partition("=")[2] for word in given if word.startswith("lowerdir=")), "")
        real = view.canonical(lower.split(":")[0]) if lower else None
        if real is not None:
            view.made.copy(real, _place(view, target), origin, sure)
    else:
        _brought(view, kind, target, origin)


def _brought(view: RootView, kind: str, target: str, origin: str) -> None:
    """A file system of a device, of which a root tells nothing."""
    place = _place(view, target)
    if kind not in _KERNEL and place != "/":
        view.made.directory(place, origin, True)
        view.made.unknown.add(place)


def _of_fstab(view: RootView, origin: str) -> None:
    for line in view.lines("/etc/fstab")[:200]:
        fields = line.split()
        if len(fields) >= 3 and not fields[0].startswith("#") and fields[1].startswith("/"):
            _brought(view, fields[2] if fields[2] != "swap" else "proc", fields[1], origin)


def redirected(follower: Follower, shell: ShellState, node: Node, background: bool) -> Answer:
    """Follow a statement with its standard input, and know what it writes."""
    body = node.child_by_field_name("body")
    before, given = shell.input, _given_lines(follower, shell, node)
    if given is not None:
        shell.input = given
    try:
        status = follower.statement(shell, body, background) if body is not None else True
        # What stands behind a here-document's beginning on its line: the tree holds it inside.
        for redirect in node.named_children:
            if redirect.type == "heredoc_redirect":
                for child in redirect.named_children:
                    if child.type in ("pipeline", "command", "list"):
                        follower.statement(shell, child, background)
    finally:
        shell.input = before
    _write(follower, shell, node)
    return status


def _given_lines(follower: Follower, shell: ShellState, node: Node) -> list[str] | None:
    """Return the lines that a redirection gives to a command, None where nobody knows them."""
    for redirect in node.named_children:
        text: str | None = None
        if redirect.type == "heredoc_redirect":
            text = follower.words.here_document(shell, redirect).text
        elif redirect.type == "file_redirect" and any(child.type == "<" for child in redirect.children):
            path = _named(follower, shell, redirect)
            source = follower.view.text(path) if path else None
            text = None if source is None else source.decode("utf-8", "surrogateescape")
        if text is not None:
            return text.splitlines()
    return None


def _write(follower: Follower, shell: ShellState, node: Node) -> None:
    """Know the file into which a redirection writes."""
    if shell.dead:
        return
    body = node.child_by_field_name("body")
    redirects = [child for child in node.named_children if child.type == "file_redirect"]
    for document in node.named_children:
        if document.type == "heredoc_redirect":
            redirects += [child for child in document.named_children if child.type == "file_redirect"]
    for redirect in redirects:
        kinds = {child.type for child in redirect.children}
        operator = next((one for one in (">", ">>", ">|", "&>") if one in kinds), "")
        other = next((child for child in redirect.children if child.type == "file_descriptor"), None)
        if not operator or (other is not None and shell.script.text(other) != "1"):
            continue
        path = _named(follower, shell, redirect)
        if not path or path.startswith(("/dev/", "/proc/", "/sys/")):
            continue
        place = _place(follower.view, path)
        text = _output(follower, shell, body, node)
        if operator == ">>":
            before = follower.view.text(place) if follower.view.status(place) is not None else b""
            text = None if before is None or text is None else before + text
        follower.view.made.write(place, text, shell.script.place(node), not shell.conditions)


def _named(follower: Follower, shell: ShellState, redirect: Node) -> str:
    target = redirect.child_by_field_name("destination")
    value = follower.words.single(shell, target) if target is not None else None
    return posixpath.join(shell.cwd, value.text) if value is not None and value.text else ""


def _output(follower: Follower, shell: ShellState, body: Node | None, node: Node) -> bytes | None:
    """Return what a command writes, None where that is not known."""
    if body is None:
        return b""
    if body.type != "command":
        return None
    words = follower.command_words(shell, body)
    name = words[0].text if words else ""
    if name in (":", "true", "touch"):
        return b""
    if name == "cat" and len(words) == 1:
        document = next((one for one in node.named_children if one.type == "heredoc_redirect"), None)
        text = follower.words.here_document(shell, document).text if document is not None else None
        return None if text is None else text.encode("utf-8", "surrogateescape")
    if name not in ("echo", "printf", "cat"):
        return None
    value = printed(follower, shell, words, "")
    if value.text is None:
        return None
    end = "" if name == "printf" or (words[1:] and words[1].text in ("-n", "-ne", "-en")) else "\n"
    return f"{value.text}{end}".encode("utf-8", "surrogateescape")
