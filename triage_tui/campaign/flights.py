"""Targets that workers have, or are about to get, and the orders for them."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from triage_tui.campaign.base_rules import kept_policy, rules_of
from triage_tui.campaign.journal import Told
from triage_tui.campaign.left_over import WORK
from triage_tui.campaign.model import Options, Target
from triage_tui.campaign.order import Order
from triage_tui.campaign.starting import given_files


class Flight(msgspec.Struct):
    """A target that a worker has, or is about to get."""

    target: Target
    order: Order
    began: float
    worker: str = ""
    address: str = ""
    """Where it was given to, or is about to be; "" for a worker of this process."""

    def told(self, error: str, seconds: float | None = None) -> Told:
        """Return what is written down of how it ended; by default it took as long as it is under way."""
        took = round(time.monotonic() - self.began, 3) if seconds is None else seconds
        return Told(worker=self.worker, seconds=took, attempt=self.order.attempt, error=error)


def order_for(
    directory: Path,
    target: Target,
    options: Options,
    *,
    embedded: bool,
    attempt: int,
    first: int,
    vouched: list[str],
) -> Order:
    """Return the order for a target of the campaign in `directory`; the fields are those of `Order`.

    Raises:
        TriageError: its rules, or a file that is to travel with it, cannot be read or are too large.
        OSError: the same.
    """
    rules = rules_of(directory, target)
    options = msgspec.structs.replace(options, policy_file=kept_policy(directory))
    return Order(
        campaign=directory.name,
        target=target,
        options=options,
        attempt=attempt,
        first=first,
        rules=rules,
        vouched=vouched if rules else [],
        given={} if embedded else given_files(target, options),
        place=str(directory / WORK / target.target) if embedded else "",
    )
