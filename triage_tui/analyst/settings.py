"""Which model is asked, where, with what key, and how much it may cost.

A value comes from the command line, else from the environment, else from `model.yaml` in the user's
configuration directory. Nothing is asked without a model named in one of them. The key is never written
anywhere, and shown nowhere.
"""

from __future__ import annotations

import ipaddress
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from triage_tui.analyst.budget import Budget, Price, parse_budget
from triage_tui.errors import TriageError
from triage_tui.runs.secrets import MASK
from triage_tui.text import safe_line

MODEL_VARIABLE = "TRIAGE_TUI_MODEL"
URL_VARIABLE = "TRIAGE_TUI_MODEL_URL"
KEY_VARIABLE = "TRIAGE_TUI_MODEL_KEY"
BUDGET_VARIABLE = "TRIAGE_TUI_MODEL_BUDGET"
PROMPTS_VARIABLE = "TRIAGE_TUI_PROMPTS"
"""Colon-separated directories with a person's own prompts."""

FILE = "model.yaml"
_MAX_FILE = 64 << 10
_KEYS = frozenset(
    ("model", "url", "key", "key_file", "key_variable", "budget", "price", "prompts", "request_seconds")
)

HOW_TO = (
    f"no model is set up, and none is needed: to ask one, name it in ${MODEL_VARIABLE} (with ${URL_VARIABLE}"
    f" for a server of your own, and ${KEY_VARIABLE}), or in {FILE}; see docs/analyst-model.md"
)


class NotConfigured(TriageError):
    """No model is named anywhere."""

    def __init__(self) -> None:
        super().__init__(HOW_TO)


