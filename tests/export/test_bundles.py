"""Bundles: what is in them, what stays out, and the way back into a workspace."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from tests.export.places import RUN, exported, stopped
from tests.packaging.checkout import ROOT
from tests.runs.build import write_run
from triage_tui.cli.main import main
from triage_tui.diagnosis.report import write_report
from triage_tui.errors import Stopped, TriageError
from triage_tui.export.exporting import Wanted, export_to, write_export
from triage_tui.export.manifest import MANIFEST_FILE, manifest_schema
from triage_tui.export.unpacking import unpack_bundle
from triage_tui.runs.diagnosis_model import Diagnosis, Evidence, Hypothesis
from triage_tui.runs.evidence import make_link, resolve
from triage_tui.runs.memory_model import MemoryExtent, MemoryField, MemoryObject, MemoryRegion
from triage_tui.runs.process_model import Process
from triage_tui.runs.reader import Run, load_run
from triage_tui.runs.secrets import MASK
from triage_tui.runs.writer import RunWriter, encode_json, fnv1a32

PREFIX = f"ai_runs/{RUN}/"


def manifest_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return dict(json.loads(archive.read(MANIFEST_FILE)))


def why_left_out(path: Path) -> dict[str, str]:
    return {entry["name"]: entry["why"] for entry in manifest_of(path)["left_out"]}


def rewritten(path: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> Path:
    """A bundle with another manifest and other files."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST_FILE, json.dumps(manifest))
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_the_manifest_names_every_file_and_follows_its_schema(workspace: Path) -> None:
    path = exported(workspace, "json")
    manifest = manifest_of(path)
    jsonschema.validate(manifest, manifest_schema())
    with zipfile.ZipFile(path) as archive:
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    del found[MANIFEST_FILE]
    assert found == {entry["name"]: entry["sha256"] for entry in manifest["files"]}
    assert PREFIX + "snapshot.json" in found


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = ROOT / "docs" / "schemas" / "bundle-manifest.schema.json"
    assert published.read_bytes() == encode_json(manifest_schema())


