"""What a list of runs needs to know of their form, without the models of all that a run holds."""

from __future__ import annotations

SCHEMA_VERSION = 1
"""Of the snapshots that this program writes, and the newest that it knows."""
SNAPSHOT_FILE = "snapshot.json"
MAX_SNAPSHOT_BYTES = 32 << 20
SFEMU_REASONS = {"deadloop": "loop", "idle_deadloop": "idle", "syscall_error": "syscall"}
"""Reasons that SFEmu has other words for."""
