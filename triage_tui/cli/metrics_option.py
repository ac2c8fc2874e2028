"""`--metrics`: serve figures for Prometheus for as long as a command runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from triage_tui.cli.output import say

if TYPE_CHECKING:
    from pathlib import Path

    from triage_tui.telemetry.metrics.following import Belongs
    from triage_tui.telemetry.metrics.server import Taken, Targets


def add_metrics_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        help="serve metrics for Prometheus there while this runs, 127.0.0.1:9464 (default: none; "
        "docs/metrics.md)",
    )


def check_metrics(named: str | None) -> None:
    """Refuse an address that a process of its own could not serve later.

    Raises:
        TriageError: it is none, or it is in use.
    """
    if named is not None:
        from triage_tui.telemetry.metrics.address import read_address
        from triage_tui.telemetry.metrics.server import check_free

        check_free(read_address(named))


@contextmanager
def metrics_of_run(named: str | None, runs_dir: Path, limit_bytes: int) -> Iterator[None]:
    """Serve the figures of the runs that this process records; `limit_bytes` is what all runs may take.

    Raises:
        TriageError: the address is none, or it is in use.
    """
    if named is None:
        yield
        return
    from triage_tui.telemetry.metrics.following import of_this_process

    with _serving(named, runs_dir, of_this_process, limit_bytes=limit_bytes):
        yield


@contextmanager
def metrics_of_workspace(named: str | None, runs_dir: Path) -> Iterator[None]:
    """Serve the figures of all runs of a workspace, whichever process records them.

    Raises:
        TriageError: the address is none, or it is in use.
    """
    if named is None:
        yield
        return
    from triage_tui.telemetry.metrics.following import any_run

    with _serving(named, runs_dir, any_run):
        yield


@contextmanager
def metrics_of_campaign(
    named: str | None,
    runs_dir: Path,
    campaign: str,
    targets: Targets,
    taken: Taken,
    limit_bytes: int = 0,
) -> Iterator[None]:
    """Serve the figures of the runs of a campaign, and how many of its `targets` stand where.

    `targets` and `taken` (see `telemetry.metrics.server`) are asked at each scrape, by a thread of its own;
    the words of `targets` are those of `CampaignState.counts`.

    Raises:
        TriageError: the address is none, or it is in use.
    """
    if named is None:
        yield
        return
    from triage_tui.telemetry.metrics.following import of_campaign

    belongs = of_campaign(campaign)
    with _serving(named, runs_dir, belongs, limit_bytes=limit_bytes, targets=targets, taken=taken):
        yield


@contextmanager
def _serving(
    named: str,
    runs_dir: Path,
    belongs: Belongs,
    *,
    limit_bytes: int | None = None,
    targets: Targets | None = None,
    taken: Taken | None = None,
) -> Iterator[None]:
    from triage_tui.telemetry.metrics.address import read_address
    from triage_tui.telemetry.metrics.server import Metrics, serving

    address = read_address(named)
    metrics = Metrics(runs_dir, belongs, limit_bytes=limit_bytes, targets=targets, taken=taken)
    with serving(address, metrics) as url:
        if not address.is_loopback:
            say(
                f"metrics: whoever reaches {address.host} can read them, without a password; they name no "
                "run, no file and no program"
            )
        say(f"metrics: {url}")
        yield
