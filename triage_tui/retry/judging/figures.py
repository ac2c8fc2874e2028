"""The figures of one run that a verdict sets beside those of another."""

from __future__ import annotations

from collections import Counter

from triage_tui.retry.judging.earlier_rounds import call_sites
from triage_tui.retry.judging.service import probe_in_words
from triage_tui.runs.call_signatures import signatures
from triage_tui.runs.reader import Run
from triage_tui.runs.verdict_model import Figures, Rung
from triage_tui.text import recordable

MAX_ERRNOS, MAX_PROBES, MAX_LOOP = 16, 16, 12


def figures_of(run: Run, rung: Rung | None) -> Figures:
    """Return the figures of one run."""
    snapshot = run.snapshot
    statistics = snapshot.statistics
    errnos = Counter(call.errno for call in run.trace() if call.errno)
    return Figures(
        run_id=run.run_id,
        reason=snapshot.reason,
        exit_code=snapshot.trigger.exit_code,
        signal=snapshot.trigger.signal,
        syscalls=statistics.syscalls,
        distinct_signatures=statistics.distinct_signatures or len(signatures(run.trace())),
        failed_syscalls=statistics.failed_syscalls,
        listening=statistics.listening,
        elapsed_ms=statistics.elapsed_ms,
        errnos=dict(errnos.most_common(MAX_ERRNOS)),
        processes=statistics.processes,
        loop=", ".join(list(dict.fromkeys(snapshot.loop.names))[:MAX_LOOP]) if snapshot.loop else "",
        probes=[recordable(probe_in_words(probe)) for probe in snapshot.probes[:MAX_PROBES]],
        faked=sum(call.rule is not None for call in run.trace()),
        call_sites=len(call_sites(run)),
        rung=rung,
    )
