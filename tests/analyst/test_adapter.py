"""The model library against a real server: what comes back, and what is said when nothing usable does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.analyst.model_server import KEY, Answer, ModelServer, Out, Request, at_once, calls, fails, says
from tests.packaging.checkout import ROOT
from triage_tui.analyst.adapter import Answer as Reply
from triage_tui.analyst.adapter import Client, ToolCall
from triage_tui.analyst.failures import ModelFailure
from triage_tui.analyst.settings import Key, ModelSettings
from triage_tui.errors import Stopped, TriageError

MESSAGES = [{"role": "system", "content": "# This phase: classify"}, {"role": "user", "content": "hello"}]


def ask(settings: ModelSettings, seconds: float = 60, cancel: threading.Event | None = None) -> Reply:
    with Client(settings, cancel) as client:
        return client.ask(MESSAGES, [], reply_tokens=50, seconds=seconds)


def test_a_streamed_answer_and_what_was_sent(server: ModelServer, settings: ModelSettings) -> None:
    server.script = [says("word " * 50, (12, 34)), calls(("get_log", {"name": "x"}), ("get_diff", "{bad"))]
    answer = ask(settings)
    assert (answer.text, answer.calls, answer.cut) == ("word " * 50, (), False)
    assert (answer.tokens_in, answer.tokens_out, answer.money) == (12, 34, None)
    [request] = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.authorization == f"Bearer {KEY}"
    assert request.messages == MESSAGES
    assert (request.body["model"], request.body["stream"], request.body["max_tokens"]) == (
        "test-model",
        True,
        50,
    )
    assert set(request.body) <= {"model", "messages", "stream", "stream_options", "max_tokens", "temperature"}
    answer = ask(settings)
    assert answer.calls == (
        ToolCall("call_0", "get_log", '{"name": "x"}'),
        ToolCall("call_1", "get_diff", "{bad"),
    )


def test_a_server_that_knows_no_streams(server: ModelServer, settings: ModelSettings) -> None:
    server.script = [at_once("hello"), at_once("hello"), at_once("", ("get_log", "{}"))]
    with Client(settings) as client:
        first = client.ask(MESSAGES, [], reply_tokens=50, seconds=60)
        second = client.ask(MESSAGES, [], reply_tokens=50, seconds=60)
    assert (first.text, first.tokens_in, first.tokens_out, first.cut) == ("hello", 7, 3, False)
    assert second.calls == (ToolCall("call_x", "get_log", "{}"),)
    # It is remembered, so that no answer is paid for twice.
    assert [bool(request.body.get("stream")) for request in server.requests] == [True, False, False]


def test_an_answer_at_its_longest_is_told(server: ModelServer, settings: ModelSettings) -> None:
    server.script = [says('{"causes": [', finish="length")]
    assert ask(settings).cut


def broken_off(out: Out, _: Request) -> None:
    out.begin()
    out.chunk({"role": "assistant", "content": '{"causes": ['})
    out.raw(b'data: {"id": "c-1", "cho')


def refusing(out: Out, _: Request) -> None:
    out.begin()
    out.chunk({"role": "assistant", "refusal": "I would rather not"})
    out.chunk({}, "stop")
    out.end()


def repeating(out: Out, _: Request) -> None:
    out.begin()
    while True:
        out.chunk({"content": "blah " * 50})


def endless(out: Out, _: Request) -> None:
    out.begin()
    while True:
        out.chunk({"content": "and so on " * 2000})


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (fails(401, f"Incorrect API key provided: {KEY}"), "key", "key was not accepted"),
        (fails(403, "not yours"), "key", "key was not accepted"),
        (fails(404, "model not found"), "request", "knows no model 'test-model'"),
        (fails(400, "no tools here \x1b[31m"), "request", "refused the request (no tools here \\x1b[31m"),
        (fails(429, "slow down", {"retry-after": "7"}), "rate", "allows no more requests now"),
        (fails(500, "oops"), "busy", "failed (HTTP 500)"),
        (fails(503, "loading"), "busy", "failed (HTTP 503)"),
        (says("half of it", finish="content_filter"), "refused", "filter held"),
        (refusing, "refused", "I would rather not"),
        (broken_off, "partial", "broke off"),
        (endless, "endless", "had no end"),
        (repeating, "endless", "the same again and again"),
        (says(""), "empty", "no answer of a model"),
        (lambda out, request: page(out, request), "empty", "URL"),
    ],
)
def test_each_failure_is_one_sentence(
    server: ModelServer, settings: ModelSettings, answer: Answer, kind: str, says: str
) -> None:
    server.script = [answer, answer]
    with pytest.raises(ModelFailure) as caught:
        ask(settings)
    assert caught.value.kind == kind
    assert says in str(caught.value)
    assert KEY not in str(caught.value)
    assert str(caught.value).isprintable()
    assert caught.value.wait == (7.0 if kind == "rate" else None)
    # Nothing is asked again behind our back; what is no stream is asked for once as a whole.
    assert len(server.requests) == (2 if says == "URL" else 1)


def page(out: Out, _: Request) -> None:
    out.status(200, b"<html>router</html>", {"content-type": "text/html"})


@pytest.mark.parametrize(
    ("second", "kind", "says"),
    [
        (fails(429, "slow down", {"retry-after": "7"}), "rate", "allows no more requests now (slow down)"),
        (fails(500, "oops"), "busy", "failed (HTTP 500) (oops)"),
        (fails(502, "<html>"), "busy", "failed (HTTP 502)"),
        (fails(401, f"wrong key {KEY}"), "key", "key was not accepted"),
        (fails(404, "no such route"), "request", "(no such route)"),
        (lambda out, _: out.status(200, b'{"error": {"message": "no memory"}}'), "request", "(no memory)"),
        (lambda out, _: None, "partial", "broke off"),
        (lambda out, _: out.status(200, b"{}"), "empty", "no answer of a model"),
        (lambda out, _: out.status(200, b'{"choices": []}'), "empty", "no answer of a model"),
        (lambda out, _: out.status(200, b""), "empty", "no answer of a model"),
        (at_once(""), "empty", "no answer of a model"),
    ],
)
def test_why_the_second_request_failed_is_told(
    server: ModelServer, settings: ModelSettings, second: Answer, kind: str, says: str
) -> None:
    server.script = [page, second]
    with pytest.raises(ModelFailure) as caught:
        ask(settings)
    assert caught.value.kind == kind
    assert says in str(caught.value)
    assert KEY not in str(caught.value)
    assert caught.value.wait == (7.0 if kind == "rate" else None)
    assert [bool(request.body.get("stream")) for request in server.requests] == [True, False]


def test_silence_after_the_second_request_is_told_as_such(server: ModelServer) -> None:
    def silent(out: Out, _: Request) -> None:
        server.over.wait()

    server.script = [page, silent]
    with pytest.raises(ModelFailure, match="sent nothing for") as caught:
        ask(ModelSettings("m", url=server.url, request_seconds=0.2))
    assert caught.value.kind == "timeout"


def test_nobody_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ModelFailure, match="nothing answers at") as caught:
        ask(ModelSettings("m", url=url))
    assert caught.value.kind == "connection"


def test_a_name_without_a_provider() -> None:
    with pytest.raises(ModelFailure, match="does not say which provider"):
        ask(ModelSettings("some-model"))


def test_a_provider_without_a_key_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelFailure, match=r"a key is needed \(\$TRIAGE_TUI_MODEL_KEY\)") as caught:
        ask(ModelSettings("openai/gpt-4o-mini"))
    assert caught.value.kind == "key"


def test_silence_ends_after_the_time_of_a_request(server: ModelServer) -> None:
    def silent(out: Out, _: Request) -> None:
        out.begin()
        server.over.wait()

    server.script = [silent, silent]
    with pytest.raises(ModelFailure, match="sent nothing for") as caught:
        ask(ModelSettings("m", url=server.url, request_seconds=0.2))
    assert caught.value.kind == "timeout"
    with pytest.raises(ModelFailure, match="did not finish its answer") as caught:
        ask(ModelSettings("m", url=server.url), seconds=0.2)
    assert caught.value.kind == "timeout"


def test_a_person_can_stop_it_in_the_middle(server: ModelServer, settings: ModelSettings) -> None:
    gone = threading.Event()
    cancel = threading.Event()

    def slow(out: Out, _: Request) -> None:
        out.begin()
        out.chunk({"role": "assistant", "content": "I think"})
        cancel.set()
        try:
            while not server.over.is_set():
                out.chunk({"content": "."})
        except OSError:
            gone.set()
            raise

    server.script = [slow]
    with pytest.raises(Stopped):
        ask(settings, cancel=cancel)
    # The connection is closed, so that the server stops as well.
    assert gone.wait(60)


def test_no_key_of_the_environment_goes_to_a_server_of_ones_own(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-somebody-elses")
    server.script = [says("hello")]
    ask(ModelSettings("m", url=server.url))
    assert "sk-somebody-elses" not in server.requests[0].authorization


def test_a_key_shows_itself_to_nobody() -> None:
    settings = ModelSettings("m", key=Key(KEY))
    assert KEY not in f"{settings!r} {settings.key} {settings.key!r}"


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(
        TriageError, match=r"needs the Python package litellm: pip install 'triage-tui\[model\]'"
    ):
        ask(ModelSettings("m"))


_LOAD = """
import os
before = dict(os.environ)
from triage_tui.analyst.adapter import load_library
load_library()
assert os.environ == before, set(os.environ.items()) ^ set(before.items())
"""


def test_loading_the_library_calls_nobody_prints_nothing_and_reads_no_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_BASE=http://evil.invalid\nOPENAI_API_KEY=stolen\n")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        where = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        environment = {**os.environ, **dict.fromkeys(names, where), "PYTHONPATH": str(ROOT), "NO_PROXY": ""}
        done = subprocess.run(
            [sys.executable, "-c", _LOAD], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with pytest.raises(BlockingIOError):
            proxy.accept()
