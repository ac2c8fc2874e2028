"""Names for code addresses of a running guest, for rules that ask what lies there."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from pathlib import Path

from triage_tui.binary.modules import ModuleMap
from triage_tui.guest.arch import Arch
from triage_tui.guest.record.capture_code import find_frames
from triage_tui.guest.state.memory import Memory
from triage_tui.runs.process_model import Mapping


class AddressNames:
    """The functions of a guest's modules; a module's file is read when it is first asked for."""

    def __init__(self) -> None:
        self._modules: ModuleMap | None = None
        self._maps: Sequence[Mapping] = ()
        """What was given last: one call of a rule gives the same again and again."""
        self._known: list[tuple[int, str, int]] = []

    def describe(self, maps: Sequence[Mapping], root: Path, address: int) -> MappingABC[str, int | str]:
        """Return what is known of `address` under the names of SFEmu's c_resolve_addr; empty when nothing is.

        `root` is the guest's root as the host sees it. `analysis_addr` and `func_entry` are addresses in the
        module's own terms (as in its ELF file).
        """
        found = self._modules_of(maps, root).locate(address)
        if found is None:
            return {}
        facts: dict[str, int | str] = {
            "module_name": found.module.name,
            "module_real_path": found.module.path,
            "load_bias": found.module.bias,
            "analysis_addr": found.vaddr,
        }
        if found.name is not None:
            start = found.symbol.start if found.symbol is not None and found.stub is None else found.vaddr
            facts |= {"func_name": found.name, "func_entry": start, "func_offset": found.vaddr - start}
            if found.symbol is not None and found.stub is None:
                facts["func_size"] = found.symbol.end - found.symbol.start
        return facts

    def callers(
        self,
        arch: Arch,
        registers: MappingABC[str, int],
        memory: Memory,
        maps: Sequence[Mapping],
        root: Path,
        most: int,
    ) -> list[dict[str, int | str]]:
        """Return the call stack of a thread that is held in a call, innermost frame first.

        The frames are found as those of the record are. One that is a mere candidate ends it: a rule must not
        act because of an old return address.
        """
        frames, _ = find_frames(arch, dict(registers), memory, self._modules_of(maps, root), most)
        found: list[dict[str, int | str]] = []
        for frame in frames:
            if frame.confidence == "low":
                break
            facts = {
                "addr": frame.addr,
                "module_name": frame.module_name,
                "module_real_path": frame.module_real_path,
                "analysis_addr": frame.module_offset,
                "func_name": frame.func_name,
                "func_offset": frame.func_offset,
            }
            found.append({key: value for key, value in facts.items() if value is not None})
        return found

    def _modules_of(self, maps: Sequence[Mapping], root: Path) -> ModuleMap:
        if self._modules is None or maps is not self._maps:
            key = [(mapping.start, mapping.path, mapping.offset) for mapping in maps]
            if self._modules is None or key != self._known:
                self._modules, self._known = ModuleMap(maps, root), key
            self._maps = maps
        return self._modules
