"""The one way in which values become JSON: text that no JSON can hold is escaped, and never ends a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from triage_tui.text import recordable

_encoder = msgspec.json.Encoder()


def encode_line(value: object, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    """Return `value` as JSON without a line break.

    Names of the file system and the command line hold bytes that are no UTF-8 as surrogates (PEP 383). What
    goes into a record should have been made `recordable` before; where it was not, it is here.
    """
    try:
        return _encoder.encode(value) if enc_hook is None else msgspec.json.encode(value, enc_hook=enc_hook)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(value, str_keys=True, enc_hook=enc_hook)
        return _encoder.encode(_recordable(plain))


def _recordable(value: Any) -> Any:
    if isinstance(value, str):
        return recordable(value)
    if isinstance(value, dict):
        return {_recordable(key): _recordable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_recordable(one) for one in value]
    return value
