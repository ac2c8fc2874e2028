"""What is loaded when: start-up is quick because it loads next to nothing, and a count cannot be noisy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.checkout import ROOT

_REPORT = "\nimport json, sys\nprint()\nprint(json.dumps(sorted(sys.modules)))"
_COMMAND = "import sys\nsys.argv[1:] = {arguments!r}\nfrom triage_tui.cli.main import main\nmain()"


def _modules_after(code: str) -> set[str]:
    """The names of all modules that a fresh interpreter has loaded after `code`."""
    result = subprocess.run(
        [sys.executable, "-c", code + _REPORT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def _foreign(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_version_and_help_load_only_the_standard_library(arguments: list[str]) -> None:
    bare = _modules_after("")
    loaded = _modules_after(_COMMAND.format(arguments=arguments)) - bare
    assert _foreign(loaded) == {"triage_tui"}
    assert {name for name in loaded if name.startswith("triage_tui")} == {
        "triage_tui",
        "triage_tui.cli",
        "triage_tui.cli.main",
        "triage_tui.cli.streams",
        "triage_tui.errors",
        "triage_tui.exit_codes",
    }
    # argparse alone brings about twenty; asyncio, say, would bring over a hundred.
    assert len(loaded) < 40


def test_importing_the_package_loads_nothing_else() -> None:
    loaded = _modules_after("import triage_tui") - _modules_after("import __future__")
    assert loaded == {"triage_tui"}


def test_the_setup_needs_nothing_installed() -> None:
    code = "import triage_tui.setup.__main__, triage_tui.setup.venv"
    assert _foreign(_modules_after(code) - _modules_after("")) == {"triage_tui"}


def test_listing_runs_loads_no_app_and_no_engine(tmp_path: Path) -> None:
    loaded = _modules_after(_COMMAND.format(arguments=["list", "-C", str(tmp_path)]))
    assert (
        _foreign(loaded) & {"textual", "capstone", "lupa", "elftools", "litellm", "inotify_simple"} == set()
    )
    assert not {name for name in loaded if name.startswith(("triage_tui.ui", "triage_tui.guest"))}


_OPEN_APP = """
import asyncio, sys
from pathlib import Path

class Recorder:
    tried = set()
    def find_spec(self, name, path=None, target=None):
        self.tried.add(name.partition(".")[0])

sys.meta_path.insert(0, Recorder())
from triage_tui.ui.app import TriageApp

async def open_and_leave():
    async with TriageApp(Path({workspace!r})).run_test() as pilot:
        await pilot.pause()

asyncio.run(open_and_leave())
for name in Recorder.tried:
    sys.modules.setdefault(name, None)
"""


def test_opening_the_app_does_not_even_try_to_load_the_model_library(tmp_path: Path) -> None:
    loaded = _modules_after(_OPEN_APP.format(workspace=str(tmp_path)))
    assert "textual" in loaded
    assert loaded & {"litellm", "openai", "httpx", "lupa"} == set()
