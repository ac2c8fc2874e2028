"""A real Prometheus for the tests: Debian's package, unpacked into the user's cache, 19 MB to fetch once.

Nothing is installed and no root is needed: both programs are linked with nothing but the C library.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.waiting import wait_until
from triage_tui.resources import cache_dir
from triage_tui.setup.apt import native_architecture
from triage_tui.setup.cache import exclusive, publish, staging
from triage_tui.setup.sources import fetch, unpack

_PACKAGE = "prometheus"


def ensure_prometheus() -> Path:
    """Return the directory with `prometheus` and `promtool`, fetching them if needed.

    Raises:
        TriageError: they cannot be fetched.
    """
    key = hashlib.sha256(f"{native_architecture()} {_PACKAGE}".encode()).hexdigest()[:12]
    place = cache_dir() / "prometheus" / key
    if not place.is_dir():
        with exclusive() as cache, staging(cache) as work:
            if not place.is_dir():
                files = fetch([_PACKAGE], cache, work, of_debian=True)
                unpack(files[_PACKAGE], work / "tree")
                publish(work / "tree", place)
    return place / "usr/bin"


def promtool(*arguments: str, given: str = "") -> str:
    """Run promtool and return what it prints; it must find no fault."""
    command = [str(ensure_prometheus() / "promtool"), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Prometheus:
    """A server that runs, asked over its HTTP interface."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer.

        Raises:
            OSError: nobody answers, or the question is wrong.
        """
        url = f"{self._base}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def value(self, expression: str) -> float | None:
        """Return the one value of an expression, None where it has none."""
        found = self.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def becomes(self, expression: str, value: float) -> None:
        """Wait until an expression has a value."""
        wait_until(
            lambda: self.value(expression) == value, lambda: f"{expression} is {self.value(expression)}"
        )

    def has(self, expression: str) -> None:
        """Wait until an expression has values that are numbers."""

        def values() -> bool:
            found = self.get("query", query=expression)["result"]
            return any(one["value"][1] != "NaN" for one in found)

        wait_until(values, lambda: f"nothing answers {expression}")


@contextmanager
def scraping(place: Path, targets: list[str], rules: Path) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes `targets` (HOST:PORT) each half second, with its files below `place`."""
    port = free_port()
    place.mkdir()
    config = place / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}\n"
        f"rule_files: ['{rules}']\n"
        f"scrape_configs: [{{job_name: triage-tui, static_configs: [{{targets: {targets!r}}}]}}]\n"
    )
    command = [
        str(ensure_prometheus() / "prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={place / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (place / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            server = Prometheus(port)

            def answers() -> bool:
                assert process.poll() is None, (place / "log").read_text()
                with contextlib.suppress(OSError):
                    return bool(server.get("status/buildinfo"))
                return False

            wait_until(answers)
            yield server
        finally:
            process.terminate()
