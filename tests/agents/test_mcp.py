"""`triage-tui mcp` as agents meet it: the official client, a real process, rubbish on its standard input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tests.runs.build import failed_open, write_run
from triage_tui.analyst.tools import all_tools
from triage_tui.runs.suspicious_points import POINTS_FILE


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for number in range(3):
        write_run(tmp_path / "ai_runs", [failed_open(1, f"/etc/{number}.conf")], exit_code=number)
    return tmp_path


@asynccontextmanager
async def connected(workspace: Path, *options: str) -> AsyncIterator[ClientSession]:
    words = ["-m", "triage_tui", "mcp", "-C", str(workspace), *options]
    parameters = StdioServerParameters(command=sys.executable, args=words, cwd=Path(__file__).parents[2])
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
    first = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        },
    }
    lines = [
        b"\xff\xfe rubbish",
        b"{",
        b"[" * 10_000,
        b"[]",
        b'{"jsonrpc": "2.0", "id": 5, "method": "no/such"}',
        json.dumps(first).encode(),
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