def test_an_unpacked_bundle_is_a_workspace(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(exported(workspace, "json")) as archive:
        archive.extractall(unpacked)
    assert main(["show", "last", "-C", str(unpacked)]) == 0
    after = capsys.readouterr().out
    assert main(["show", RUN, "-C", str(workspace)]) == 0
    before = capsys.readouterr().out
    # Of what is cited only the memory is not there, which is not as if it had never been.
    assert after.count("UNSUPPORTED") == before.count("UNSUPPORTED")
    assert "LEFT OUT OF THIS BUNDLE" in " ".join(after.split())
    told = [" ".join(text.split()).replace(" LEFT OUT OF THIS BUNDLE", "") for text in (after, before)]
    assert told[0] == told[1]
    assert "ioctl" in after
    # It is said in short, and without the path of a file that was never sent.
    with pytest.raises(TriageError, match=r"\Anot in this bundle\Z"):
        load_run(unpacked / "ai_runs" / RUN).memory_bytes("ioctl-arg")


def test_round_trip_with_memory_keeps_all_evidence(workspace: Path, tmp_path: Path) -> None:
    path = exported(workspace, "json", memory=True)
    other = tmp_path / "other"
    run_id, _ = unpack_bundle(path, other)
    assert run_id == RUN
    before, after = (load_run(root / "ai_runs" / RUN) for root in (workspace, other))
    assert after.snapshot == before.snapshot
    assert after.events == before.events
    assert after.problems == []
    assert after.trace() == before.trace()
    assert after.patch_files() == before.patch_files()
    assert after.memory_bytes("ioctl-arg") == before.memory_bytes("ioctl-arg")
    assert (other / "ai_runs" / RUN / "environment.json").stat().st_mode & 0o077 == 0
    # A run that was imported gives the same bundle again.
    again = exported(other, "json", memory=True)
    files = [[(e["name"], e["sha256"]) for e in manifest_of(one)["files"]] for one in (path, again)]
    assert files[0] == files[1]


def test_secrets_stay_behind_and_the_manifest_says_so(workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / RUN
    (run_dir / "logs" / "guest.log").write_text("key is hunter2 and WIFI_PSK=12345 PATH=/bin\n")
    (run_dir / "start.json").write_text("{}")
    path = exported(workspace, "json")
    manifest = manifest_of(path)
    assert manifest["secrets"] == "masked"
    assert {entry["name"] for entry in manifest["files"] if entry["masked"]} >= {
        PREFIX + "environment.json",
        PREFIX + "logs/guest.log",
    }
    with zipfile.ZipFile(path) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
        log = archive.read(PREFIX + "logs/guest.log").decode()
    assert b"hunter2" not in everything
    assert log == f"key is {MASK} and WIFI_PSK={MASK} PATH=/bin\n"
    assert "environment" in why_left_out(path)["start.json"]
    kept = exported(workspace, "json", keep_secrets=True)
    assert kept.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(kept) as archive:
        assert b"hunter2" in archive.read(PREFIX + "environment.json")


SECRET = b"\0\1API_KEY=hunter2\0\xff\xfehost=h\0"


@pytest.fixture
def keeper(tmp_path: Path) -> Path:
    """A workspace whose run has a secret in an object, and beside it all that could give it away."""
    writer = RunWriter(tmp_path / "w" / "ai_runs")
    blob = writer.add_blob("env.bin", 0x2000, SECRET)
    field = MemoryField(name="API_KEY", offset=10, size=7, text="hunter2")
    entry = MemoryObject(
        id="env", tag="arg", source="trigger", addr=0x2000, addr_hex="0x2000", blob=blob, fields=[field]
    )
    region = MemoryRegion(
        pid=1, start=0x2000, end=0x3000, perms="rw-p", name="[stack]", file="memory/full_1.bin",
        size=len(SECRET), hashes=[hashlib.sha256(SECRET).hexdigest()],
        extents=[MemoryExtent(addr=0x2000, size=len(SECRET), offset=0)],
    )  # fmt: skip
    process = Process(pid=1, program="/sbin/x", argv=["x"], arch="arm", looked_at=True)
    given: dict[str, Any] = {"memory": [entry], "memory_regions": [region], "processes": [process]}
    run_dir = write_run(tmp_path / "w" / "ai_runs", writer=writer, **given)
    (run_dir / "memory/full_1.bin").write_bytes(SECRET)
    (run_dir / "logs/own.log").write_text("started\nPIN=4711\n")
    run = load_run(run_dir)
    links = {
        "whole": make_link(run, "mem", "env"),
        "secret": make_link(run, "mem", "env", offset=10, length=7),
        "beside": make_link(run, "mem", "env", offset=20, length=6),
        "address": make_link(run, "mem", "0x200a", offset=0, length=7),
        "other": make_link(run, "mem", "m1"),
        "pin": make_link(run, "log", "own.log", line=2),
        "line": make_link(run, "log", "own.log", line=1),
    }
    evidence = [Evidence(link=link, says=name) for name, link in links.items()]
    invented = Evidence(link="ev:mem/none~0123456789ab", says="invented", supported=False)
    hypothesis = Hypothesis(
        cause="missing_file", proximate="missing_file", confidence=0.5, title="t",
        explanation=f"see [it]({links['secret']})", evidence=[*evidence, invented],
    )  # fmt: skip
    write_report(run, Diagnosis(run_id=run.run_id, scene="unknown", headline="h", hypotheses=[hypothesis]))
    analysis = run_dir / "analyst/001/prompts"
    analysis.mkdir(parents=True)
    (analysis / "0123456789ab.json").write_text('["the prompt: PIN=4711"]')
    (analysis / "ba9876543210.json").write_text('["the prompt"]')
    hashes = [name + "0" * 52 for name in ("0123456789ab", "ba9876543210")]
    (analysis.parent / "steps.jsonl").write_text(
        "".join(f'{{"prompt_sha256":"{name}","outcome":"PIN=4711"}}\n' for name in hashes)
    )
    return tmp_path / "w"


def in_bundle(place: Path, tmp_path: Path, **options: bool) -> tuple[Run, bytes]:
    """The run of a bundle, imported elsewhere, and all bytes of the bundle."""
    [run_dir] = (place / "ai_runs").iterdir()
    path = exported(place, "json", run_dir.name, "", **options)
    other = tmp_path / f"other-{len(list(tmp_path.iterdir()))}"
    unpack_bundle(path, other)
    with zipfile.ZipFile(path) as archive:
        everything = b"\n".join([n.encode() + b"\n" + archive.read(n) for n in archive.namelist()])
    return load_run(other / "ai_runs" / run_dir.name), everything


def test_of_memory_only_the_secret_is_masked_and_nothing_gives_it_away(keeper: Path, tmp_path: Path) -> None:
    run, everything = in_bundle(keeper, tmp_path, memory=True)
    assert run.memory_bytes("env") == SECRET.replace(b"hunter2", b"*" * 7)
    entry = run.memory_object("env")
    assert entry is not None
    assert entry.blob is not None
    assert entry.blob.masked == [(10, 7)]
    assert entry.blob.sha256 == hashlib.sha256(run.memory_bytes("env")).hexdigest()
    assert MASK in entry.fields[0].text
    # Of seven bytes a hash tells what they are, when all the others are known.
    for leak in (
        b"hunter2", b"4711", b"68 75 6e", hashlib.sha256(SECRET).hexdigest().encode(),
        b"0123456789ab0", f"0x{fnv1a32(SECRET):08x}".encode(), b"0123456789ab.json",
    ):  # fmt: skip
        assert leak not in everything, leak
    assert b"ba9876543210.json" in everything
    assert run.diagnosis is not None
    [hypothesis] = run.diagnosis.hypotheses
    links = {one.says: one.link for one in hypothesis.evidence}
    for name in ("whole", "secret", "address", "pin"):
        assert "~" not in links[name], name
    for name in ("other", "line", "beside"):
        assert resolve(run, links[name]).hash_ok, name
        assert "~" in links[name]
    assert resolve(run, links["secret"]).text == " ".join(["2a"] * 7)
    assert "~" not in hypothesis.explanation
    # Nothing was masked in the run itself.
    [own] = (keeper / "ai_runs").iterdir()
    assert load_run(own).memory_bytes("env") == SECRET
    kept, everything = in_bundle(keeper, tmp_path, memory=True, keep_secrets=True)
    assert kept.memory_bytes("env") == SECRET
    assert b"hunter2" in everything


def test_a_claim_whose_evidence_was_left_out_is_told_from_an_invented_one(
    keeper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, everything = in_bundle(keeper, tmp_path)
    assert b"hunter2" not in everything
    assert hashlib.sha256(SECRET).hexdigest().encode() not in everything
    assert run.diagnosis is not None
    [hypothesis] = run.diagnosis.hypotheses
    links = {one.says: one.link for one in hypothesis.evidence}
    for name in ("whole", "secret", "beside", "address", "other"):
        found = resolve(run, links[name])
        assert found.left_out, name
        assert found.text.startswith("left out of this bundle"), name
    for link in (links["invented"], "ev:mem/0x9000+0:4", "ev:log/none.log#L1", "ev:code/7#L1"):
        assert (found := resolve(run, link)).left_out == ""
        assert found.text == "not in this run"
    place = str(run.dir.parent.parent)
    assert main(["show", "last", "-C", place, "--section", "evidence"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0].split(" ev:")[0].strip() for line in told] == [
        *["LEFT OUT"] * 5, "ok", "ok", "MISSING",
    ]  # fmt: skip
    assert main(["export", "last", "-C", place, "-o", "-"]) == 0
    report = capsys.readouterr().out
    assert report.count("(the evidence was left out of this bundle: ") == 5
    assert report.count("unsupported: there is no such evidence") == 1
    # Handed on once more it still says so.
    again, _ = in_bundle(run.dir.parent.parent, tmp_path)
    assert again.left_out == run.left_out
    assert "memory/env.bin" in again.left_out


def test_what_is_no_plain_file_stays_behind(workspace: Path, tmp_path: Path) -> None:
    run_dir = workspace / "ai_runs" / RUN
    outside = tmp_path / "outside.txt"
    outside.write_text("not yours")
    (run_dir / "logs" / "link.log").symlink_to(outside)
    (run_dir / "pseudocode" / "away").symlink_to(tmp_path)
    os.mkfifo(run_dir / "logs" / "fifo.log")
    with (run_dir / "logs" / "sparse.log").open("wb") as stream:
        stream.truncate(1 << 40)
    (run_dir / "logs" / "line\nbreak\x1b[31m").write_text("x")
    (run_dir / "unknown").mkdir()
    deep = run_dir / "logs" / "/".join("d" * 12)
    deep.mkdir(parents=True)
    path = exported(workspace, "json")
    left = why_left_out(path)
    assert left["logs/link.log"] == "it is no regular file"
    assert left["logs/fifo.log"] == "it is no regular file"
    assert left["pseudocode/away"] == "it is no regular file"
    assert "more than" in left["logs/sparse.log"]
    assert "characters" in left["logs/line\\nbreak\\x1b[31m"]
    assert "unknown" in left
    assert any(why == "it lies too deep" for why in left.values())
    with zipfile.ZipFile(path) as archive:
        assert b"not yours" not in b"".join(archive.read(name) for name in archive.namelist())


def test_a_record_that_changes_meanwhile_gives_what_was_read(workspace: Path) -> None:
    log = workspace / "ai_runs" / RUN / "logs" / "guest.log"
    stream = io.BytesIO()

    def change(done: int, total: int) -> None:
        if done == 1:
            log.unlink()

    write_export(workspace / "ai_runs" / RUN, workspace, Wanted("json"), stream, progress=change)
    with zipfile.ZipFile(stream) as archive:
        assert archive.testzip() is None
        left = json.loads(archive.read(MANIFEST_FILE))["left_out"]
    assert [entry["why"] for entry in left if entry["name"] == "logs/guest.log"]


def test_an_export_can_be_stopped(workspace: Path) -> None:
    stream = io.BytesIO()
    with pytest.raises(Stopped):
        write_export(workspace / "ai_runs" / RUN, workspace, Wanted("json"), stream, stopped())
    cancel = threading.Event()

    def cancel_soon(done: int, total: int) -> None:
        if done == 2:
            cancel.set()

    with pytest.raises(Stopped):
        write_export(workspace / "ai_runs" / RUN, workspace, Wanted(), stream, cancel, cancel_soon)


@pytest.mark.parametrize(
    "name",
    [
        f"{PREFIX}../escape.txt",
        f"{PREFIX}logs/../../../escape.txt",
        "/etc/escape.txt",
        f"{PREFIX}logs//x",
        f"{PREFIX}logs/\u202egol",
        f"{PREFIX}logs/a\nb",
        f"{PREFIX}start.json",
        f"{PREFIX}.hidden",
        "ai_runs/20250101_000000_00000001/snapshot.json",
    ],
)
def test_a_bundle_with_a_hostile_name_is_refused_whole(workspace: Path, tmp_path: Path, name: str) -> None:
    path = exported(workspace, "json")
    manifest = manifest_of(path)
    manifest["files"].append({"name": name, "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()})
    with zipfile.ZipFile(path) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist() if entry != MANIFEST_FILE}
    rewritten(path, manifest, {**files, name: b"x"})
    with pytest.raises(TriageError, match="refused"):
        unpack_bundle(path, tmp_path / "other")
    assert not list((tmp_path / "other").rglob("*.txt"))


def test_damaged_and_oversized_bundles_leave_nothing(workspace: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    path = exported(workspace, "json")
    good = path.read_bytes()
    manifest = manifest_of(path)
    with zipfile.ZipFile(path) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist() if entry != MANIFEST_FILE}

    def refused(words: str) -> None:
        with pytest.raises(TriageError, match=words):
            unpack_bundle(path, other)
        assert not (other / "ai_runs" / RUN).exists()
        assert not list(other.rglob(".tmp-*"))

    rewritten(path, manifest, {**files, f"{PREFIX}snapshot.json": b"{}"})
    refused("not what its manifest says")
    rewritten(path, manifest, {**files, f"{PREFIX}snapshot.json": files[f"{PREFIX}snapshot.json"] + b" "})
    refused("not what its manifest says")
    # As long as it was: only the hash tells.
    rewritten(path, manifest, {**files, f"{PREFIX}snapshot.json": files[f"{PREFIX}snapshot.json"][::-1]})
    refused("not what its manifest says")
    rewritten(path, {**manifest, "files": [*manifest["files"], manifest["files"][0]]}, files)
    refused("names a file twice")
    huge = msgspec.json.decode(json.dumps(manifest))
    huge["files"][0]["size"] = 1 << 50
    rewritten(path, huge, files)
    refused("more than")
    rewritten(path, {**manifest, "run_id": "../x"}, files)
    refused("no run id")
    rewritten(path, {**manifest, "schema_version": 99}, files)
    refused("newer version")
    for cut in (0, 10, len(good) // 2, len(good) - 30):
        path.write_bytes(good[:cut])
        refused(".")
    path.write_bytes(good)
    os.mkfifo(path.with_name("fifo"))
    with pytest.raises(TriageError, match="no regular file"):
        unpack_bundle(path.with_name("fifo"), other)


def test_no_more_is_unpacked_than_the_manifest_says(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(workspace, "json")
    manifest = manifest_of(path)
    log = next(entry for entry in manifest["files"] if entry["name"].endswith(".log"))
    with zipfile.ZipFile(path) as archive:
        files = {entry["name"]: archive.read(entry["name"]) for entry in manifest["files"]}
    rewritten(path, manifest, {**files, log["name"]: bytes(32 << 20)})
    taken = 0
    read = zipfile.ZipExtFile.read

    def counted(stream: zipfile.ZipExtFile, size: int | None = -1) -> bytes:
        nonlocal taken
        data = read(stream, size)
        taken += len(data)
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    with pytest.raises(TriageError, match="not what its manifest says"):
        unpack_bundle(path, tmp_path / "other")
    assert taken < 16 << 20


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_written_through_a_link(workspace: Path, tmp_path: Path, there: bool) -> None:
    elsewhere = tmp_path / "elsewhere.md"
    if there:
        elsewhere.write_text("not yours")
    link = tmp_path / "out.md"
    link.symlink_to(elsewhere)
    with pytest.raises(TriageError, match="is a link, and nothing is written through links"):
        export_to(link, workspace / "ai_runs" / RUN, workspace, Wanted(), force=True)
    assert link.is_symlink()
    assert elsewhere.exists() == there
    assert not there or elsewhere.read_text() == "not yours"


def test_a_run_that_is_there_is_not_replaced(workspace: Path) -> None:
    path = exported(workspace, "json")
    with pytest.raises(TriageError, match="already"):
        unpack_bundle(path, workspace)