class Key:
    """An API key that shows itself to nobody by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the key, for the one request that carries it."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def masked_in(self, text: str) -> str:
        """Return `text` without the key: servers repeat it in their errors."""
        return text.replace(self._text, MASK) if len(self._text) >= 4 else text


class ModelSettings(msgspec.Struct, frozen=True):
    """How a model is asked. `url` None leaves the place to the provider that the model's name begins with."""

    model: str
    url: str | None = None
    key: Key | None = None
    budget: Budget = msgspec.field(default_factory=Budget)
    price: Price | None = None
    """What the provider takes; None: what the model library knows of it, if anything."""
    request_seconds: float = 120.0
    """Longest time of one request."""
    prompts: tuple[Path, ...] = ()
    """Directories of a person's own prompts; what stands in a later one wins."""

    @property
    def warning(self) -> str | None:
        """What should be said before the key is used, None when nothing."""
        parts = urlsplit(self.url or "")
        if self.key is None or parts.scheme != "http" or _is_local(parts.hostname or ""):
            return None
        return f"the key for {safe_line(parts.hostname or '', 80)} goes over the network unencrypted (http)"


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def config_dir() -> Path:
    """Return the user's configuration directory of this product."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base) / "triage-tui"


def load_settings(
    *,
    model: str | None = None,
    url: str | None = None,
    budget: str | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> ModelSettings:
    """Return the settings; what is given here comes before the environment, and that before the file.

    Raises:
        NotConfigured: no model is named.
        TriageError: a value cannot be used; says which, where.
    """
    environ = os.environ if environ is None else environ
    path = (config_dir() if directory is None else directory) / FILE
    file = _read_file(path)
    name = model or environ.get(MODEL_VARIABLE) or file.get("model")
    if not name:
        raise NotConfigured
    if not isinstance(name, str) or not name.isprintable() or len(name) > 200 or name != name.strip():
        raise TriageError(f"the model's name {safe_line(str(name), 60)!r} is no name of a model")
    where = url or environ.get(URL_VARIABLE) or file.get("url")
    allowed = _budget_of_file(file, path)
    for text, origin in ((environ.get(BUDGET_VARIABLE), f"${BUDGET_VARIABLE}"), (budget, "--budget")):
        if text:
            allowed = parse_budget(text, allowed, origin)
    return ModelSettings(
        model=name,
        url=_checked_url(where) if where else None,
        key=_key(environ, file, path),
        budget=allowed,
        price=_price(file, path),
        request_seconds=_seconds(file, path),
        prompts=prompt_directories(environ, path.parent, file),
    )


def prompt_directories(
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    file: Mapping[str, Any] | None = None,
) -> tuple[Path, ...]:
    """Return the directories of a person's own prompts that are there; a later one wins.

    Raises:
        TriageError: one that is named explicitly is not there.
    """
    environ = os.environ if environ is None else environ
    directory = config_dir() if directory is None else directory
    if file is None:
        file = _read_file(directory / FILE)
    named = [text for text in (file.get("prompts"),) if isinstance(text, str) and text]
    named += [text for text in environ.get(PROMPTS_VARIABLE, "").split(":") if text]
    found = [path for path in (directory / "prompts",) if path.is_dir()]
    for text in named:
        path = Path(text).expanduser()
        if not path.is_dir():
            raise TriageError(f"the directory of prompts {safe_line(text, 200)} is not there")
        found.append(path)
    return tuple(found)


def _read_file(path: Path) -> dict[str, Any]:
    # A FIFO would keep everybody waiting.
    if path.exists() and not path.is_file():
        raise TriageError(f"{safe_line(str(path))} is no regular file")
    try:
        with open(path, "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            raw = stream.read(_MAX_FILE + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TriageError(f"{safe_line(str(path))} cannot be read: {error.strerror}") from error
    if len(raw) > _MAX_FILE:
        raise TriageError(f"{safe_line(str(path))} is longer than {_MAX_FILE} bytes")
    import yaml

    try:
        data = yaml.safe_load(raw)
    except (yaml.YAMLError, ValueError, RecursionError):
        # The parser's message quotes the line, which may be the one with the key.
        raise TriageError(f"{safe_line(str(path))} is no usable YAML") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise TriageError(f"{safe_line(str(path))} must hold names with values, such as `model: NAME`")
    unknown = sorted(str(key) for key in data if key not in _KEYS)
    if unknown:
        raise TriageError(
            f"{safe_line(str(path))}, key {safe_line(unknown[0], 40)}: unknown;"
            f" known are {', '.join(sorted(_KEYS))}"
        )
    if data.get("key") and stat.S_IMODE(mode) & 0o077:
        raise TriageError(f"{safe_line(str(path))} holds a key and others may read it: chmod 600 it first")
    return data


def _key(environ: Mapping[str, str], file: Mapping[str, Any], path: Path) -> Key | None:
    text = environ.get(KEY_VARIABLE)
    if not text and isinstance(variable := file.get("key_variable"), str):
        text = environ.get(variable)
    if not text and isinstance(named := file.get("key_file"), str):
        try:
            text = Path(named).expanduser().read_text(encoding="utf-8")[:4096]
        except (OSError, UnicodeDecodeError) as error:
            raise TriageError(f"the key file that {safe_line(str(path))} names cannot be read") from error
    if not text and file.get("key"):
        text = str(file["key"])
    text = (text or "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise TriageError("the key of the model holds characters that no key has")
    return Key(text)


def _checked_url(text: object) -> str:
    parts = urlsplit(text) if isinstance(text, str) else urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TriageError(
            f"the model's URL {safe_line(str(text), 100)!r} is none: it looks like http://127.0.0.1:8080/v1"
        )
    if parts.username or parts.password:
        raise TriageError(f"the model's URL holds a password: give the key in ${KEY_VARIABLE} instead")
    return str(text)


def _budget_of_file(file: Mapping[str, Any], path: Path) -> Budget:
    given = file.get("budget") or {}
    if isinstance(given, str):
        return parse_budget(given, Budget(), f"{safe_line(str(path))}, key budget")
    if not isinstance(given, dict):
        raise TriageError(f"{safe_line(str(path))}, key budget: must hold tokens, money, seconds or steps")
    text = ",".join(f"{name}={value}" for name, value in given.items())
    return parse_budget(text, Budget(), f"{safe_line(str(path))}, key budget") if text else Budget()


def _price(file: Mapping[str, Any], path: Path) -> Price | None:
    given = file.get("price")
    if given is None:
        return None
    try:
        price = Price(input=float(given["input"]), output=float(given["output"]))
    except (TypeError, KeyError, ValueError):
        price = Price(input=-1, output=-1)
    if not (0 <= price.input < math.inf and 0 <= price.output < math.inf):
        raise TriageError(
            f"{safe_line(str(path))}, key price: needs input and output, each what a million tokens cost"
        )
    return price


def _seconds(file: Mapping[str, Any], path: Path) -> float:
    given = file.get("request_seconds", 120)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 86400:
        raise TriageError(f"{safe_line(str(path))}, key request_seconds: needs a positive number")
    return float(given)
