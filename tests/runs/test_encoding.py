"""Records of text that no JSON can hold."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.runs.build import failed_open, write_run
from triage_tui.runs.encoding import encode_line
from triage_tui.runs.events import append_event, read_events
from triage_tui.runs.reader import load_run


def test_surrogates_are_escaped_and_the_rest_is_as_ever() -> None:
    call = failed_open(1, "/etc/\udcff\udcc3\udca9")
    expected = msgspec.to_builtins(call, str_keys=True) | {"path": "/etc/\\xff\u00e9"}
    expected["arguments"] = [
        one.replace("\udcff\udcc3\udca9", "\\xff\u00e9") for one in expected["arguments"]
    ]
    assert msgspec.json.decode(encode_line(call)) == expected
    assert msgspec.json.decode(encode_line({"a\udcfe": ["\ud800", {1: 2}]})) == {
        r"a\xfe": [r"\ud800", {"1": 2}]
    }
    assert msgspec.json.decode(encode_line([Path("/\udcff")], enc_hook=str)) == [r"/\xff"]


def test_a_run_with_such_text_is_written_and_read(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, [failed_open(1, "/tmp/\udcff")])
    append_event(run_dir, "rejected", {"reason": "no \udcfe"})
    run = load_run(run_dir)
    assert run.problems == []
    assert [call.path for call in run.trace()] == [r"/tmp/\xff"]
    assert run.snapshot.recent_syscalls[0].path == r"/tmp/\xff"
    events, problems = read_events(run_dir)
    assert (events[-1].payload, problems) == ({"reason": r"no \xfe"}, [])
