"""What a proposed rule is born from: the program, the failing call and the place that made it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from triage_tui.errors import TriageError
from triage_tui.rulebook.evidence import Evidence, Site, evidence_text, maps_of, site_of
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.files import inside, read_bounded
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run

MAX_MODULE_BYTES = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ERRNO = re.compile(r"E[A-Z0-9]{1,20}")


def evidence_line(run: Run, hypothesis: Hypothesis, syscall: str) -> str:
    """Return the header's `evidence` of a rule on `syscall`, "" where the record does not tell any."""
    seq = hypothesis.parameters.get("seq", "")
    call = run.syscall(int(seq)) if seq.isdecimal() and len(seq) < 19 else None
    if call is not None and call.name.lower() != syscall:
        call = None
    binary = run.snapshot.target.program_sha256
    errno = (call.errno or "") if call is not None else ""
    site, module = _place(run, call) if call is not None else (None, "")
    return evidence_text(
        Evidence(
            binary=binary if _SHA256.fullmatch(binary) else "",
            errno=errno if _ERRNO.fullmatch(errno) else "",
            module=module,
            site=site,
        )
    )


def _place(run: Run, call: Syscall) -> tuple[Site | None, str]:
    """Return the place of the call, and the digest of its file where that is another than the program."""
    site = site_of(call, maps_of(run.snapshot, call))
    if site is None or site.path == run.snapshot.target.program:
        return site, ""
    frames = run.snapshot.backtrace.frames
    known = next((f.module_sha256 for f in frames if f.module_real_path == site.path and f.module_sha256), "")
    digest = known or _digest(run.snapshot.target.rootfs, site.path)
    # Without its digest it could not be told later whether the file is still the same one.
    return (site, digest) if _SHA256.fullmatch(digest) else (None, "")


def _digest(rootfs: str | None, path: str) -> str:
    if not rootfs:
        return ""
    try:
        found = inside(Path(rootfs), path.lstrip("/"))
        return hashlib.sha256(read_bounded(found, MAX_MODULE_BYTES, whole=True)).hexdigest()
    except (TriageError, OSError, ValueError):
        return ""
