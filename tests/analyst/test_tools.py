"""The tools: what they answer, what they refuse, and that nothing leaves what must not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.runs.build import failed_open, write_run
from triage_tui.analyst.tools import Case, all_tools, by_name, call, tool_specs
from triage_tui.cli.main import main
from triage_tui.retry.inspecting.cases import case_of
from triage_tui.retry.workspace import Workspace
from triage_tui.rulebook import generations
from triage_tui.runs.evidence import resolve
from triage_tui.runs.memory_model import MemoryObject
from triage_tui.runs.process_model import Process
from triage_tui.runs.reader import load_run
from triage_tui.runs.redaction import Redaction
from triage_tui.runs.suspicious_points import POINTS_FILE, read_points
from triage_tui.runs.writer import RunWriter

SECRET = "hunter2-very-secret"
B5 = ("get_diff", "get_file_content", "create_suspicious_point", "update_suspicious_point",
      "list_suspicious_points")  # fmt: skip


@pytest.fixture
def case(tmp_path: Path) -> Case:
    calls = [failed_open(number, f"/etc/{number}.conf") for number in range(1, 40)]
    run = load_run(write_run(tmp_path / "ai_runs", calls))
    root = tmp_path / "rootfs"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "hosts").write_text(f"127.0.0.1 localhost\nWPA_PSK={SECRET}\n\u202eend\n")
    return Case(run, root=root, redaction=Redaction([SECRET]), rulebook=tmp_path / "rulebook")


def ask(case: Case, name: str, **arguments: Any) -> dict[str, Any]:
    return call(case, name, arguments)


def refused(case: Case, name: str, arguments: object) -> str:
    answer = call(case, name, arguments)
    assert answer.keys() == {"success", "error"}
    assert answer["success"] is False
    assert answer["error"]
    assert "\n" not in answer["error"]
    return str(answer["error"])


# --- the list -------------------------------------------------------------------------------------------


def test_the_schemas_are_schemas_and_nothing_but_the_known_arguments_fits() -> None:
    assert {tool.name for tool in all_tools()} >= set(B5)
    for spec in tool_specs():
        function = spec["function"]
        jsonschema.Draft202012Validator.check_schema(function["parameters"])
        assert spec["type"] == "function"
        assert function["description"]
        assert function["parameters"]["type"] == "object"
        assert function["parameters"]["additionalProperties"] is False
        assert "$ref" not in json.dumps(function["parameters"])


def test_only_what_notes_something_writes() -> None:
    reading = {spec["function"]["name"] for spec in tool_specs(writes=False)}
    assert {tool.name for tool in all_tools()} - reading == {
        "create_suspicious_point",
        "update_suspicious_point",
    }
    assert [spec["function"]["name"] for spec in tool_specs(names=["get_diff"])] == ["get_diff"]


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("get_file", {}, "no tool"),
        ("get_log", "{", "no JSON"),
        ("get_log", "[" * 5000, "no JSON"),
        ("get_log", b"\xff", "no JSON"),
        ("get_log", [], "JSON object"),
        ("get_log", "x" * (1 << 17), "longer than"),
        ("get_log", {"file": "guest.log"}, "it takes: name"),
        ("get_log", {"limit": "many"}, "do not fit"),
        ("get_log", {"limit": 1 << 80}, "do not fit"),
        ("get_log", {"limit": 0}, "do not fit"),
        ("get_log", {"limit": "\ud800"}, "do not fit"),
        ("get_log", {"name": "\ud800"}, "no log"),
        ("get_log", {"name": "../snapshot.json"}, "no log"),
        ("get_log", {"pattern": "(?=x)"}, "RE2"),
        ("get_log", {"pattern": "(" * 150}, "RE2"),
        ("read_memory", {"address": "here"}, "no address"),
        ("read_memory", {"address": "-1"}, "no address"),
        ("read_memory", {"address": "0xffffffffffffffff"}, "has not kept"),
        ("read_memory", {"object": "m1", "offset": 1 << 40}, "no byte"),
        ("read_memory", {"object": "\x1b[31m"}, "memory object"),
        ("get_file_content", {}, "file_path"),
        ("get_diff", {}, "no round before"),
        ("get_diff", {"other_run": "../../etc"}, "no run"),
        ("get_diff", {"kind": "rules"}, "no rule was ever active"),
        ("update_suspicious_point", {"suspicious_point_id": "sp9", "score": 1}, "no suspicious point"),
        ("update_suspicious_point", {"suspicious_point_id": "sp9"}, "nothing to change"),
        ("create_suspicious_point", {"function_name": "f", "description": "d", "score": 2}, "do not fit"),
        ("create_suspicious_point", {"function_name": " ", "description": "d"}, "needs a function"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(case: Case, name: str, arguments: object, says: str) -> None:
    assert says in refused(case, name, arguments)


def test_a_tool_that_fails_unforeseen_answers_too(case: Case) -> None:
    case.program_file = None  # type: ignore[assignment]
    case.run.snapshot = None  # type: ignore[assignment]
    assert "get_registers" in refused(case, "get_registers", {})


def test_what_writes_is_refused_where_only_reading_is_allowed(case: Case) -> None:
    answer = call(case, "create_suspicious_point", {"function_name": "f", "description": "d"}, writes=False)
    assert "only reading" in answer["error"]
    assert not (case.run.dir / POINTS_FILE).exists()


# --- the record -----------------------------------------------------------------------------------------


def test_what_is_read_of_the_record_can_be_cited(case: Case) -> None:
    registers = ask(case, "get_registers")["registers"]
    assert registers[0]["value"] == "0x00001234"
    memory = ask(case, "read_memory", object="m1", length=5)
    assert (memory["address"], memory["hex"], memory["text"]) == ("0x1000", "68 65 6c 6c 6f", "hello")
    assert ask(case, "read_memory", address="0x1001", length=4)["text"] == "ello"
    assert ask(case, "read_memory")["objects"][0]["id"] == "m1"
    calls = ask(case, "get_syscalls", first=5, last=30, pattern=r"/etc/\d\.conf", limit=3)
    assert [row["seq"] for row in calls["syscalls"]] == [7, 8, 9]
    assert calls["fitting"] == 5
    log = ask(case, "get_log", pattern="^bye")
    assert [(row["line"], row["text"]) for row in log["lines"]] == [(2, "bye")]
    links = [registers[0]["evidence"], memory["evidence"], calls["syscalls"][0]["evidence"]]
    for link in [*links, log["lines"][0]["evidence"]]:
        found = resolve(case.run, link)
        assert found.exists
        assert found.hash_ok


def test_null_stands_for_what_is_not_given_and_json_text_is_read(case: Case) -> None:
    answer = call(case, "get_syscalls", '{"first": null, "name": "openat", "limit": 1}')
    assert [row["seq"] for row in answer["syscalls"]] == [39]


def test_a_long_answer_is_cut_and_says_so(case: Case) -> None:
    case.max_result = 3000
    answer = ask(case, "get_syscalls", limit=39)
    assert len(json.dumps(answer)) < 3400
    assert 0 < len(answer["syscalls"]) < 39
    assert answer["cut"] == [f"syscalls: the last {39 - len(answer['syscalls'])} entries of 39 left out"]
    (case.run.dir / "long.txt").write_text("é" * 100_000)
    answer = ask(case, "get_file_content", file_path="long.txt")
    assert len(json.dumps(answer, ensure_ascii=False).encode()) < 3400
    assert answer["cut"]


# --- files ----------------------------------------------------------------------------------------------


def test_files_of_the_guest_are_read_as_the_guest_sees_them_with_secrets_masked(case: Case) -> None:
    answer = ask(case, "get_file_content", file_path="/../etc/hosts")
    assert answer["origin"] == "guest"
    assert answer["total_lines"] == 3
    assert "localhost" in answer["content"]
    assert SECRET not in json.dumps(answer)
    assert "\u202e" not in answer["content"]
    assert ask(case, "get_file_content", file_path="/etc/hosts", start_line=3)["content"] == "\\u202eend"
    assert ask(case, "get_file_content", file_path="logs/guest.log")["origin"] == "run"


def test_no_path_leads_out_and_no_device_is_opened(case: Case, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not for anybody")
    assert case.root is not None
    (case.root / "link").symlink_to(outside)
    (case.root / "up").symlink_to("../../../../../../etc/passwd")
    (case.root / "null").symlink_to("/dev/null")
    (case.run.dir / "link").symlink_to(outside)
    (case.run.dir / "start.json").write_text("{}")
    names = ["/link", "/up", "/null", "/dev/null", "/proc/self/environ", "/", "/etc", "link", "../outside"]
    names += ["logs/../../outside", "start.json", "logs", "\0", "a\0b", "\ud800", "x" * 1000]
    for path in names:
        refused(case, "get_file_content", {"file_path": path})
    case.root, case.no_root = None, "there is none"
    assert "there is none" in refused(case, "get_file_content", {"file_path": "/etc/hosts"})


def test_a_file_without_text_is_described(case: Case) -> None:
    (case.run.dir / "x.bin").write_bytes(b"\x7fELF\1\1\1\0" + bytes(100))
    answer = ask(case, "get_file_content", file_path="x.bin")
    assert (answer["binary"], answer["size"]) == (True, 108)
    assert answer["first_bytes"].startswith("7f 45 4c 46")


def test_of_memory_with_a_secret_all_but_the_secret_is_given(tmp_path: Path) -> None:
    process = Process(pid=1, program="/sbin/x", argv=["x", "--password", "hello\0"], arch="mipsel")
    writer = RunWriter(tmp_path / "ai_runs")
    blob = writer.add_blob("env.bin", 0x2000, b"\1PIN=4711\0API_KEY=hunter2\0\2")
    entry = MemoryObject(id="env", tag="arg", source="trigger", addr=0x2000, addr_hex="0x2000", blob=blob)
    run = load_run(write_run(tmp_path / "ai_runs", processes=[process], memory=[entry], writer=writer))
    case = Case(run, redaction=Redaction.of(run))
    answer = ask(case, "read_memory", object="env")
    assert answer["hex"] == (
        "01 50 49 4e 3d ** ** ** ** 00 41 50 49 5f 4b 45 59 3d ** ** ** ** ** ** ** 00 02"
    )
    assert answer["text"] == ".PIN=**** API_KEY=******* ."
    assert answer["masked"].startswith("11 bytes of a secret")
    # Nor does a piece that leaves out what says that it is one, or the hash of it.
    for piece in (
        {"object": "env", "offset": 18, "length": 7},
        {"address": "0x2012", "length": 7},
    ):
        answer = ask(case, "read_memory", **piece)
        assert (answer["hex"], answer["text"]) == (" ".join(["**"] * 7), "*" * 7)
        assert "~" not in answer["evidence"]
    assert "~" in ask(case, "read_memory", object="env", length=4)["evidence"]


# --- where the root comes from --------------------------------------------------------------------------


def test_a_record_cannot_name_this_machine_as_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "person"))
    directory = write_run(tmp_path / "ai_runs")

    def root_with(rootfs: str) -> tuple[Path | None, str]:
        text = {"program": "/sbin/x", "argv": ["x"], "rootfs": rootfs}
        (directory / "start.json").write_text(json.dumps(text))
        found = case_of(Workspace(tmp_path), load_run(directory), actor="test")
        return found.root, found.no_root

    assert root_with("/")[0] is None
    (tmp_path / "home" / "sbin").mkdir(parents=True)
    (tmp_path / "home" / "sbin" / "x").write_bytes(b"\x7fELF")
    assert "your own files" in root_with(str(tmp_path / "home"))[1]
    assert "does not hold the program" in root_with(str(tmp_path / "elsewhere"))[1]
    (tmp_path / "fs" / "sbin").mkdir(parents=True)
    (tmp_path / "fs" / "sbin" / "x").write_bytes(b"\x7fELF")
    assert root_with(str(tmp_path / "fs"))[0] == tmp_path / "fs"
    (directory / "start.json").unlink()
    assert "not known" in case_of(Workspace(tmp_path), load_run(directory), actor="test").no_root


# --- differences ----------------------------------------------------------------------------------------


def test_a_round_is_compared_with_the_one_before(case: Case, tmp_path: Path) -> None:
    before = case.run
    calls = [failed_open(1, "/etc/1.conf"), failed_open(2, "/dev/led", "EACCES", -13)]
    run = load_run(write_run(tmp_path / "ai_runs", calls, exit_code=7, parent_run=before.run_id))
    answer = ask(Case(run), "get_diff")
    assert answer["before"]["run"] == before.run_id
    assert (answer["before"]["exit_code"], answer["after"]["exit_code"]) == (1, 7)
    assert [row["call"] for row in answer["new_calls"]] == ["openat(/dev/led) EACCES"]
    assert resolve(run, answer["new_calls"][0]["evidence"]).hash_ok
    assert "openat(/etc/2.conf) ENOENT" in answer["gone_calls"]


def test_two_generations_of_rules_are_compared(case: Case) -> None:
    assert case.rulebook is not None
    first, second = "syscall/openat@fix-1.lua", "syscall/openat@fix-2.lua"
    generations.activate(case.rulebook, add={first: b"return 1\n"}, actor="test", reason="because")
    generations.activate(case.rulebook, add={second: b"return 2\n"}, remove=[first], actor="test", reason="x")
    answer = ask(case, "get_diff", kind="rules")
    assert answer["generations"] == [1, 2]
    assert answer["diff"][:2] == [f"--- 1/{first}", f"+++ 2/{first}"]
    assert {"-return 1", "+return 2"} <= set(answer["diff"])
    assert ask(case, "get_diff", kind="rules", from_generation=0)["generations"] == [0, 2]


# --- suspicious points ----------------------------------------------------------------------------------


def test_a_suspicious_point_is_noted_changed_and_listed_with_its_evidence(case: Case) -> None:
    link = ask(case, "get_syscalls", limit=1)["syscalls"][0]["evidence"]
    made = ask(
        case,
        "create_suspicious_point",
        function_name="read_config",
        description="gives up",
        evidence=[link, "ev:syscall/9999", "nonsense"],
    )
    assert made["suspicious_point_id"] == "sp1"
    assert made["unsupported"] == ["ev:syscall/9999", "nonsense"]
    changed = ask(
        case,
        "update_suspicious_point",
        suspicious_point_id="sp1",
        score=0.9,
        state="confirmed",
        evidence=[link],
    )
    assert changed["suspicious_point"]["revision"] == 2
    listed = ask(case, "list_suspicious_points", state="confirmed")
    assert [(one["id"], one["score"]) for one in listed["suspicious_points"]] == [("sp1", 0.9)]
    assert [one["supported"] for one in listed["suspicious_points"][0]["evidence"]] == [True]
    (point,) = read_points(load_run(case.run.dir)).points
    assert [entry.actor for entry in point.history] == ["model", "model"]
    assert point.history[1].before.keys() == {"score", "state", "evidence"}
    assert "revision 2" in refused(
        case, "update_suspicious_point", {"suspicious_point_id": "sp1", "score": 0.1, "expect_revision": 1}
    )


def test_points_are_printed_with_their_evidence_and_nothing_else_is_written_to_the_terminal(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(
        case,
        "create_suspicious_point",
        function_name="read\x1b[2J",
        description="one\ntwo\u202e",
        evidence=["ev:syscall/3", "ev:syscall/9999"],
        cause="missing_file",
    )
    assert main(["show", "-C", str(case.run.dir.parents[1]), "last", "--section", "points"]) == 0
    out = capsys.readouterr().out
    assert "sp1 read\\x1b[2J: open, 0.50, missing_file" in out
    assert "ev:syscall/3  syscall 3: openat" in out
    assert out.count("unsupported") == 1
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 9000, b'{"schema_version": 9}', b'{"points": [{}]}'])
def test_a_damaged_file_of_points_is_told_and_kept(case: Case, content: bytes) -> None:
    path = case.run.dir / POINTS_FILE
    path.write_bytes(content)
    refused(case, "list_suspicious_points", {})
    refused(case, "create_suspicious_point", {"function_name": "f", "description": "d"})
    assert path.read_bytes() == content


def test_a_tool_is_found_by_its_name() -> None:
    assert by_name("get_diff").name == "get_diff"
