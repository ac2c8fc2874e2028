"""The decompiler's process: `python -m triage_tui.binary.decompile_one FILE ADDRESS START thumb|plain`.

Prints one line of JSON: `text`, `name`, `prototype` and `variables`, or `error`. Started by
`triage_tui.binary.decompiler` only.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from typing import Any

MAX_SIZE = 32 * 1024
"""Bytes of code around the address in which the function is looked for."""


MAX_VARIABLES = 200


def decompile(path: str, vaddr: int, start: int, thumb: bool) -> dict[str, Any]:
    """Return {"text", "name", "prototype", "variables"} of the function at a file address, or {"error"}."""
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
    for one in project.kb.functions.values():
        if one.name.startswith("sub_"):
            # As everywhere else: the file's own address, without the bit that says Thumb.
            address = one.addr - bias
            one.name = f"sub_{address & ~1 if thumb else address:x}"
    result = project.analyses.Decompiler(function, cfg=graph.model)
    if result.codegen is None or not result.codegen.text:
        return {"error": "the function was recognised but not decompiled"}
    answer = {"text": result.codegen.text, "name": function.name, "prototype": "", "variables": []}
    # What its own structures hold may change between releases: the pseudocode is worth having without it.
    with suppress(Exception):
        signature = next(line for line in result.codegen.text.splitlines() if f"{function.name}(" in line)
        answer["prototype"] = signature.rstrip(" {;")
    with suppress(Exception):
        answer["variables"] = _variables(result.codegen.cfunc)[:MAX_VARIABLES]
    return answer


def _variables(function: Any) -> list[tuple[str, str, str]]:
    """Return (name, type, kind) of parameters and variables."""
    found: dict[str, tuple[str, str, str]] = {}
    for kind, several in (("parameter", function.arg_list), ("variable", function.variables_in_use.values())):
        for one in several:
            name = getattr(one.unified_variable or one.variable, "name", None)
            if name and one.variable_type is not None:
                found.setdefault(name, (name, one.variable_type.c_repr(), kind))
    return list(found.values())


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
