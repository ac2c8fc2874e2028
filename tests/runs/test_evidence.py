from pathlib import Path

import msgspec
import pytest

from tests.runs.build import write_run
from triage_tui.errors import TriageError
from triage_tui.runs.evidence import Link, describe_syscall, links_in, make_link, parse_link, resolve
from triage_tui.runs.frame_model import Backtrace, Frame, PseudocodeRef
from triage_tui.runs.model import RuleHit, Syscall
from triage_tui.runs.process_model import Descriptor, Mapping
from triage_tui.runs.reader import Run, load_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    frame = Frame(idx=0, addr=0x1000, addr_hex="0x1000", module_name="x", func_name="main")
    code = PseudocodeRef(frame=0, addr_hex="0x1000", file="pseudocode/frame00_0x1000.txt")
    return load_run(
        write_run(
            tmp_path,
            backtrace=Backtrace(raw=["0x1000"], frames=[frame], pseudocode_index=[code]),
            maps=[Mapping(start=0x1000, end=0x2000, perms="r-x", path="/sbin/x")],
            fds=[Descriptor(fd=4, target="/etc/x")],
            rule_hits=[RuleHit(rule="fix-openat-1", hits=2, syscall="openat")],
        )
    )


CASES = [
    ("syscall", 1, {}, "ENOENT"),
    ("reg", "v0", {}, "v0 = 0x00001234"),
    ("frame", 0, {}, "main"),
    ("code", 0, {"line": 2}, "second"),
    ("mem", "m1", {"offset": 1, "length": 2}, "65 6c"),
    ("map", 0, {}, "/sbin/x"),
    ("fd", 4, {}, "/etc/x"),
    ("log", "guest.log", {"line": 1}, "no configuration"),
    ("rule", "fix-openat-1", {}, "2 hits"),
]


@pytest.mark.parametrize(("kind", "id", "extra", "shows"), CASES)
def test_a_link_leads_to_what_was_cited(
    run: Run, kind: str, id: object, extra: dict[str, int], shows: str
) -> None:
    text = make_link(run, kind, id, **extra)  # type: ignore[arg-type]
    found = resolve(run, text)
    assert found.exists
    assert found.hash_ok
    assert shows in found.text
    assert str(parse_link(text)) == text


@pytest.mark.parametrize(
    ("kind", "id", "extra"),
    [
        ("syscall", 99, {}),
        ("reg", "pc", {}),
        ("frame", 7, {}),
        ("code", 0, {"line": 99}),
        ("mem", "m1", {"offset": 5, "length": 2}),
        ("mem", "m2", {}),
        ("map", 1, {}),
        ("fd", 5, {}),
        ("log", "../snapshot.json", {}),
        ("log", "other.log", {}),
        ("rule", "x", {}),
    ],
)
def test_what_is_not_there_cannot_be_cited(run: Run, kind: str, id: object, extra: dict[str, int]) -> None:
    with pytest.raises(TriageError, match="to cite"):
        make_link(run, kind, id, **extra)  # type: ignore[arg-type]
    span = f"+{extra['offset']}:{extra['length']}" if "offset" in extra else ""
    line = f"#L{extra['line']}" if "line" in extra else ""
    link = f"ev:{kind}/{id}{span}{line}"
    assert not resolve(run, link).exists


def test_evidence_that_changed_is_noticed(run: Run) -> None:
    link = make_link(run, "syscall", 1)
    path = run.dir / "snapshot.json"
    path.write_bytes(path.read_bytes().replace(b"ENOENT", b"EACCES"))
    trace = run.dir / "trace.jsonl"
    trace.write_bytes(trace.read_bytes().replace(b"ENOENT", b"EACCES"))
    found = resolve(load_run(run.dir), link)
    assert found.exists
    assert not found.hash_ok


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://x",
        "ev:syscall",
        "ev:shell/1",
        "ev:syscall/1 2",
        "ev:mem/a+1",
        "ev:syscall/1~zz",
        "ev:log/a)b",
    ],
)
def test_other_text_is_no_link(run: Run, text: str) -> None:
    with pytest.raises(TriageError, match="no evidence link"):
        parse_link(text)
    assert not resolve(run, text).exists


def test_links_are_found_in_an_explanation() -> None:
    text = "It failed: [open](ev:syscall/1~0123456789ab), see [x](http://y) and [m](ev:mem/a+1:2)."
    assert links_in(text) == [("open", "ev:syscall/1~0123456789ab"), ("m", "ev:mem/a+1:2")]


def test_a_link_round_trips_through_json() -> None:
    link = parse_link("ev:code/0#L3~0123456789ab")
    assert msgspec.json.decode(msgspec.json.encode(link), type=Link) == link


def test_the_path_of_a_call_is_shown_where_its_arguments_are_only_numbers() -> None:
    call = Syscall(seq=1, name="openat", args=[0xFFFFFF9C, 0x1000], path="/etc/x")
    assert describe_syscall(call) == 'openat(0xffffff9c, 0x1000)  ["/etc/x"]'
    call.arguments = ["AT_FDCWD", '"/etc/x"']
    assert describe_syscall(call) == 'openat(AT_FDCWD, "/etc/x")'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[bind(inet6:[::]:80) = -1](ev:syscall/7)", [("bind(inet6:[::]:80) = -1", "ev:syscall/7")]),
        (
            "see [nginx: [emerg] a](ev:log/g#L1)[b](ev:fd/3)",
            [("nginx: [emerg] a", "ev:log/g#L1"), ("b", "ev:fd/3")],
        ),
        ("[[a]](ev:syscall/1)", [("[a]", "ev:syscall/1")]),
        ("[" * 5000 + "](ev:syscall/1)", []),
    ],
)
def test_the_text_of_a_link_may_hold_brackets_in_pairs(text: str, found: list[tuple[str, str]]) -> None:
    assert links_in(text) == found
