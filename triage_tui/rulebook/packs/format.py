"""Rule packs: rules of one target for others, as one file whose bytes follow from its content alone.

    NAME.rulepack              a zip of stored (not compressed) files:
        manifest.json          this module's `PackManifest`
        syscall/openat@x.lua   the rules, byte for byte as they are active
        cases/NAME.json        in a stable set: the recorded cases that are its tests
    NAME.rulepack.minisig      a minisign signature of the whole file

The order, times and modes of the zip are fixed, so that exporting twice gives the same file. Reading makes
use of that: what was read is packed again and must give the same bytes. So nothing can stand in a pack that
its manifest does not name: no second file of a name, no link, no device, nothing in between and at the end.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping

import msgspec

from triage_tui.errors import TriageError
from triage_tui.rulebook.manifest import RELATIVE_PATH
from triage_tui.rulebook.rulefile import MAX_RULE_BYTES, to_source
from triage_tui.runs.record import Record
from triage_tui.text import safe_line

SCHEMA_VERSION = 2
"""2: with `PackManifest.stable`. A pack without one is written as 1, byte for byte as before."""
SUFFIX = ".rulepack"
SIGNATURE_SUFFIX = ".minisig"
MANIFEST_FILE = "manifest.json"
MAX_PACK_BYTES = 16 << 20
MAX_RULES = 1024
MAX_CASES = 64
MAX_CASE_BYTES = 2 << 20
MAX_TEXT = 1000
PACK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

_CASE = re.compile(r"cases/[a-z0-9][a-z0-9_-]{0,62}\.json")
_TIME = (1980, 1, 1, 0, 0, 0)
_REGULAR = (stat.S_IFREG | 0o644) << 16


class Conditions(Record):
    """For what a rule was made. Empty fields are not known."""

    arch: str = ""
    binary_sha256: str = ""
    """Of the program whose run it was proposed for."""
    errnos: list[str] = []
    """Errors with which the calls failed that it matches, in that run."""


class PackRule(Record):
    """One rule of a pack; texts are those of its header, raw."""

    file: str
    size: int
    sha256: str
    id: str
    syscall: str
    intent: str = ""
    match: str = ""
    hit_limit: int | None = None
    risk: str = ""
    side_effects: str = ""
    inverse: str = ""
    conditions: Conditions = msgspec.field(default_factory=Conditions)


class FrozenCase(Record):
    """A recorded case of a stable set, in the form of the knowledge base's cases."""

    file: str
    size: int
    sha256: str
    run: str
    """The run that it was made of."""
    signature: str
    """Of the cause that the case is diagnosed with."""
    healthy: bool = False


class Frozen(Record):
    """What a rule is expected to do at the calls of a case."""

    rule: str
    """File of the rule."""
    case: str
    """File of the case."""
    acts: list[int] = []
    """Numbers of the calls at which it acts."""
    answers: dict[str, int | str] = {}
    """Number of a call to the result that the guest gets, a number or the name of an error."""


class StableSet(Record):
    """What makes a pack a stable set: rules that mended a failure, the proof of that, and their tests."""

    program: str
    """Guest path."""
    argv: list[str]
    arch: str
    mends: list[str]
    """Signatures of the causes that are gone with these rules; when one is back, its story is reopened."""
    proof: str
    """The run that is well with exactly these rules."""
    proved: str
    """How that run is well, in words."""
    since: str
    """When that run was recorded, ISO 8601."""
    cases: list[FrozenCase]
    tests: list[Frozen]
    rootfs: str = ""
    """Root file system on the host where it was made, "" for a program without one."""
    left_out: list[str] = []
    """Active rules that did nothing in that run, and others that acted there and are no part of this set."""


class PackManifest(Record):
    """What a pack holds. `rules_sha256` is over the names and digests of all rules (see `rules_digest`)."""

    name: str
    description: str
    engine_version: str
    """Version of triage-tui that wrote it."""
    rule_header_version: int
    rules_sha256: str
    count: int
    architectures: list[str]
    target: str
    generation: int
    generation_digest: str
    rules: list[PackRule]
    schema_version: int = 1
    stable: StableSet | None = None


