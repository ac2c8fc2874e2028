"""The one door to a model: litellm, loaded when first asked, and kept quiet.

What litellm 1.106 does that is not wanted here, and what becomes of it: at import it fetches a table of
prices from GitHub (the table that comes with it is used), reads `.env` of the current directory (that could
name another server: not read), and takes seconds and 2,700 modules (nothing else imports it). It takes keys
from the environment where none is given (a server named by URL gets the configured key or none), repeats
failed requests on its own (never, here), prints advice on errors (off), and ends a stream that broke as if
it had been finished (told apart here).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from triage_tui.analyst.failures import ModelFailure, failure_of, tells_why
from triage_tui.analyst.settings import ModelSettings
from triage_tui.errors import Stopped, TriageError

_POLL_S = 0.05
_MAX_REPLY_CHARACTERS = 400_000
"""An answer of more is endless, whatever the server counts."""
_MAX_CALLS = 32
_NO_KEY = "none"
"""Given where there is no key: without any, the library would send one of the environment."""

_AT_IMPORT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "CRITICAL"}
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")

Message = dict[str, Any]
Progress = Callable[[int, float], None]
"""Gets how many characters of an answer have come, and after how many seconds."""


class ToolCall(msgspec.Struct, frozen=True):
    """A tool that the model wants called; `arguments` is its text, which may be no JSON."""

    id: str
    name: str
    arguments: str


class Answer(msgspec.Struct, frozen=True):
    """What came back for one request."""

    text: str
    calls: tuple[ToolCall, ...]
    cut: bool
    """The reply was as long as was allowed, and is not whole."""
    tokens_in: int
    tokens_out: int
    money: float | None
    """What it cost, None where no price is known."""
    seconds: float


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_loading = threading.Lock()


def _silent(_record: logging.LogRecord) -> bool:
    return False


def load_library() -> Any:
    """Return litellm, quiet.

    Raises:
        TriageError: it is not installed, or cannot be loaded.
    """
    with _loading, _environment(_AT_IMPORT):
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_silent)
        # Nearly all that is made while it loads stays: to look for garbage takes a fifth of the time.
        looks = gc.isenabled()
        gc.disable()
        try:
            import litellm
        except ImportError as error:
            raise TriageError(
                "asking a model needs the Python package litellm: pip install 'triage-tui[model]'"
            ) from error
        finally:
            if looks:
                gc.enable()
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.num_retries = 0
    litellm.drop_params = True
    # Its own transport leaves sessions open, and says so at exit.
    litellm.disable_aiohttp_transport = True
    return litellm


class Client:
    """Asks the model of some settings. To be used from one thread; `close` it afterwards."""

    def __init__(self, settings: ModelSettings, cancel: threading.Event | None = None) -> None:
        self._settings = settings
        self._cancel = cancel or threading.Event()
        self._library = load_library()
        self._runner = asyncio.Runner()
        self._at_once = False
        """Whether the server was found to send whole answers, whatever it is asked for."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections."""
        self._runner.close()

    def ask(
        self,
        messages: list[Message],
        tools: list[dict[str, Any]],
        *,
        reply_tokens: int,
        seconds: float,
        progress: Progress = lambda characters, seconds: None,
    ) -> Answer:
        """Send one request and return the answer; `progress` is told every moment how much has come.

        Raises:
            Stopped: the work was cancelled.
            ModelFailure: no whole answer came; says why in one sentence.
        """
        began = time.monotonic()
        return self._runner.run(self._watched(messages, tools, reply_tokens, began, seconds, progress))

    async def _watched(
        self,
        messages: list[Message],
        tools: list[dict[str, Any]],
        reply_tokens: int,
        began: float,
        seconds: float,
        progress: Progress,
    ) -> Answer:
        """Ask, and give up when it takes too long or is not wanted any more."""
        received = _Received()
        task = asyncio.ensure_future(self._answer(messages, tools, reply_tokens, began, received))
        try:
            while not task.done():
                if self._cancel.is_set():
                    raise Stopped("the analysis was stopped")
                if time.monotonic() - began >= seconds:
                    raise ModelFailure(
                        "timeout", f"the model did not finish its answer within {seconds:.0f} seconds"
                    )
                await asyncio.wait({task}, timeout=_POLL_S)
                if not task.done():
                    progress(received.characters, time.monotonic() - began)
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        return task.result()

    async def _answer(
        self,
        messages: list[Message],
        tools: list[dict[str, Any]],
        reply_tokens: int,
        began: float,
        received: _Received,
    ) -> Answer:
        settings = self._settings
        request: dict[str, Any] = {
            "model": settings.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": reply_tokens,
            "temperature": 0,
            "timeout": settings.request_seconds,
            "max_retries": 0,
            "num_retries": 0,
            # With tools it would load its own proxy server first, to look for MCP servers there.
            "_skip_mcp_handler": True,
        }
        if tools:
            request["tools"] = tools
        if settings.url is not None:
            request |= {"custom_llm_provider": "openai", "api_base": settings.url, "api_key": _NO_KEY}
        if settings.key is not None:
            request["api_key"] = settings.key.reveal()
        try:
            ended = None if self._at_once else await self._streamed(request, received)
            if ended is None and received.nothing:
                ended = await self._whole(request, received)
        except (ModelFailure, asyncio.CancelledError):
            raise
        except Exception as error:
            raise failure_of(error, settings, began_to_answer=not received.nothing) from error
        received.check(ended)
        tokens_in, tokens_out = received.tokens(messages)
        return Answer(
            text=received.text,
            calls=tuple(received.calls()),
            cut=ended == "length",
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            money=self._money(tokens_in, tokens_out),
            seconds=time.monotonic() - began,
        )

    async def _streamed(self, request: dict[str, Any], received: _Received) -> str | None:
        """Take an answer as it comes; return why it ended, None when the server did not say."""
        stream = await self._library.acompletion(**request)
        try:
            async for chunk in stream:
                received.take(
                    chunk.choices[0].delta if chunk.choices else None, getattr(chunk, "usage", None)
                )
        finally:
            if (close := getattr(stream, "aclose", None)) is not None:
                with suppress(Exception):
                    await close()
        # The reason in the last chunk is the library's own invention where the server gave none.
        for name in ("received_finish_reason", "intermittent_finish_reason"):
            if (ended := getattr(stream, name, None)) is not None:
                return str(ended)
        return None

    async def _whole(self, request: dict[str, Any], received: _Received) -> str | None:
        """Ask for a whole answer: some servers send nothing else.

        Returns why it ended, None when what was sent is no answer of a model in this form either; that this
        request failed for a reason of its own (a limit, an error, no time left) is raised.
        """
        once = {name: value for name, value in request.items() if not name.startswith("stream")}
        try:
            response = await self._library.acompletion(**once)
            choice = response.choices[0]
        except Exception as error:
            if self._at_once or tells_why(error):
                raise
            return None
        received.take(choice.message, getattr(response, "usage", None))
        self._at_once = not received.nothing
        return str(choice.finish_reason)

    def _money(self, tokens_in: int, tokens_out: int) -> float | None:
        if self._settings.price is not None:
            return self._settings.price.of(tokens_in, tokens_out)
        if self._settings.url is not None:
            # The same name may stand for anything on a server of one's own.
            return None
        try:
            costs = self._library.cost_per_token(
                model=self._settings.model, prompt_tokens=tokens_in, completion_tokens=tokens_out
            )
            return float(sum(costs))
        except Exception:
            # It raises what it likes for models that it has no price of.
            return None

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """Return what so many tokens cost, None where no price is known."""
        return self._money(tokens_in, tokens_out)

    @property
    def has_price(self) -> bool:
        """Whether it is known what the model costs."""
        return self._money(1, 1) is not None


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text is: the library's own counters may fetch files from elsewhere."""
    return len(text.encode("utf-8", "replace")) // 4 + 1


