"""A rule that would be for most calls of a run is limited to the function that made the failing one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.build import write_run
from triage_tui.proposals.build import propose_one
from triage_tui.rulebook.check.lint import lint
from triage_tui.runs.diagnosis_model import Hypothesis
from triage_tui.runs.frame_model import Backtrace, Frame
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import load_run

ASKED = Hypothesis(
    cause="permission",
    proximate="permission",
    confidence=0.8,
    title="t",
    parameters={"syscalls": "kill", "operation": "kill", "detail": "7, 0", "seq": "9"},
)


def rule_of(tmp_path: Path, *, calls: int, name: str = "supervise", site: int = 0x1140) -> str:
    made = [
        Syscall(
            seq=seq,
            name="kill",
            args=[7, 0],
            arguments=["7", "0"],
            ret=-3,
            errno="ESRCH",
            return_address=site,
        )
        for seq in range(10 - calls, 10)
    ]
    frames = [
        Frame(idx=0, addr=0x9000, addr_hex="0x9000", module_name="libc.so.6", func_name="_exit"),
        Frame(idx=1, addr=0x1180, addr_hex="0x1180", module_name="x", func_name=name, func_offset=0x80),
    ]
    run = load_run(write_run(tmp_path, made, backtrace=Backtrace(frames=frames)))
    proposal = propose_one(run, 0, ASKED, "process_alive")
    assert proposal is not None
    text = (run.dir / "rules_patch" / proposal.files[0]).read_text()
    assert "only_from" not in text
    assert [one for one in lint(text.encode(), proposal.files[0], "mipsel") if one.severity == "error"] == []
    return text


def test_a_broad_match_is_limited_to_the_function_that_the_record_names(tmp_path: Path) -> None:
    text = rule_of(tmp_path, calls=8)
    assert "from=x!supervise\n" in text
    check = 'if not c_called_from("x", "supervise") then return 0, 0 end\n'
    # After what costs less.
    assert text.index("a2 ~= 0") < text.index(check) < text.index("c_log(")


@pytest.mark.parametrize(
    "fields",
    [
        {"calls": 7},
        # A function without a name, a name that does not stand in Lua as it is, a call from elsewhere.
        {"calls": 8, "name": ""},
        {"calls": 8, "name": 'x") os.exit("'},
        {"calls": 8, "site": 0x1190},
    ],
)
def test_what_is_not_broad_or_not_named_has_no_limit(tmp_path: Path, fields: dict[str, object]) -> None:
    text = rule_of(tmp_path, **fields)  # type: ignore[arg-type]
    assert "from=" not in text
    assert "c_called_from" not in text
