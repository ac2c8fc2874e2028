"""What recorded memory shows, as facts: the interface that a request names, what was asked of a server.

The record says what each object was recognised as when it was captured. A text is a fact only where its bytes
are in the object: an index that says something else than the memory it is about proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from triage_tui.diagnosis.facts import Fact, Facts, FailedCall, MemoryFact, Source
from triage_tui.diagnosis.output import is_complaint
from triage_tui.errors import TriageError
from triage_tui.runs.memory_model import MemoryField, MemoryObject
from triage_tui.runs.reader import Run

MAX_FACTS = 60
MAX_CITED = 2
"""Facts of memory that one hypothesis cites."""
_MAX_TEXT = 200
_TELLING = {
    "struct ifreq": ("ifr_name", "the interface name"),
    "struct sockaddr_un": ("sun_path", "the socket path"),
    "struct sockaddr_in": ("sin_addr", "the address"),
    "struct sockaddr_in6": ("sin6_addr", "the address"),
    "http request": ("request", "the request"),
    "http answer": ("status", "the answer"),
}
"""Kind of an object (its beginning) -> the field that says most, and what that is."""
_PACKED = ("sin_addr", "sin6_addr")
"""Fields whose bytes are no text."""
_FORMAT = re.compile(r"%[-+ #0-9.*hlzjt]*[a-zA-Z]")
_PATH = re.compile(r"/[\w.+@%-]+(?:/[\w.+@%-]+)+\Z")


def memory_facts(run: Run) -> list[MemoryFact]:
    """Return what the memory objects of a run show, in the order of the record."""
    found: list[MemoryFact] = []
    for entry in run.snapshot.memory:
        if len(found) >= MAX_FACTS:
            break
        if entry.blob is not None and not _of_another_process(run, entry):
            found += _facts_of(run, entry)
    return found


def _of_another_process(run: Run, entry: MemoryObject) -> bool:
    """Tell whether the call was made by another process than the one whose memory was read for it."""
    frozen = run.snapshot.trigger.pid
    calls = (call for call in run.snapshot.recent_syscalls if call.seq == entry.seq)
    call = next(calls, None) if entry.seq is not None else None
    return call is not None and call.pid > 0 and 0 < frozen != call.pid


def _facts_of(run: Run, entry: MemoryObject) -> Iterator[MemoryFact]:
    if entry.frame is not None and entry.string:
        yield from _named_by_code(run, entry, entry.string)
        return
    if entry.tag == "register" and entry.string and entry.id.startswith("reg_"):
        text = entry.string[:_MAX_TEXT]
        whole = MemoryField(name="", offset=0, size=len(entry.string.encode()), text=text)
        if _is_there(run, entry, whole):
            yield _fact(entry, f'register {entry.id[4:]} points to "{text}"', text, whole)
        return
    kind = entry.kind.partition(" for ")[0]
    if kind == "netlink messages":
        yield from _netlink(run, entry)
        return
    if kind == "argument vector":
        yield from _started(run, entry)
        return
    telling = _TELLING.get(kind)
    field = next((one for one in entry.fields if telling and one.name == telling[0]), None)
    if telling is not None and field is not None and _is_there(run, entry, field):
        text = field.text.strip('"')[:_MAX_TEXT]
        yield _fact(entry, f'memory holds {telling[1]} "{text}"', text, field)


def _started(run: Run, entry: MemoryObject) -> Iterator[MemoryFact]:
    """Yield the first text of an argument vector, shown by the object that holds the text itself."""
    first = next((one for one in entry.fields if one.name == "[0]"), None)
    text = first.text.strip('"')[:_MAX_TEXT] if first is not None else ""
    for held in run.snapshot.memory:
        if text and held.string == text and held.blob is not None:
            whole = MemoryField(name="", offset=0, size=len(text.encode("utf-8", "replace")), text=text)
            if _is_there(run, held, whole):
                fact = _fact(held, f'memory holds the program to start "{text}"', text, whole)
                seq = -1 if entry.seq is None else entry.seq
                yield msgspec.structs.replace(fact, seq=seq, what=entry.kind)
                return


def _netlink(run: Run, entry: MemoryObject) -> Iterator[MemoryFact]:
    """Yield the error of a netlink answer, else the type of the first message."""
    error = next((one for one in entry.fields if one.name.endswith("error") and one.text[:1] == "-"), None)
    kind = next((one for one in entry.fields if one.name.endswith("nlmsg_type")), None)
    field = error or kind
    if field is None or not _bytes_of(run, entry, field):
        return
    text = field.text[:_MAX_TEXT]
    what = "the netlink error" if error else "the netlink message"
    yield _fact(entry, f"memory holds {what} {text}", text, field)


def _named_by_code(run: Run, entry: MemoryObject, text: str) -> Iterator[MemoryFact]:
    """Yield a message or a path that the code of a frame names."""
    text = text.strip()[:_MAX_TEXT]
    # A format for a person to read, or a file: names of functions and options say little.
    if not (is_complaint(text) and " " in text) and not _PATH.match(text):
        return
    field = MemoryField(name="", offset=0, size=entry.blob.size if entry.blob else 0, text=text)
    if _is_there(run, entry, field):
        yield _fact(entry, f'the code of frame {entry.frame} names "{text}"', text, field)


def _bytes_of(run: Run, entry: MemoryObject, field: MemoryField) -> bytes:
    try:
        return run.memory_bytes(entry.id)[field.offset : field.offset + field.size]
    except TriageError:
        return b""


def _is_there(run: Run, entry: MemoryObject, field: MemoryField) -> bool:
    data = _bytes_of(run, entry, field)
    if field.name in _PACKED:
        return bool(data)
    text = field.text.strip('"').removeprefix("@").removesuffix("…")
    return bool(text) and text.encode("utf-8", "replace")[:40] in data


def _fact(entry: MemoryObject, says: str, text: str, field: MemoryField) -> MemoryFact:
    return MemoryFact(
        source=Source(kind="mem", id=entry.id, part=(field.offset, max(1, field.size))),
        says=says,
        cite=text,
        seq=-1 if entry.seq is None else entry.seq,
        steps=0,
        object=entry.id,
        what=entry.kind or entry.tag,
        text=text,
        frame=-1 if entry.frame is None else entry.frame,
    )


def _may_be_the_reason(fact: MemoryFact, facts: Facts) -> bool:
    """Tell whether a text that code names may say why: it was printed, or nothing was and it failed."""
    if facts.end.code == 0:
        return False
    # Of a format, its longest text is looked for.
    text = max(_FORMAT.split(fact.text), key=len).strip()
    printed = [message.text for message in facts.messages if message.stream == "output"]
    return not printed or any(text in one for one in printed)


def memory_about(facts: Facts, subject: Fact) -> list[MemoryFact]:
    """Return what memory shows of the call that a hypothesis is about, or of the code at its end."""
    known = [fact for fact in facts.of("memory") if isinstance(fact, MemoryFact)]
    about = [fact for fact in known if fact.seq >= 0 and fact.seq == subject.seq]
    # At a fault, the arguments of the function that failed are in registers still.
    held = [fact for fact in known if fact.what == "register" and facts.end.reason == "signal"]
    if not about and subject is facts.end:
        about = [*held, *(fact for fact in known if fact.frame >= 0 and _may_be_the_reason(fact, facts))]
    elif isinstance(subject, FailedCall) and not subject.child:
        about += held[:1]
    if subject is facts.end or isinstance(subject, FailedCall):
        # What failed after a request had come was most likely done for it.
        served = (fact for fact in known if fact.what == "http request" and 0 <= fact.seq < subject.seq)
        about = [*served, *about]
    return about[:MAX_CITED]
