"""Why a model gave no answer, in one sentence; the words of servers and libraries only behind it, masked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

from triage_tui.analyst.settings import KEY_VARIABLE, ModelSettings
from triage_tui.errors import TriageError
from triage_tui.text import safe_line

Kind = Literal[
    "connection",
    "timeout",
    "key",
    "rate",
    "busy",
    "request",
    "refused",
    "partial",
    "empty",
    "endless",
    "other",
]
AGAIN: frozenset[Kind] = frozenset(("rate", "busy"))
"""Kinds after which the same request may succeed a little later."""


_NO_KEY_WORDS = (
    "Missing credentials",
    "api_key client option must be set",
    "Missing API Key",
    "API key is missing",
)
"""What the library says when it has no key to send: no request went out."""


class ModelFailure(TriageError):
    """No usable answer came. `wait` is how many seconds the server asks to wait, None: it does not say."""

    def __init__(self, kind: Kind, text: str, *, detail: str = "", wait: float | None = None) -> None:
        super().__init__(f"{text} ({safe_line(detail, 200)})" if detail.strip() else text)
        self.kind: Kind = kind
        self.wait = wait


def failure_of(error: Exception, settings: ModelSettings, *, began_to_answer: bool) -> ModelFailure:
    """Return what an exception of the model library means."""
    where = (
        safe_line(settings.url, 120) if settings.url else f"the provider of {safe_line(settings.model, 80)}"
    )
    said = _said(error, settings)
    names = {type(one).__name__ for one in _chain(error)}
    status = getattr(error, "status_code", None)
    if names & {"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"}:
        return ModelFailure("connection", f"nothing answers at {where}: is the server running?")
    if names & {"APITimeoutError", "ReadTimeout", "WriteTimeout", "PoolTimeout", "TimeoutError", "Timeout"}:
        seconds = f"{settings.request_seconds:.0f} seconds"
        return ModelFailure("timeout", f"the model at {where} sent nothing for {seconds}")
    if settings.key is None and any(words in said for words in _NO_KEY_WORDS):
        return ModelFailure("key", f"a key is needed (${KEY_VARIABLE}) by {where}")
    if "model is repeating the same chunk" in said:
        # The library's own judgement, after a hundred chunks that were the same.
        return ModelFailure("endless", "the model's answer had no end: it said the same again and again")
    if began_to_answer or names & {"RemoteProtocolError", "ReadError", "IncompleteRead"}:
        return ModelFailure("partial", "the model's answer broke off before its end")
    if status in (401, 403):
        key = "the key was not accepted" if settings.key else f"a key is needed (${KEY_VARIABLE})"
        return ModelFailure("key", f"{key} by {where}", detail=said)
    if status == 429:
        return ModelFailure("rate", f"{where} allows no more requests now", detail=said, wait=_wait(error))
    if "NOT provided" in said:
        name = safe_line(settings.model, 80)
        return ModelFailure(
            "request", f"the name {name!r} does not say which provider: write PROVIDER/MODEL, or give a URL"
        )
    if status == 404:
        name = safe_line(settings.model, 80)
        return ModelFailure("request", f"{where} knows no model {name!r}, or has no such API", detail=said)
    if status in (400, 413, 422):
        return ModelFailure("request", f"{where} refused the request", detail=said)
    if (
        isinstance(status, int)
        and status >= 500
        and names & {"InternalServerError", "ServiceUnavailableError"}
    ):
        return ModelFailure("busy", f"{where} failed (HTTP {status})", detail=said, wait=_wait(error))
    return ModelFailure("other", f"asking the model at {where} failed", detail=said or type(error).__name__)


def tells_why(error: Exception) -> bool:
    """Tell whether the server, or the way to it, gave a reason.

    The library calls an answer that it cannot read (a page, another form of JSON) an error 500 as well.
    """
    names = {type(one).__name__ for one in _chain(error)}
    return bool(names & {"HTTPStatusError", "APIConnectionError", "BadRequestError", "Timeout"})


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _said(error: Exception, settings: ModelSettings) -> str:
    """Return the server's words, without the key and without the library's prefixes."""
    text = str(getattr(error, "message", "") or error)
    for prefix in (
        "litellm.",
        f"{type(error).__name__}: ",
        f"{type(error).__name__}: ",
        "OpenAIException - ",
    ):
        text = text.removeprefix(prefix)
    return settings.key.masked_in(text) if settings.key is not None else text


def _wait(error: Exception) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3; the form with a date is not used by
    APIs).
    """
    headers: Any = getattr(error, "litellm_response_headers", None)
    if not headers:
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        seconds = float(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < math.inf else None
