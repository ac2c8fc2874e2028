"""What all structs of the run record share."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, kw_only=True, omit_defaults=False):
    """Base of all record structs: unknown fields of newer versions are ignored on reading."""
