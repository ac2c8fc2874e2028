"""Make the index of one file: the process that `index_store` starts, `index_one FILE OUT`."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from triage_tui.binary.index_store import encode
from triage_tui.binary.indexing import build_index
from triage_tui.errors import TriageError

_STEP = 0.02
"""Share of the whole after which progress is told again."""


def main(arguments: list[str]) -> int:
    """Write the index; progress and a refusal go to standard output, one line each."""
    told = -1.0

    def tell(what: str, share: float) -> None:
        nonlocal told
        if share >= told + _STEP:
            told = share
            print(f"{share:.3f} {what}", flush=True)

    # Millions of small objects that all stay: looking for garbage among them takes as long as making them.
    gc.disable()
    try:
        index = build_index(Path(arguments[0]).read_bytes(), tell)
    except TriageError as error:
        print(f"error {error}", flush=True)
        return 1
    Path(arguments[1]).write_bytes(encode(index))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
