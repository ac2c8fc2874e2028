"""What checking rules costs: 1,000 different rules linted at once, next to compiling them and splitting them.

Run it with `python -m benchmarks.rule_lint [rules]`. The rules are those of the shipped recorded runs, each
with paths and ids of its own, so that none is checked twice.
"""

from __future__ import annotations

import re
import sys

from benchmarks.measure import print_table, take_turns, timed
from triage_tui.errors import TriageError
from triage_tui.resources import recorded_runs
from triage_tui.rulebook import patches
from triage_tui.rulebook.check.body import read_body
from triage_tui.rulebook.check.lint import lint_all
from triage_tui.rulebook.lua.lexer import tokens
from triage_tui.rulehost.check import check_syntax

ROUNDS = 5
_ID = re.compile(rb"^-- id: .*$", re.MULTILINE)


def rules(count: int) -> dict[str, bytes]:
    """Return so many different rules, file name to text."""
    originals = [
        (name, patches.read_rule(run, name)) for run in recorded_runs() for name in patches.list_rules(run)
    ]
    if not originals:
        raise TriageError("no recorded run with rules is shipped")
    made = {}
    for number in range(count):
        name, text = originals[number % len(originals)]
        text = _ID.sub(b"-- id: rule-%d" % number, text).replace(b'"/', b'"/%d/' % number)
        syscall = name.rpartition("/")[2].partition("@")[0].removesuffix(".lua")
        made[f"{syscall}@rule-{number}.lua"] = text
    return made


def main() -> None:
    """Measure and print the table."""
    sources = rules(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    texts = list(sources.values())
    compiled = list(sources.items())
    seconds = take_turns(
        {
            "compiling in the rule host": timed(lambda: check_syntax(compiled)),
            "splitting into tokens": timed(lambda: [list(tokens(text)) for text in texts]),
            "reading what the bodies do": timed(lambda: [read_body(text) for text in texts]),
            "lint, all of it": timed(lambda: lint_all(sources, "mipsel")),
        },
        ROUNDS,
    )
    size = sum(map(len, texts))
    print_table(f"Lint of {len(texts)} rules, {size >> 10} KiB", seconds, "target: below 2 s for 1,000 rules")


if __name__ == "__main__":
    main()
