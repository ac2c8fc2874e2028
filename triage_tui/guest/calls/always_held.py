"""Which guest calls cannot be made without being held: a line of the log about one needs a notification."""

from __future__ import annotations

from triage_tui.guest.cell import own_descriptors, policy
from triage_tui.guest.log.own_text import HELD


def held_calls(containment: policy.ContainmentPolicy) -> frozenset[bytes]:
    """Return the guest calls that are always held under `containment`, as the log names them."""
    watches = [*containment.watches(), *(watch for watch in own_descriptors.watches(0) if watch.arg is None)]
    held = {*policy.HOOKABLE.split(), *policy.OPENS, *(watch.name for watch in watches)}
    return frozenset(name.encode() for name in HELD.split() if policy.host_names(name) & held)
