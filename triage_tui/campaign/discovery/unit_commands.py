"""Command lines of units: quoting, variables and specifiers. systemd.service(5), systemd.unit(5)."""

from __future__ import annotations

import re

import msgspec

from triage_tui.campaign.discovery.unit_files import Unit

_PREFIXES = "@-:+!"
_SPECIFIER = re.compile(r"%(.)")
_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""$NAME without braces is a variable only where it is a word of its own."""
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_KNOWN = {"%": "%", "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc"} | {
    "T": "/tmp",
    "V": "/var/tmp",
    "u": "root",
    "U": "0",
    "g": "root",
    "G": "0",
    "h": "/root",
    "s": "/bin/sh",
}
_OF_DEVICE = {
    "H": "the host's name",
    "m": "the machine's id",
    "b": "the id of the boot",
    "v": "the kernel's release",
} | {
    "l": "the host's name",
    "a": "the architecture",
    "o": "the distribution",
    "w": "its version",
    "B": "its build",
    "d": "the directory of credentials",
}


class NotKnown(Exception):
    """A part of a command line that only the running device tells; the text says which."""


class Command(msgspec.Struct, kw_only=True):
    """One command of a unit."""

    program: str
    argv: list[str]


def split(text: str) -> list[str]:
    """Return the words of a line, with quotes and escapes taken away; what is not closed ends at the end."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\" and at < len(text):
            found, at = _escaped(text, at)
            word = (word or "") + found
        elif char == quote:
            quote = ""
        elif quote:
            word = (word or "") + char
        elif char in "\"'":
            quote, word = char, word or ""
        elif not char.isspace():
            word = (word or "") + char
        elif word is not None:
            words.append(word)
            word = None
    if word is not None:
        words.append(word)
    return words


def _escaped(text: str, at: int) -> tuple[str, int]:
    """Return what an escape stands for, `at` behind its backslash, and where the text goes on."""
    char = text[at]
    if char in _ESCAPES:
        return _ESCAPES[char], at + 1
    code = re.compile(r"x([0-9a-fA-F]{2})|([0-7]{3})").match(text, at)
    if code is not None:
        number = int(code[1], 16) if code[1] else int(code[2], 8)
        return chr(number) if 0 < number < 128 else "?", code.end()
    return char, at + 1


def with_specifiers(unit: Unit, text: str) -> str:
    """Replace what begins with %.

    Raises:
        NotKnown: one that only the running device tells.
    """

    def replaced(match: re.Match[str]) -> str:
        letter = match[1]
        user = unit.last("Service", "User")
        match letter:
            case "n":
                return unit.name
            case "N":
                return unit.name.rpartition(".")[0]
            case "p" | "P":
                return unit.prefix
            case "i":
                return unit.instance
            case "I":
                return _unescaped(unit.instance)
            case "j":
                return unit.prefix.rpartition("-")[2]
            case "f":
                return "/" + _unescaped(unit.instance or unit.prefix)
        # Specifiers are those of the manager, not of User=.
        if letter in _KNOWN:
            return _KNOWN[letter]
        told = _OF_DEVICE.get(letter, "nothing that is known")
        raise NotKnown(
            f"the specifier %{letter} stands for {told}{', of ' + user if letter == 'd' and user else ''}"
        )

    return _SPECIFIER.sub(replaced, text)


def _unescaped(text: str) -> str:
    """Return an instance as systemd-escape(1) had it before: - is /, \\xNN a byte."""
    text = text.replace("-", "/")
    return re.sub(
        r"\\x([0-7][0-9a-fA-F])", lambda match: chr(int(match[1], 16)) if match[1] != "00" else "", text
    )


def commands(unit: Unit, line: str, environment: dict[str, str]) -> list[Command]:
    """Return the commands of one line: Type=oneshot may have several with a semicolon between them.

    Raises:
        NotKnown: a part of it is known on the device alone.
    """
    found: list[Command] = []
    words: list[str] = []
    for word in [*split(line), ";"]:
        if word != ";":
            words.append(word)
        elif words:
            found.append(_command(unit, words, environment))
            words = []
    return found


def _command(unit: Unit, words: list[str], environment: dict[str, str]) -> Command:
    first = words[0].lstrip(_PREFIXES)
    prefixes = words[0][: len(words[0]) - len(first)]
    program = with_specifiers(unit, first)
    rest = [with_specifiers(unit, word) for word in words[1:]]
    argv0 = rest.pop(0) if "@" in prefixes and rest else program
    if ":" in prefixes:
        return Command(program=program, argv=[argv0, *rest])
    argv = [argv0]
    for word in rest:
        whole = re.fullmatch(r"\$([A-Za-z_][A-Za-z0-9_]*)", word)
        if whole is not None:
            # A variable that is a word of its own is split into words.
            argv += split(environment.get(whole[1], ""))
        else:
            argv.append(_VARIABLE.sub(lambda match: _value(match, environment), word))
    return Command(program=program, argv=argv)


def _value(match: re.Match[str], environment: dict[str, str]) -> str:
    if match[0] == "$$":
        return "$"
    return environment.get(match[1], "")


def assignments(text: str) -> dict[str, str]:
    """Return what a value of Environment= sets."""
    return dict(word.split("=", 1) for word in split(text) if "=" in word and not word.startswith("="))


def file_assignments(lines: list[str]) -> dict[str, str]:
    """Return what a file of EnvironmentFile= sets: NAME=VALUE a line, in quotes or not."""
    found: dict[str, str] = {}
    held = ""
    for line in lines[:2000]:
        text = held + line.strip()
        if not text or text[0] in "#;":
            continue
        if text.endswith("\\"):
            held = text[:-1]
            continue
        held = ""
        name, equals, value = text.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name.strip()):
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            found[name.strip()] = value
    return found
