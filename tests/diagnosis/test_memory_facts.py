"""Facts from recorded memory: cited with links into its bytes, and only where the bytes say so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.runs.build import write_run
from triage_tui.diagnosis.collect import gather
from triage_tui.diagnosis.facts import MemoryFact
from triage_tui.diagnosis.knowledge import load_knowledge
from triage_tui.diagnosis.memory_facts import memory_facts
from triage_tui.diagnosis.report import diagnose
from triage_tui.runs.evidence import resolve
from triage_tui.runs.memory_model import MemoryField, MemoryObject
from triage_tui.runs.model import Syscall
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.writer import RunWriter, encode_json

FAILED = Syscall(
    seq=1, name="ioctl", arguments=["3", "SIOCGIFADDR"], args=[3, 0x8915, 0x2000], ret=-1, errno="ENODEV",
    request="SIOCGIFADDR", interface="lan0",
)  # fmt: skip


def run_with(
    directory: Path, *objects: tuple[MemoryObject, bytes], calls: Sequence[Syscall] = (FAILED,)
) -> Run:
    """Return a run of these calls that exits with 1, with these memory objects."""
    run_dir = write_run(directory / "ai_runs", list(calls))
    run = load_run(run_dir)
    writer = RunWriter(directory / "blobs")
    for entry, data in objects:
        blob = writer.add_blob(f"{entry.id}.bin", entry.addr, data)
        (run_dir / "memory" / f"{entry.id}.bin").write_bytes(data)
        entry.blob = blob
        run.snapshot.memory.append(entry)
    (run_dir / "snapshot.json").write_bytes(encode_json(run.snapshot))
    return load_run(run_dir)


def entry(ident: str, kind: str, fields: list[MemoryField], **more: object) -> MemoryObject:
    base = MemoryObject(id=ident, tag="argument", source="last_err", addr=0x2000, addr_hex="0x2000")
    for name, value in {"kind": kind, "fields": fields, **more}.items():
        setattr(base, name, value)
    return base


def field(name: str, offset: int, size: int, text: str) -> MemoryField:
    return MemoryField(name=name, offset=offset, size=size, text=text)


def test_the_structure_of_a_failed_call_is_cited(tmp_path: Path) -> None:
    request = b"GET /status HTTP/1.0\r\n\r\n"
    line = field("request", 0, 22, "GET /status HTTP/1.0")
    run = run_with(
        tmp_path,
        (
            entry(
                "last_err_arg2", "struct ifreq for SIOCGIFADDR", [field("ifr_name", 0, 16, '"lan0"')], seq=1
            ),
            b"lan0".ljust(32, b"\0"),
        ),
        (
            entry("last_in_arg1", "http request", [line], seq=0),
            request,
        ),
        (entry("x", "netlink messages", [field("nlmsg_type", 4, 2, "RTM_GETLINK")], seq=0), bytes(20)),
    )
    assert [(fact.object, fact.text) for fact in memory_facts(run)] == [
        ("last_err_arg2", "lan0"),
        ("last_in_arg1", "GET /status HTTP/1.0"),
        ("x", "RTM_GETLINK"),
    ]
    best = diagnose(run).hypotheses[0]
    assert best.cause == "missing_interface"
    cited = next(one for one in best.evidence if "/last_err_arg2" in one.link)
    assert cited.says == 'memory holds the interface name "lan0"'
    # The request that had come before is what it was done for.
    assert any("/last_in_arg1+0:22" in one.link for one in best.evidence)
    found = resolve(run, cited.link)
    assert found.hash_ok
    assert bytes.fromhex(found.text).startswith(b"lan0\0")


def test_an_index_that_says_something_else_than_its_bytes_is_no_fact(tmp_path: Path) -> None:
    lie = entry("m2", "struct ifreq for SIOCGIFADDR", [field("ifr_name", 0, 16, '"wan9"')], seq=1)
    beyond = entry("m3", "http request", [field("request", 900, 22, "GET / HTTP/1.0")], seq=1)
    run = run_with(tmp_path, (lie, b"lan0".ljust(32, b"\0")), (beyond, b"GET / HTTP/1.0\r\n"))
    assert memory_facts(run) == []
    # Bytes that were changed since are none either.
    (run.dir / "memory" / "m2.bin").write_bytes(b"wan9".ljust(32, b"\0"))
    assert memory_facts(run) == []


def test_messages_and_paths_that_the_code_names(tmp_path: Path) -> None:
    texts = {"m2": b"cannot open %s: error\0", "m3": b"putenv\0", "m4": b"/etc/app/main.conf\0"}
    objects = [
        (entry(name, "", [], frame=2, tag="string", string=data[:-1].decode()), data)
        for name, data in texts.items()
    ]
    run = run_with(tmp_path, *objects, calls=[Syscall(seq=1, name="getpid", ret=2)])
    known = memory_facts(run)
    assert [fact.says for fact in known] == [
        'the code of frame 2 names "cannot open %s: error"',
        'the code of frame 2 names "/etc/app/main.conf"',
    ]
    # A text that was not printed while others were says nothing of the end.
    for output, cited in ((b"bye\n", False), (b"cannot open /etc/x: error\n", True), (b"", True)):
        (run.dir / "logs" / "guest.log").write_bytes(output)
        run = load_run(run.dir)
        unknown = next(one for one in diagnose(run).hypotheses if one.cause == "unknown")
        found = [resolve(run, one.link).hash_ok for one in unknown.evidence if "/m2+0:" in one.link]
        assert found == [True] * cited, output


def test_what_registers_hold_is_cited_at_a_fault(tmp_path: Path) -> None:
    shown = entry("reg_a1", "", [], tag="register", source="register", string="http_enable")
    run = run_with(tmp_path, (shown, b"http_enable\0\1\2"), calls=[Syscall(seq=1, name="getpid", ret=2)])
    assert not any("reg_a1" in one.link for one in diagnose(run).hypotheses[0].evidence)
    run.snapshot.reason, run.snapshot.trigger.signal = "signal", "SIGSEGV"
    (run.dir / "snapshot.json").write_bytes(encode_json(run.snapshot))
    run = load_run(run.dir)
    best = diagnose(run).hypotheses[0]
    assert best.cause == "crash_signal"
    cited = next(one for one in best.evidence if "reg_a1" in one.link)
    assert cited.says == 'register a1 points to "http_enable"'
    assert resolve(run, cited.link).hash_ok


def test_entries_may_ask_for_memory(tmp_path: Path) -> None:
    data = b"lan0".ljust(32, b"\0")
    shown = entry("m2", "struct ifreq for SIOCGIFADDR", [field("ifr_name", 0, 16, '"lan0"')], seq=1)
    facts = gather(run_with(tmp_path, (shown, data)), load_knowledge().causality)
    (fact,) = facts.of("memory")
    assert isinstance(fact, MemoryFact)
    assert (fact.what, fact.frame, fact.seq) == ("struct ifreq for SIOCGIFADDR", -1, 1)


def test_what_is_to_be_started_is_shown_by_its_own_bytes(tmp_path: Path) -> None:
    """A vector holds addresses: the link leads to the text."""
    vector = entry("last_err_arg1", "argument vector", [field("[0]", 0, 4, '"/bin/true"')], seq=1)
    text = entry("last_err_arg0", "", [], tag="string", string="/bin/true", seq=1)
    call = Syscall(
        seq=1, name="execve", args=[8, 9], ret=-1, errno="ENOENT", path="/bin/true", arguments=['"/bin/true"']
    )
    pointer = b"\xbc\xff\xff\x3f"
    alone = run_with(tmp_path / "alone", (vector, pointer), calls=[call])
    assert memory_facts(alone) == []
    run = run_with(tmp_path / "both", (text, b"/bin/true\0"), (vector, pointer), calls=[call])
    best = diagnose(run).hypotheses[0]
    assert best.entry == "helper-exec"
    cited = next(one for one in best.evidence if one.says.startswith("memory holds the program to start"))
    assert bytes.fromhex(resolve(run, cited.link).text) == b"/bin/true"


def test_memory_of_another_process_than_the_frozen_one_is_no_fact(tmp_path: Path) -> None:
    data = b"lan0".ljust(32, b"\0")
    shown = entry("m2", "struct ifreq for SIOCGIFADDR", [field("ifr_name", 0, 16, '"lan0"')], seq=1)
    run = run_with(tmp_path, (shown, data))
    run.snapshot.trigger.pid = 2
    for pid, known in ((2, 1), (3, 0), (0, 1)):
        run.snapshot.recent_syscalls[0].pid = pid
        assert len(memory_facts(run)) == known
