"""What a rule will do, in one plain sentence made from its header."""

from __future__ import annotations

import re

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook import rulefile, start_settings
from triage_tui.rulebook.kinds import kind_of
from triage_tui.rulebook.rulefile import PLUGIN, RuleFile
from triage_tui.runs.model import Syscall
from triage_tui.text import number_of, safe_line

_FIELD = re.compile(r" (path|interface|request|peer|detail|from)=")

MATCHED = ("path", "interface", "request", "peer")
"""Fields of a match that a recorded call has too."""


class Match(msgspec.Struct, frozen=True):
    """What the header says about the calls that a rule is for: "openat path=/etc/x.conf"."""

    syscall: str
    fields: dict[str, str]

    @property
    def unknown(self) -> list[str]:
        """Names of the fields that no recorded call has, so that it cannot be told whether they hold."""
        return [name for name in self.fields if name not in MATCHED]

    def holds(self, call: Syscall) -> bool | None:
        """Tell whether a recorded call is one of those; None where the record does not say it.

        Fields that no record has (`unknown`) are left out.
        """
        if call.name.lower() != self.syscall:
            return False
        found = [_same(name, wanted, call) for name, wanted in self.fields.items() if name in MATCHED]
        return False if False in found else None if None in found else True


def _same(name: str, wanted: str, call: Syscall) -> bool | None:
    found = getattr(call, name)
    if name == "path" and found is None and call.peer is not None:
        # The path of a socket is recorded as the peer.
        kind, _, found = call.peer.partition(":")
        if kind != "unix":
            return False
    if name == "interface" and found is None and call.request is not None:
        # Requests that the emulator does not know are recorded by their numbers.
        return None if call.request.startswith(("SIOC", "0x")) else False
    if found is None:
        return None
    if name == "request":
        return safe_line(found, 200) in wanted.split(" or ")
    # The header holds the value as it is shown, in at most 200 characters.
    return bool(safe_line(found, 200) == wanted or (name == "path" and found == wanted))


def parse_match(text: str) -> Match | None:
    """Read the `match` of a header, None when it is not of the form SYSCALL NAME=VALUE ...

    Values may hold spaces; the next name ends them.
    """
    syscall, _, rest = text.partition(" ")
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,47}", syscall):
        return None
    pieces = _FIELD.split(f" {rest}") if rest else [""]
    if pieces[0].strip():
        return None
    return Match(syscall, dict(zip(pieces[1::2], pieces[2::2], strict=True)))


_VERBS = {
    "provide_file": "Answers {what} by letting it find the file",
    "make_directory": "Lets {what} find the directory",
    "open_device": "Answers {what} with a device of the host",
    "open_null": "Answers {what} with /dev/null",
    "stale_lock": "Lets {what} pass over the lock file",
    "interface_answers": "Answers {what} as if the interface were there",
    "connect_black_hole": "Lets {what} succeed with nobody behind it",
    "netlink_empty": "Answers {what} with a socket behind which nothing is configured",
    "netlink_stand_in": "Answers {what} with a socket that acknowledges everything",
    "multicast_routing": "Answers {what} as a kernel that routes nothing",
    "packet_filter_tables": "Answers {what} as a packet filter without rules",
    "device_answers": "Answers {what} as a device would",
    "zeroed_answer": "Answers {what} with zeros",
    "bind_any": "Lets {what} succeed with another address",
    "permission_success": "Answers {what} with success, without carrying it out",
    "identity_root": "Answers {what} with 0, the number of root",
    "ioctl_success": "Answers {what} with success, without carrying it out",
    "option_success": "Answers {what} with success, without carrying it out",
    "no_such_process": "Answers {what} with ESRCH",
    "observe_calls": "Writes {what} to the log and changes nothing",
}


def sentence_of(name: str, source: bytes, *, for_all: bool = False) -> str:
    """Return what the rule file called `name` does, in one sentence; `for_all` if it is for every target.

    Raises:
        TriageError: the header is broken, or the name is not that of a rule.
    """
    rule = rulefile.parse(source)
    if kind_of(name) != "start":
        return sentence(rule, rulefile.to_source(name, source).syscall, for_all=for_all)
    try:
        does = f"Has the program started with {start_settings.read_start_rule(name, source).says}"
    except TriageError as error:
        return safe_line(f"Is to change how the program is started, but cannot: {error}.", 600)
    return safe_line(f"{does}, {_where(for_all)}.", 600)


def _where(for_all: bool) -> str:
    return "in every target" if for_all else "in this target only"


def sentence(rule: RuleFile, syscall: str, *, for_all: bool = False) -> str:
    """Return what the rule does, when, how often and for whom. `syscall` is that of its file name.

    It is made of what the header says, so it is as true as the header.
    """
    header = rule.header
    if syscall.startswith(PLUGIN):
        return _plugin_sentence(rule, syscall.removeprefix(PLUGIN), for_all)
    if not rule.has_header:
        where = "in every target" if for_all else "in this target"
        return f"Is asked at every {syscall} {where}; without a header only its text tells more."
    match = parse_match(header.match)
    what = _calls(match, syscall)
    verb = _VERBS.get(header.template)
    if verb is not None:
        done = verb.format(what=what)
    elif header.effect:
        done = f"At {what}: {header.effect.rstrip('.')}"
    elif header.intent:
        done = f"Is asked at {what}, to {header.intent.rstrip('.')}"
    else:
        done = f"Is asked at {what}; its header does not say what it does then"
    return safe_line(f"{done}, {_often(header.hit_limit, 'as often as it is made')}, {_where(for_all)}.", 600)


def _often(hit_limit: int | None, unlimited: str) -> str:
    return unlimited if hit_limit is None else f"at most {number_of(hit_limit, 'time')}"


def _plugin_sentence(rule: RuleFile, plugin: str, for_all: bool) -> str:
    from triage_tui.rulebook.plugins.reading import read_plugin

    done = read_plugin(plugin, rule.source).configuration.sentence()
    return safe_line(
        f"{done}, {_often(rule.header.hit_limit, 'as often as it asks')}, {_where(for_all)}.", 600
    )


def _calls(match: Match | None, syscall: str) -> str:
    if match is None or match.syscall != syscall:
        return f"every {syscall}"
    fields = match.fields
    told = [f"{syscall}"]
    if "request" in fields:
        told.append(fields["request"])
    if "path" in fields:
        told.append(f"of {fields['path']}")
    if "interface" in fields:
        told.append(f"for {fields['interface']}")
    if "peer" in fields and fields.get("path") not in fields["peer"].split(":", 1):
        told.append(f"to {fields['peer']}")
    if "from" in fields:
        told.append(f"from {fields['from']}")
    if "detail" in fields:
        told.append(f"({fields['detail']})")
    return " ".join(told) if len(told) > 1 else f"every {syscall}"
