"""Write `syscalls.json`, the syscall numbers of the supported ABIs.

Run `python -m triage_tui.guest.arch.generate` after updating the development dependency `system-calls`
(MIT licence; its tables are taken from the Linux sources). The product itself reads the JSON file only.
"""

from __future__ import annotations

import json
from pathlib import Path

TABLES = (
    *("arm", "arm64", "i386", "mips64", "mipso32", "powerpc", "powerpc64", "riscv64", "s390x", "x86_64"),
)
"""Names of the tables as the `system-calls` package calls them."""

OUTPUT = Path(__file__).with_name("syscalls.json")


def render() -> str:
    """Return the text of the data file: one line per table, name -> number, ordered by number."""
    from system_calls import syscalls
    from system_calls.linux_version import linux_version

    source = syscalls()
    lines = [f'  "linux": {json.dumps(linux_version)}']
    for table in TABLES:
        numbered = sorted(source.load_arch_table(table).items(), key=lambda item: (item[1], item[0]))
        lines.append(f'  "{table}": {json.dumps(dict(numbered), separators=(",", ":"))}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    OUTPUT.write_text(render(), encoding="utf-8")
