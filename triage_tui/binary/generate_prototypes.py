"""Generate `prototypes.json` from the headers of musl (MIT licence) that the package ziglang brings along.

    python -m triage_tui.binary.generate_prototypes

The headers are put through zig's preprocessor for 32-bit ARM; every declaration of a function in what comes
out is kept, with its white space made regular. GNU and BSD functions of musl are among them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

TARGET = "arm-linux-musleabi"
OUTPUT = Path(__file__).with_name("prototypes.json")
_DECLARATION = re.compile(r"(?P<before>[\w\s*]+?)\b(?P<name>\w+)\s*\((?P<rest>[^{}]*)\)\Z")
_WORDS = re.compile(
    r"\b(extern|__inline|inline|static|_Noreturn|restrict|__restrict)\b|__attribute__\s*\(\(.*?\)\)\s*"
)
_NOT_TYPES = ("typedef", "return", "struct", "union", "enum")


def headers(root: Path) -> list[str]:
    """Return the names of the headers that can be included together."""
    names = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.h"))]
    return [name for name in names if not name.startswith(("bits/", "scsi/")) and "alltypes" not in name]


def declarations(text: str) -> list[str]:
    """Return what stands between semicolons outside of all braces."""
    found, depth, begin = [], 0, 0
    for match in re.finditer(r"[{};]", text):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0 and text[match.end() : match.end() + 40].lstrip()[:1] not in (";", "*", "_"):
                begin = match.end()
        elif depth == 0:
            found.append(text[begin : match.start()])
            begin = match.end()
    return found


def prototypes(text: str) -> dict[str, str]:
    """Return name -> prototype of the functions that preprocessed headers declare."""
    known: dict[str, str] = {}
    for declaration in declarations(text):
        plain = " ".join(_WORDS.sub(" ", declaration).split())
        match = _DECLARATION.match(plain)
        if match is None or plain.startswith("typedef") or match["name"].startswith("__builtin"):
            continue
        result = re.sub(r"\s*\*\s*", " *", match["before"]).strip()
        if not result or "(" in result:
            continue
        space = "" if result.endswith("*") else " "
        parameters = re.sub(r"\s+([,)])", r"\1", match["rest"].strip())
        known.setdefault(match["name"], f"{result}{space}{match['name']}({parameters})")
    return known


def main() -> int:
    """Write the file."""
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        print("install the package ziglang first", file=sys.stderr)
        return 2
    root = Path(spec.origin).parent / "lib" / "libc" / "include" / "generic-musl"
    known: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as work:
        source = Path(work, "all.c")
        for name in headers(root):
            # One by one: some of them do not go together.
            source.write_text(f"#define _GNU_SOURCE\n#define _BSD_SOURCE\n#include <{name}>\n")
            command = [sys.executable, "-m", "ziglang", "cc", "-target", TARGET, "-E", "-P", str(source)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                for function, prototype in prototypes(done.stdout).items():
                    known.setdefault(function, prototype)
    text = json.dumps(
        {"source": "headers of musl libc, MIT licence", "prototypes": known}, indent=0, sort_keys=True
    )
    OUTPUT.write_text(text + "\n")
    print(f"{len(known)} prototypes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
