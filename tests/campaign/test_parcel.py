"""What a worker elsewhere sends is data: it is unpacked where it belongs, or refused in one sentence."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from tests.campaign.build import played, target
from triage_tui.campaign import parcel
from triage_tui.campaign.model import Options
from triage_tui.campaign.order import Answer, Order, decode_answer, decode_order
from triage_tui.errors import TriageError
from triage_tui.retry.start import read_start
from triage_tui.runs.reader import load_run

RUN = "ai_runs/20260131_020000_00000001"


def zipped(files: dict[str, bytes]) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return into.getvalue()


def answer_with(data: bytes) -> Answer:
    return Answer(target=target(1).target, kind="finished", parcel=data)


def test_a_parcel_comes_home_whole_and_its_start_is_ours(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    sent = target(1, root="/on/this/machine")
    rules = {"x-1/generations/0001/manifest.json": b"{}", "x-1/current": b"generations/0001"}
    order = Order(campaign="c", target=target(1, root="/worker/cache"), options=Options(), rules=rules)
    answer = played(order, there)
    assert answer.outcome is not None
    (run,) = answer.outcome.runs
    (there / "ai_runs" / run / "start.json").write_text(json.dumps({"program": "/evil", "argv": ["/evil"]}))
    parcel.unpack(answer_with(parcel.pack(there)), here, sent, Options(time_limit_s=7))
    found = load_run(here / "ai_runs" / run)
    assert found.problems == []
    assert found.snapshot.target.rootfs == "/on/this/machine"
    start = read_start(found.dir)
    assert (start.program, start.rootfs) == ("/sbin/x", "/on/this/machine")
    assert start.triggers.time_limit_s == 7
    assert (here / "rulebook" / "x-1" / "current").readlink() == Path("generations/0001")
    assert found.memory_bytes("m1") == b"hello\0"


@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "/etc/passwd",
        "ai_runs/../../../evil/x",
        f"{RUN}/start.json",
        f"{RUN}/\x1b[2J",
        "elsewhere/a/b",
        "ai_runs/notes",
        f"{RUN}/" + "a/" * 12 + "b",
        "rulebook/.pending/x.json",
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TriageError, match="which was refused"):
        parcel.unpack(answer_with(zipped({name: b"x"})), tmp_path / "place", target(1), Options())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"no zip", "cannot be read"),
        (zipped({f"{RUN}/snapshot.json": b"{}"})[:-30], "cannot be read"),
        (zipped({"rulebook/x/current": b"../../../../etc"}), "leads to no generation"),
        (zipped({f"{RUN}/snapshot.json": b"[" * 100_000}), "that can be read"),
        (zipped({f"{RUN}/snapshot.json": b'{"target": 3}'}), "that can be read"),
        (zipped({f"{RUN}/regs.txt": b""}), "without a snapshot.json"),
        (zipped({"ai_runs/notes/snapshot.json": b"{}"}), "where runs are expected"),
        (zipped({f"ai_runs/x/{n}": b"" for n in range(20)}), "more than 16 files"),
        (zipped({f"{RUN}/trace.jsonl": bytes(5000)}), "more than 4096 bytes"),
    ],
)
def test_a_damaged_or_hostile_parcel_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, data: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcel, "MAX_FILES", 16)
    if "4096" in why:
        monkeypatch.setattr(parcel, "MAX_BUNDLE_BYTES", 4096)
    with pytest.raises(TriageError, match=why):
        parcel.unpack(answer_with(data), tmp_path / "place", target(1), Options())
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_longer_than_it_says_ends_there(tmp_path: Path) -> None:
    data = zipped({f"{RUN}/a.txt": bytes(1000)})
    # The size in the list of files, which is what is believed (APPNOTE.TXT 4.3.12: offset 24).
    at = data.rfind(b"PK\x01\x02") + 24
    shorter = answer_with(data[:at] + b"\x01\0\0\0" + data[at + 4 :])
    with pytest.raises(TriageError):
        parcel.unpack(shorter, tmp_path / "place", target(1), Options())
    assert list(tmp_path.iterdir()) == []


def test_orders_and_answers_that_are_none_are_refused() -> None:
    for raw in (b"", b"\xc1", b"\x81\xa1a\x01", None, "text", b"\x91" * 5000):
        with pytest.raises(TriageError):
            decode_answer(raw)
    with pytest.raises(TriageError):
        decode_order(b"\x80")
