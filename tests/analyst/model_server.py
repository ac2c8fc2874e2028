"""A real HTTP server that speaks the OpenAI chat protocol, and streams answers by a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789"


@dataclass
class Request:
    """What the server was asked."""

    path: str
    authorization: str
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])

    @property
    def system(self) -> str:
        [text] = [one["content"] for one in self.messages if one["role"] == "system"]
        return str(text)

    @property
    def phase(self) -> str:
        """The phase whose prompt this is."""
        return next(line for line in self.system.splitlines() if line.startswith("# This phase: "))[14:]


class Out:
    """Writes one answer to the client."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler

    def status(self, code: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self._handler.send_response(code)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self._handler.send_header(name, value)
        self._handler.send_header("content-length", str(len(body)))
        self._handler.end_headers()
        self._handler.wfile.write(body)

    def begin(self) -> None:
        self._handler.send_response(200)
        self._handler.send_header("content-type", "text/event-stream")
        self._handler.send_header("connection", "close")
        self._handler.end_headers()

    def raw(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self.event({"choices": [choice]})

    def event(self, fields: dict[str, Any]) -> None:
        base = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        self.raw(b"data: " + json.dumps(base | fields).encode() + b"\n\n")

    def end(self, tokens: tuple[int, int] = (1000, 100)) -> None:
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
        self.event({"choices": [], "usage": usage})
        self.raw(b"data: [DONE]\n\n")


Answer = Callable[[Out, Request], None]


def says(reply: object, tokens: tuple[int, int] = (1000, 100), finish: str = "stop") -> Answer:
    """Stream a text, or a value as JSON, in pieces."""
    text = reply if isinstance(reply, str) else json.dumps(reply)

    def answer(out: Out, _: Request) -> None:
        out.begin()
        out.chunk({"role": "assistant", "content": ""})
        for start in range(0, len(text), 40):
            out.chunk({"content": text[start : start + 40]})
        out.chunk({}, finish)
        out.end(tokens)

    return answer


def calls(*wanted: tuple[str, object]) -> Answer:
    """Stream calls of tools, the arguments in pieces; they are given as a value or as text."""

    def answer(out: Out, _: Request) -> None:
        out.begin()
        for index, (name, given) in enumerate(wanted):
            text = given if isinstance(given, str) else json.dumps(given)
            first = {"index": index, "id": f"call_{index}", "type": "function"}
            out.chunk({"tool_calls": [{**first, "function": {"name": name, "arguments": ""}}]})
            for start in range(0, len(text), 5):
                part = {"index": index, "function": {"arguments": text[start : start + 5]}}
                out.chunk({"tool_calls": [part]})
        out.chunk({}, "tool_calls")
        out.end()

    return answer


def at_once(reply: object, wanted: tuple[str, str] | None = None) -> Answer:
    """Send a whole answer, as servers do that know no streams; `wanted` is a call of a tool."""
    text = reply if isinstance(reply, str) else json.dumps(reply)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if wanted is not None:
        function = {"name": wanted[0], "arguments": wanted[1]}
        message["tool_calls"] = [{"id": "call_x", "type": "function", "function": function}]
    reason = "stop" if wanted is None else "tool_calls"
    whole = {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
    return lambda out, _: out.status(200, json.dumps(whole).encode())


def fails(status: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    """Answer with an error, as the APIs write them."""
    body = json.dumps({"error": {"message": message, "type": "error"}}).encode()
    return lambda out, _: out.status(status, body, headers)


@dataclass
class ModelServer:
    """What the tests see of it. Each request takes the next answer of `script`; the last one is repeated."""

    url: str
    script: list[Answer] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    by_phase: dict[str, Answer] = field(default_factory=dict)
    """Answers by phase, for requests after the script."""
    over: threading.Event = field(default_factory=threading.Event)
    """Set when the test is over: answers that hang wait for it."""
    asked: threading.Event = field(default_factory=threading.Event)
    """Set with the first request."""

    def next(self, request: Request) -> Answer:
        self.requests.append(request)
        self.asked.set()
        if self.script:
            return self.script.pop(0)
        return self.by_phase.get(request.phase, fails(500, "the script is over"))

    @property
    def phases(self) -> list[str]:
        return [request.phase for request in self.requests]


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """Run the server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            request = Request(self.path, self.headers.get("authorization", ""), body)
            self.close_connection = True
            # Some tests want the client to go away.
            with suppress(BrokenPipeError, ConnectionResetError):
                server.next(request)(Out(self), request)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = ModelServer(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        http.shutdown()
        thread.join()
        http.server_close()
