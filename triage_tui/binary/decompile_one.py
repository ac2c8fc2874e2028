"""The decompiler's process: `python -m triage_tui.binary.decompile_one FILE ADDRESS START thumb|plain`.

Prints one line of JSON: `text` and `name`, or `error`. Started by `triage_tui.binary.decompiler` only.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

MAX_SIZE = 32 * 1024
"""Bytes of code around the address in which the function is looked for."""


def decompile(path: str, vaddr: int, start: int, thumb: bool) -> dict[str, str]:
    """Return {"text", "name"} of the function that holds the file address `vaddr`, or {"error"}."""
    import angr

    project = angr.Project(path, auto_load_libs=False)
    main: Any = project.loader.main_object
    # angr loads position-independent files at an address of its own choice.
    bias = main.mapped_base - main.linked_base
    entry = start + bias | (1 if thumb else 0)
    graph = project.analyses.CFGFast(
        regions=[(start + bias, max(vaddr, start) + bias + MAX_SIZE)],
        function_starts=[entry],
        normalize=True,
        force_smart_scan=False,
    )
    function = project.kb.functions.floor_func(vaddr + bias | (1 if thumb else 0))
    if function is None:
        return {"error": "no function was recognised at that address"}
    result = project.analyses.Decompiler(function, cfg=graph.model)
    if result.codegen is None or not result.codegen.text:
        return {"error": "the function was recognised but not decompiled"}
    return {"text": result.codegen.text, "name": function.name}


def main() -> int:
    """Answer one question."""
    path, vaddr, start, mode = sys.argv[1:5]
    logging.disable(logging.CRITICAL)
    try:
        answer = decompile(path, int(vaddr, 16), int(start, 16), mode == "thumb")
    except MemoryError:
        answer = {"error": "out of memory"}
    except Exception as error:
        # Whatever a decompiler raises on hostile code means the same: there is no pseudocode.
        answer = {"error": f"{type(error).__name__}: {error}"}
    print("\n" + json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