class Pack(msgspec.Struct, frozen=True):
    """A pack that was read: its manifest, the rules and cases by name, and all of its bytes."""

    manifest: PackManifest
    rules: Mapping[str, bytes]
    raw: bytes
    cases: Mapping[str, bytes] = msgspec.field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of the whole file."""
        return hashlib.sha256(self.raw).hexdigest()


def rules_digest(rules: list[PackRule]) -> str:
    """Return the SHA-256 of the lines "SHA256  NAME", sorted by name, as sha256sum(1) writes them."""
    lines = sorted(f"{rule.file}\0{rule.sha256}  {rule.file}\n" for rule in rules)
    return hashlib.sha256("".join(line.partition("\0")[2] for line in lines).encode()).hexdigest()


def packed(
    manifest: PackManifest, rules: Mapping[str, bytes], cases: Mapping[str, bytes] | None = None
) -> bytes:
    """Return the bytes of a pack; the same for the same content."""
    stream = io.BytesIO()
    fields = msgspec.to_builtins(manifest)
    if manifest.stable is None:
        del fields["stable"]
    plain = msgspec.json.encode(fields, order="sorted")
    held = dict(sorted({**rules, **(cases or {})}.items()))
    files = {MANIFEST_FILE: msgspec.json.format(plain, indent=1) + b"\n", **held}
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system = 3
            entry.external_attr = _REGULAR
            archive.writestr(entry, data)
    return stream.getvalue()


def read_pack(raw: bytes, shown: str) -> Pack:
    """Read a pack; `shown` is its name in what is said about it.

    Raises:
        TriageError: it is no pack, is damaged or hostile, or is of a newer version.
    """
    if len(raw) > MAX_PACK_BYTES:
        raise TriageError(f"{shown} has more than {MAX_PACK_BYTES} bytes: that is no rule pack")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
            _check_entries(entries, shown)
            files = {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise TriageError(f"{shown} is no rule pack: {safe_line(str(error), 120)}") from error
    if MANIFEST_FILE not in files:
        raise TriageError(f"{shown} has no {MANIFEST_FILE}: it is no rule pack")
    manifest = _manifest(files.pop(MANIFEST_FILE), shown)
    cases = {name: files.pop(name) for name in list(files) if _CASE.fullmatch(name)}
    _check_manifest(manifest, files, shown)
    _check_cases(manifest, cases, shown)
    if packed(manifest, files, cases) != raw:
        raise TriageError(
            f"{shown} holds more than its manifest says, or says it in another way: it was refused"
        )
    return Pack(manifest, files, raw, cases)


def _check_entries(entries: list[zipfile.ZipInfo], shown: str) -> None:
    """Refuse what no pack holds, before anything is read of it."""
    cases = sum(_CASE.fullmatch(entry.filename) is not None for entry in entries)
    if cases > MAX_CASES or len(entries) - cases > MAX_RULES + 1:
        raise TriageError(f"{shown} holds more than {MAX_RULES} rules, or more than {MAX_CASES} cases")
    seen: set[str] = set()
    for entry in entries:
        name = safe_line(entry.orig_filename, 120)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise TriageError(f"{shown} holds the link {name}, which was refused")
        if kind not in (0, stat.S_IFREG) or entry.is_dir():
            raise TriageError(f"{shown} holds {name}, which is no regular file, and was refused")
        if entry.filename.casefold() in seen:
            raise TriageError(f"{shown} holds {name} twice (or apart from capital letters), and was refused")
        if entry.orig_filename != entry.filename or not (
            entry.filename == MANIFEST_FILE
            or RELATIVE_PATH.fullmatch(entry.filename)
            or _CASE.fullmatch(entry.filename)
        ):
            raise TriageError(f"{shown} holds {name}, which is no name of a rule, and was refused")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise TriageError(f"{shown} holds {name} compressed, which no rule pack does: it was refused")
        if entry.file_size > _most_of(entry.filename):
            raise TriageError(
                f"{shown} holds {name} of {entry.file_size} bytes, which is too large for a rule"
            )
        seen.add(entry.filename.casefold())
    if sum(entry.file_size for entry in entries) > MAX_PACK_BYTES:
        raise TriageError(f"{shown} holds more than {MAX_PACK_BYTES} bytes")


def _most_of(name: str) -> int:
    """Return how many bytes a file of a pack has at most."""
    if name == MANIFEST_FILE:
        return MAX_PACK_BYTES
    return MAX_CASE_BYTES if _CASE.fullmatch(name) else MAX_RULE_BYTES


def _manifest(raw: bytes, shown: str) -> PackManifest:
    try:
        manifest = msgspec.json.decode(raw, type=PackManifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = safe_line(str(error), 120)
        raise TriageError(f"the manifest of {shown} cannot be read: {why}") from error
    if manifest.schema_version > SCHEMA_VERSION:
        version = safe_line(manifest.engine_version, 40)
        raise TriageError(f"{shown} was written by a newer triage-tui ({version}): update this one")
    if (manifest.schema_version >= SCHEMA_VERSION) != (manifest.stable is not None):
        raise TriageError(f"{shown} says that it is of schema {manifest.schema_version}, which it is not")
    if not PACK_NAME.fullmatch(manifest.name):
        raise TriageError(f"{shown} has the name {safe_line(manifest.name, 80)!r}, which no pack can have")
    return manifest


def _check_manifest(manifest: PackManifest, files: Mapping[str, bytes], shown: str) -> None:
    named = {rule.file: rule for rule in manifest.rules}
    if len(named) != len(manifest.rules) or named.keys() != files.keys() or manifest.count != len(files):
        raise TriageError(f"{shown} does not hold the rules that its manifest names")
    for name, data in files.items():
        rule = named[name]
        if rule.size != len(data) or rule.sha256 != hashlib.sha256(data).hexdigest():
            raise TriageError(f"{name} in {shown} is not what its manifest says")
        source = to_source(name, data)
        if (rule.id, rule.syscall) != (source.id, source.syscall):
            raise TriageError(f"{name} in {shown} is another rule than its manifest says")
    if rules_digest(manifest.rules) != manifest.rules_sha256:
        raise TriageError(f"the digest of all rules in {shown} is not that of its manifest")


def _check_cases(manifest: PackManifest, files: Mapping[str, bytes], shown: str) -> None:
    named = {case.file: case for case in manifest.stable.cases} if manifest.stable is not None else {}
    known = len(manifest.stable.cases) if manifest.stable is not None else 0
    if len(named) != known or named.keys() != files.keys():
        raise TriageError(f"{shown} does not hold the cases that its manifest names")
    for name, data in files.items():
        case = named[name]
        if case.size != len(data) or case.sha256 != hashlib.sha256(data).hexdigest():
            raise TriageError(f"{name} in {shown} is not what its manifest says")
    rules = {rule.file for rule in manifest.rules}
    for test in manifest.stable.tests if manifest.stable is not None else ():
        if test.rule not in rules or test.case not in named:
            raise TriageError(f"a test in {shown} is about a rule or a case that it does not hold")
