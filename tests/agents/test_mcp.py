"""`triage-tui mcp` as agents meet it: the official client, a real process, rubbish on its standard input."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.e2e.commands import triage_here
from tests.runs.build import failed_open, write_run
from triage_tui.analyst.tools import all_tools
from triage_tui.runs.suspicious_points import POINTS_FILE

if TYPE_CHECKING:
    # Each worker of the tests reads this file; who runs them loads the client, which takes long.
    from mcp import ClientSession

FIRST = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for number in range(3):
        write_run(tmp_path / "ai_runs", [failed_open(1, f"/etc/{number}.conf")], exit_code=number)
    return tmp_path


def large_program(size: int = 40 << 20) -> bytes:
    """An ELF file for ARM that is full of small functions: indexing it takes many seconds."""
    code = struct.pack("<3I", 0xE92D4010, 0xEB000000, 0xE8BD8010) * (size // 12)
    head = b"\x7fELF\1\1\1" + bytes(9)
    head += struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, 0x10054, 52, 0, 0x5000200, 52, 32, 1, 0, 0, 0)
    return head + struct.pack("<8I", 1, 0, 0x10000, 0x10000, 84 + len(code), 84 + len(code), 5, 4096) + code


@pytest.fixture
def large(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of a run whose program is large; what indexing it leaves behind would lie in `tmp`."""
    for name in ("tmp", "cache", "root/sbin"):
        (workspace / name).mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(workspace / "tmp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(workspace / "cache"))
    (workspace / "root/sbin/x").write_bytes(large_program())
    run_dir = write_run(workspace / "ai_runs")
    start = {"program": "/sbin/x", "argv": ["x"], "rootfs": str(workspace / "root")}
    (run_dir / "start.json").write_text(json.dumps(start))
    yield run_dir.name
    # Sixteen times its size of rubbish is not kept with the other results of a test run.
    (workspace / "root/sbin/x").unlink()


@asynccontextmanager
async def connected(workspace: Path, *options: str) -> AsyncIterator[ClientSession]:
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    words = ["-m", "triage_tui", "mcp", "-C", str(workspace), *options]
    parameters = StdioServerParameters(
        command=sys.executable, args=words, cwd=Path(__file__).parents[2], env=dict(os.environ)
    )
    async with stdio_client(parameters) as (reader, writer), ClientSession(reader, writer) as session:
        await session.initialize()
        yield session


async def ask(session: ClientSession, name: str, **arguments: Any) -> dict[str, Any]:
    result = await session.call_tool(name, arguments)
    [content] = result.content
    answer: dict[str, Any] = json.loads(content.text)  # type: ignore[union-attr]
    assert result.isError is not answer["success"]
    assert result.structuredContent == answer
    return answer


async def test_an_agent_reads_several_runs_and_writes_nothing(workspace: Path) -> None:
    async with connected(workspace) as session:
        listed = (await session.list_tools()).tools
        assert [tool.name for tool in listed] == [
            "list_runs", *(tool.name for tool in all_tools() if not tool.writes)
        ]  # fmt: skip
        assert all(tool.annotations and tool.annotations.readOnlyHint for tool in listed)
        assert all("run" in tool.inputSchema["properties"] for tool in listed[1:])
        runs = (await ask(session, "list_runs"))["runs"]
        assert len(runs) == 3
        for number, run in enumerate(reversed(runs)):
            calls = (await ask(session, "get_syscalls", run=run["run"]))["syscalls"]
            assert f"/etc/{number}.conf" in calls[0]["text"]
        assert (await ask(session, "get_syscalls"))["syscalls"][0]["text"].count("/etc/2.conf") == 1
        refused = await ask(
            session, "create_suspicious_point", function_name="f", description="d", run=runs[0]["run"]
        )
        assert "only reading" in refused["error"]
        for name, arguments, says in (
            ("get_syscalls", {"run": "../../etc"}, "no run"),
            ("get_syscalls", {"run": "20990101_000000_00000001"}, "no run"),
            ("get_syscalls", {"run": 7}, "must be the id"),
            ("get_syscalls", {"run": "0000000"}, "no run"),
            ("get_syscalls", {"limit": "all"}, "do not fit"),
            ("get_syscalls", {"\x1b]0;x\x07": 1}, "do not fit"),
            ("get_file_content", {"file_path": "../../../etc/passwd"}, "refused"),
            ("list_runs", {"limit": -1}, "do not fit"),
            ("rm", {}, "no tool"),
        ):
            answer = await ask(session, name, **arguments)
            assert says in answer["error"], (name, arguments, answer)
            assert "\x1b" not in answer["error"]
    assert not list(workspace.rglob(POINTS_FILE))


async def test_an_agent_that_may_write_notes_a_point_that_others_see(workspace: Path) -> None:
    async with connected(workspace, "--allow-writes") as session:
        made = await ask(session, "create_suspicious_point", function_name="f", description="d")
        assert made["suspicious_point_id"] == "sp1"
        listed = await ask(session, "list_suspicious_points")
        assert [point["id"] for point in listed["suspicious_points"]] == ["sp1"]
    [path] = workspace.rglob(POINTS_FILE)
    assert json.loads(path.read_text())["points"][0]["history"][0]["actor"] == "agent"


def test_rubbish_on_its_input_ends_in_no_traceback_and_standard_output_is_only_the_protocol(
    workspace: Path,
) -> None:
    lines = [
        b"\xff\xfe rubbish",
        b"{",
        b"[" * 10_000,
        b"[]",
        b"\0\0\n\n1e999",
        b'"' + b"x" * 2_000_000 + b'"',
        b'{"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": {"name": "\\ud800"}}',
        b'{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": {"x": 1}}}',
        b'{"jsonrpc": "2.0", "method": "notifications/cancelled"}',
        b'{"jsonrpc": "2.0", "id": 5, "method": "no/such"}',
        json.dumps(FIRST).encode(),
        b'{"jsonrpc": "2.0", "method": "notifications/initialized"}',
        b'{"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": 7}}',
        b'{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_runs"}}',
    ]
    command = [sys.executable, "-m", "triage_tui", "mcp", "-C", str(workspace)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n".join(lines) + b"\n")
        process.stdin.flush()
        replies: dict[object, Any] = {}
        while 2 not in replies:
            reply = json.loads(process.stdout.readline())
            replies[reply.get("id")] = reply
        # What was not answered yet would be lost with the end of the input.
        rest, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert all(json.loads(line) for line in rest.splitlines())
    assert len(json.loads(replies[2]["result"]["content"][0]["text"])["runs"]) == 3
    assert b"Traceback" not in said
    assert b"pydantic" not in said
    told = said.decode().splitlines()
    assert "a line of the agent's is no message of the protocol, and is left out" in told
    assert max(len(line) for line in told) <= 300


def test_the_end_of_the_input_behind_rubbish_is_an_end(workspace: Path) -> None:
    command = [sys.executable, "-m", "triage_tui", "mcp", "-C"]
    ended = subprocess.run(
        [*command, str(workspace)], input=b"rubbish\n[]\n" * 20, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    nowhere = triage_here(workspace / "none", "mcp")
    assert nowhere.returncode == 2
    assert "there is no directory" in nowhere.stderr


async def test_a_call_in_progress_is_cancelled_while_others_are_answered(workspace: Path, large: str) -> None:
    from mcp import McpError, types

    slow = {"function_name": "main", "run": large}
    under_way, ended, numbers = anyio.Event(), list[str](), list[int]()

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        assert "indexing" in (message or "")
        under_way.set()

    async def wait_for(name: str, arguments: dict[str, Any]) -> None:
        numbers.append(session._request_id)
        with pytest.raises(McpError, match="cancelled"):
            await session.call_tool(name, arguments, progress_callback=heard)
        ended.append(name)

    async with connected(workspace) as session, anyio.create_task_group() as group:
        group.start_soon(wait_for, "get_callers", slow)
        await under_way.wait()
        # A second question about the same run waits for the first, one about another run does not.
        group.start_soon(wait_for, "get_callees", slow)
        other = (await ask(session, "list_runs", limit=4))["runs"][-1]["run"]
        assert "/etc/0.conf" in (await ask(session, "get_syscalls", run=other))["syscalls"][0]["text"]
        assert not ended
        # Out of order, twice, and for what was never asked.
        for request in (numbers[1], numbers[0], numbers[0], 77_777):
            gone = types.CancelledNotificationParams(requestId=request, reason="not wanted any more")
            await session.send_notification(
                types.ClientNotification(types.CancelledNotification(params=gone)),
            )
        with anyio.fail_after(60):
            while len(ended) < 2:
                await ask(session, "list_runs", limit=1)
        assert ended == ["get_callees", "get_callers"]
        # The run can be asked about again at once.
        assert (await ask(session, "get_syscalls", run=large))["syscalls"]
    assert not [path for path in (workspace / "cache").rglob("*") if path.is_file()]
    assert not list((workspace / "tmp").glob("triage-tui-*"))


def test_a_client_that_is_gone_in_the_middle_of_a_call_leaves_nothing_running(
    workspace: Path, large: str
) -> None:
    asked = {"name": "get_callers", "arguments": {"function_name": "main", "run": large}}
    lines: list[dict[str, Any]] = [
        FIRST,
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {**asked, "_meta": {"progressToken": 2}}},
    ]
    command = [sys.executable, "-m", "triage_tui", "mcp", "-C", str(workspace)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for line in lines:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **line}).encode() + b"\n")
        process.stdin.flush()
        while b"notifications/progress" not in process.stdout.readline():
            pass
        # As when the agent was killed: nobody reads, and nobody writes.
        process.stdout.close()
        process.stdin.close()
        assert process.wait(60) == 0
        assert b"Traceback" not in process.stderr.read()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not list((workspace / "tmp").glob("triage-tui-*"))
