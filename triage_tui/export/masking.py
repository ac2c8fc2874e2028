"""The files of a run as they go into a bundle: secrets masked, and nothing left that would give them away.

The hash of bytes that hold a secret gives a short secret away: whoever has all other bytes can try words
until the hash fits. So where something is masked the hashes of what was there go as well: those of memory
objects, those in links to evidence, and the names of prompts, which are hashes.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import Any

import msgspec

from triage_tui.errors import TriageError
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.evidence import parse_link, resolve
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.masked_memory import learn_from_memory, masked_memory
from triage_tui.runs.reader import MAX_BLOB_BYTES, Run
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.secret_scan import Span
from triage_tui.runs.secrets import masked
from triage_tui.runs.writer import ENVIRONMENT_FILE, SNAPSHOT_FILE, encode_json, fnv1a32

MAX_FILE_BYTES = MAX_BLOB_BYTES
_LINK = re.compile(r"ev:[a-z]+/[^\s\"()\[\]]{1,300}?~[0-9a-f]{12}(?![0-9a-f])")
MAX_PROMPTS = 1000
_STEPS = re.compile(r"analyst/[^/]+/steps\.jsonl\Z")
_PROMPT = re.compile(r"analyst/[^/]+/prompts/")


class Masking:
    """Reads the files of one run and takes the secrets out of them."""

    def __init__(self, run: Run, redaction: Redaction) -> None:
        self.run = run
        self.redaction = redaction
        self._links: dict[str, str] = {}
        self._memory: dict[str, tuple[list[Span], str, int]] = {}
        """File of a memory object that holds secrets: where, and the hashes of its bytes without them."""
        self._named_by_secrets: set[str] = set()
        if not redaction.off:
            learn_from_memory(run, redaction)
            before = redaction.count
            self._look_at_memory()
            redaction.count = before

    def _look_at_memory(self) -> None:
        for name in {entry.blob.file for entry in self.run.snapshot.memory if entry.blob is not None}:
            try:
                data, spans = self.redaction.masked_bytes(self._read(name))
            except TriageError:
                # It is not there, or cannot be masked: then it is left out, and its hash with it.
                self._memory[name] = ([], "", 0)
                continue
            if spans:
                self._memory[name] = (spans, hashlib.sha256(data).hexdigest(), fnv1a32(data))

    def _read(self, name: str) -> bytes:
        return read_bounded(inside(self.run.dir, name), MAX_FILE_BYTES, whole=True)

    def content(self, name: str, *, memory: bool) -> tuple[bytes, int]:
        """Return a file as it goes into the bundle, and how many places of it were masked.

        `memory` tells whether the bundle has the memory objects.

        Raises:
            TriageError: it cannot be read, is too large, or holds secrets that cannot be masked.
        """
        data = self._read(name)
        redaction = self.redaction
        if redaction.off:
            return data, 0
        before = redaction.count
        if name == ENVIRONMENT_FILE:
            data = self._environments()
        elif name.startswith("memory/"):
            data, _ = redaction.masked_bytes(data)
        elif name == SNAPSHOT_FILE:
            data = self._snapshot(data, memory)
        else:
            text = data.decode("utf-8", "surrogateescape")
            if redaction.found_in(text):
                if _PROMPT.match(name):
                    self._named_by_secrets.add(name)
                    raise TriageError("it holds what looks like a secret, and its name is a hash of it")
                is_json = PurePosixPath(name).suffix in (".json", ".jsonl")
                data = self._json(name, data) if is_json else _masked_text(text, redaction)
        if _STEPS.match(name):
            data = self._without_prompts(name, data)
        if not name.startswith(("memory/", "rules_patch/", "logs/", "pseudocode/")):
            data = self._without_hashes(data)
        return data, redaction.count - before

    def name_of(self, name: str) -> str:
        """Return how a file that is left out is named: of a prompt that holds a secret not by its hash."""
        return f"{PurePosixPath(name).parent}/(a prompt)" if name in self._named_by_secrets else name

    def _json(self, name: str, data: bytes) -> bytes:
        redaction = self.redaction
        try:
            if not name.endswith(".jsonl"):
                return encode_json(redaction.value(msgspec.json.decode(data)))
            lines = []
            for line in data.split(b"\n"):
                if line and redaction.found_in(line.decode("utf-8", "replace")):
                    line = encode_line(redaction.value(msgspec.json.decode(line)))
                lines.append(line)
            return b"\n".join(lines)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise TriageError(
                "it holds what looks like a secret, and is no JSON in which to mask it"
            ) from error

    def _snapshot(self, data: bytes, memory: bool) -> bytes:
        """Return the snapshot, masked, with what is said of memory as it is in the bundle."""
        hashed = any(region.hashes for region in self.run.snapshot.memory_regions)
        if self._memory or hashed:
            try:
                snapshot = msgspec.json.decode(data)
                self._tell_of_memory(snapshot, memory)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError) as error:
                raise TriageError("it is no JSON in which the hashes of secrets could be found") from error
            data = encode_json(snapshot)
        if self.redaction.found_in(data.decode("utf-8", "surrogateescape")):
            data = self._json(SNAPSHOT_FILE, data)
        return data

    def _tell_of_memory(self, snapshot: dict[str, Any], memory: bool) -> None:
        for entry in _dicts(snapshot.get("memory")):
            blob = entry.get("blob")
            if not isinstance(blob, dict) or blob.get("file") not in self._memory:
                continue
            spans, sha256, fnv = self._memory[blob["file"]]
            there = memory and bool(spans)
            blob["sha256"] = sha256 if there else ""
            blob["fnv1a32"] = f"0x{fnv:08x}" if there else ""
            if spans:
                blob["masked"] = [[first, last - first] for first, last in spans]
        for region in _dicts(snapshot.get("memory_regions")):
            # The files that these are of are in no bundle.
            region["hashes"] = []

    def _environments(self) -> bytes:
        redaction = self.redaction
        shown: dict[int, list[str]] = {}
        for pid, entries in self.run.environments().items():
            shown[pid] = []
            for entry in entries:
                hidden = masked(entry)
                redaction.count += hidden != entry
                shown[pid].append(redaction.text(hidden))
        return encode_json(shown)

    def _without_hashes(self, data: bytes) -> bytes:
        """Take the hash out of each link to evidence that holds a secret."""
        if b"ev:" not in data:
            return data
        text = data.decode("utf-8", "surrogateescape")
        return _LINK.sub(lambda match: self._link(match[0]), text).encode("utf-8", "surrogateescape")

    def _without_prompts(self, name: str, data: bytes) -> bytes:
        """Take the hashes of prompts that hold a secret out of the steps of an analysis."""
        directory = inside(self.run.dir, f"{PurePosixPath(name).parent}/prompts")
        for path in sorted(directory.glob("*.json"))[:MAX_PROMPTS] if directory.is_dir() else []:
            stem = path.name.removesuffix(".json")
            if not re.fullmatch(r"[0-9a-f]{8,64}", stem):
                continue
            try:
                prompt = self._read(f"{PurePosixPath(name).parent}/prompts/{path.name}")
            except TriageError:
                continue
            if self.redaction.found_in(prompt.decode("utf-8", "replace")):
                data = re.sub(rb'"' + stem.encode() + rb'[0-9a-f]{0,64}"', b'""', data)
        return data

    def _link(self, link: str) -> str:
        if link not in self._links:
            self._links[link] = link.rpartition("~")[0] if self._gives_away(link) else link
        return self._links[link]

    def _gives_away(self, link: str) -> bool:
        try:
            parsed = parse_link(link)
        except TriageError:
            return True
        found = resolve(self.run, parsed)
        if not found.exists:
            # Nobody can say what the hash is of; memory that could not be read here may be a secret's.
            return parsed.kind == "mem"
        before = self.redaction.count
        try:
            if parsed.kind == "mem":
                data, hidden = masked_memory(self.run, found, self.redaction)
                return bool(hidden) or not data
            return self.redaction.found_in(found.text)
        finally:
            self.redaction.count = before


def _masked_text(text: str, redaction: Redaction) -> bytes:
    return redaction.text(text).encode("utf-8", "surrogateescape")


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
