"""Names and pseudocode of SFAnalysis for the Lua of a rule directory."""

from __future__ import annotations

from pathlib import Path

from triage_tui.binary.sfanalysis import SfAnalysis
from triage_tui.errors import TriageError
from triage_tui.sfemu.running.answers import AddressBook


def address_book(directory: Path) -> AddressBook:
    """Return what knows the functions of SFAnalysis results.

    Raises:
        TriageError: they cannot be used.
    """
    results = SfAnalysis(directory)

    def look_up(module: str, address: int, most: int) -> tuple[dict[str, int | str], bytes, bool]:
        named = results.name_at(module, address)
        if named is None:
            return {}, b"", False
        name, offset, prototype = named
        entry = address - offset
        facts: dict[str, int | str] = {"func_name": name, "func_entry": entry, "func_offset": offset}
        sizes = [len(place) for place in results.places(module, name) if place.start == entry]
        if sizes:
            facts["func_size"] = sizes[0]
        if prototype:
            facts["prototype"] = prototype
        if file := results.pseudocode_file_at(module, address):
            facts["pseudocode_file"] = file
        try:
            code = results.function_named(module, name)
        except TriageError:
            # Its file is not there: SFEmu leaves the text out as well.
            code = None
        text = code.text.encode("utf-8", "surrogateescape") if code is not None else b""
        return facts, text[:most], len(text) > most or (code is not None and code.truncated)

    return look_up
