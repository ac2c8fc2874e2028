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
from triage_tui.cli.main import main
from triage_tui.errors import Stopped, TriageError
from triage_tui.export.exporting import Wanted, export_to, write_export
from triage_tui.export.manifest import MANIFEST_FILE, manifest_schema
from triage_tui.export.unpacking import unpack_bundle
from triage_tui.runs.reader import load_run
from triage_tui.runs.secrets import MASK
from triage_tui.runs.writer import encode_json

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
    # Of what is cited only the memory is not there.
    told = [text.replace("UNSUPPORTED", "").split() for text in (after, before)]
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


def test_memory_that_holds_a_secret_stays_behind(workspace: Path) -> None:
    run_dir = workspace / "ai_runs" / RUN
    blob = next(entry.blob for entry in load_run(run_dir).snapshot.memory if entry.blob)
    (run_dir / blob.file).write_bytes(b"\0\0API_KEY=hunter2\0")
    assert "secret" in why_left_out(exported(workspace, "json", memory=True))[blob.file]
    assert "asked for" in why_left_out(exported(workspace, "json"))[blob.file]


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