class _Received:
    """What has come of a stream."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._usage: Any = None
        self._refused = False
        self.characters = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def nothing(self) -> bool:
        """Whether nothing has come."""
        return not self.characters and not self._calls

    def take(self, said: Any, usage: Any) -> None:
        """Add what a chunk, or a whole message, brings.

        Raises:
            ModelFailure: the answer has no end.
        """
        self._usage = usage or self._usage
        if said is not None:
            self._add(said.content)
            if getattr(said, "refusal", None):
                self._refused = True
                self._add(said.refusal)
            for number, part in enumerate(said.tool_calls or []):
                # Only in a stream calls have numbers, because they come in pieces.
                place = getattr(part, "index", None)
                call = self._calls.setdefault(number if place is None else place, ["", "", ""])
                if len(self._calls) > _MAX_CALLS:
                    raise ModelFailure(
                        "endless", f"the model wants more than {_MAX_CALLS} tools called at once"
                    )
                call[0] = call[0] or part.id or ""
                call[1] += part.function.name or ""
                call[2] += part.function.arguments or ""
                self.characters += len(part.function.arguments or "")
        if self.characters > _MAX_REPLY_CHARACTERS:
            raise ModelFailure(
                "endless", f"the model's answer had no end: it was stopped after {self.characters} characters"
            )

    def _add(self, text: str | None) -> None:
        if text:
            self._parts.append(text)
            self.characters += len(text)

    def calls(self) -> Iterator[ToolCall]:
        for number, (identity, name, arguments) in sorted(self._calls.items()):
            yield ToolCall(identity or f"call_{number}", name, arguments)

    def check(self, ended: str | None) -> None:
        """Refuse what is no whole answer.

        Raises:
            ModelFailure: nothing came, or it broke off, or the provider or the model refused.
        """
        if ended == "content_filter":
            raise ModelFailure("refused", "the provider's filter held the model's answer back")
        if self._refused:
            raise ModelFailure("refused", "the model refused to answer", detail=self.text)
        if ended is None and self.characters:
            raise ModelFailure("partial", "the model's answer broke off before its end")
        if self.nothing:
            raise ModelFailure(
                "empty", "the server sent no answer of a model: is its URL that of an OpenAI-style API?"
            )

    def tokens(self, messages: list[Message]) -> tuple[int, int]:
        """Return the tokens of prompt and reply: as the server counts them, else estimated."""
        counted = getattr(self._usage, "prompt_tokens", None), getattr(self._usage, "completion_tokens", None)
        estimated = (
            sum(estimate_tokens(str(message)) for message in messages),
            estimate_tokens(self.text + "".join(part[2] for part in self._calls.values())),
        )
        # What a server claims to have used must not make the budget grow.
        first, second = (
            number if isinstance(number, int) and number > 0 else guess
            for number, guess in zip(counted, estimated, strict=True)
        )
        return first, second
