"""Which model is asked: the command line before the environment before the file, and no key in any text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.analyst.model_server import KEY
from triage_tui.analyst.budget import Budget, Price
from triage_tui.analyst.settings import Key, ModelSettings, NotConfigured, load_settings
from triage_tui.errors import TriageError

FILE = f"""
model: from-file
url: http://127.0.0.1:1/v1
key: {KEY}
budget: {{tokens: 5000, steps: 3}}
price: {{input: 0.5, output: 2}}
request_seconds: 30
"""


def written(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "model.yaml"
    path.write_text(text)
    path.chmod(mode)
    return directory


def test_nothing_is_asked_unless_a_model_is_named(tmp_path: Path) -> None:
    environ = {"TRIAGE_TUI_MODEL_URL": "http://127.0.0.1:1/v1", "OPENAI_API_KEY": KEY}
    with pytest.raises(NotConfigured, match=r"no model is set up, and none is needed.*TRIAGE_TUI_MODEL"):
        load_settings(environ=environ, directory=tmp_path)


def test_each_place_comes_before_the_next(tmp_path: Path) -> None:
    written(tmp_path, FILE)
    found = load_settings(environ={}, directory=tmp_path)
    assert (found.model, found.url, found.request_seconds) == ("from-file", "http://127.0.0.1:1/v1", 30)
    assert found.budget == Budget(tokens=5000, steps=3)
    assert found.price == Price(0.5, 2)
    assert found.key is not None
    assert found.key.reveal() == KEY
    environ = {
        "TRIAGE_TUI_MODEL": "from-environment",
        "TRIAGE_TUI_MODEL_URL": "https://example.invalid/v1",
        "TRIAGE_TUI_MODEL_KEY": "another-key",
        "TRIAGE_TUI_MODEL_BUDGET": "tokens=700",
    }
    found = load_settings(environ=environ, directory=tmp_path)
    assert (found.model, found.url) == ("from-environment", "https://example.invalid/v1")
    assert found.budget == Budget(tokens=700, steps=3)
    assert found.key is not None
    assert found.key.reveal() == "another-key"
    found = load_settings(model="given", budget="steps=9", environ=environ, directory=tmp_path)
    assert (found.model, found.budget) == ("given", Budget(tokens=700, steps=9))


def test_keys_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{KEY}\n")
    written(tmp_path, f"model: m\nkey_file: {tmp_path}/secret\nkey_variable: MY_KEY\n", 0o644)
    by_file = load_settings(environ={}, directory=tmp_path).key
    by_name = load_settings(environ={"MY_KEY": "named"}, directory=tmp_path).key
    assert by_file is not None
    assert by_name is not None
    assert (by_file.reveal(), by_name.reveal()) == (KEY, "named")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "no usable YAML"),
        ("- a\n", "must hold names with values"),
        ("modell: x\n", "key modell: unknown; known are"),
        ("model: [a]\n", "no name of a model"),
        ('model: "a\\u202eb"\n', "no name of a model"),
        ("model: m\nurl: ftp://x/\n", "is none: it looks like"),
        ("model: m\nurl: http://user:pw@x/\n", "holds a password"),
        ("model: m\nkey_file: /nowhere/at/all\n", "key file that .* names cannot be read"),
        ('model: m\nkey: "two words"\n', "characters that no key has"),
        ("model: m\nbudget: {tokens: none}\n", "is no limit"),
        ("model: m\nbudget: 3\n", "must hold tokens"),
        ("model: m\nprice: cheap\n", "key price: needs input and output"),
        ("model: m\nrequest_seconds: soon\n", "needs a positive number"),
        ("model: m\nprompts: /nowhere/at/all\n", "directory of prompts /nowhere/at/all is not there"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TriageError, match=says) as caught:
        load_settings(environ={}, directory=written(tmp_path, text))
    assert "two words" not in str(caught.value)


def test_a_file_with_a_key_is_its_owners_alone(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="others may read it: chmod 600") as caught:
        load_settings(environ={}, directory=written(tmp_path, FILE, 0o644))
    assert KEY not in str(caught.value)


def test_a_mistake_in_the_file_does_not_show_the_key(tmp_path: Path) -> None:
    with pytest.raises(TriageError) as caught:
        load_settings(environ={}, directory=written(tmp_path, f"model: m\nkey: {KEY}: [\n"))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "key", "warned"),
    [
        ("http://models.example/v1", KEY, True),
        ("https://models.example/v1", KEY, False),
        ("http://127.0.0.1:8080/v1", KEY, False),
        ("http://[::1]:8080/v1", KEY, False),
        ("http://localhost/v1", KEY, False),
        ("http://models.example/v1", "", False),
    ],
)
def test_a_key_in_the_open_is_warned_of(url: str, key: str, warned: bool) -> None:
    settings = ModelSettings("m", url=url, key=Key(key) if key else None)
    assert (settings.warning is not None) == warned


def test_a_configuration_that_is_a_fifo_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "triage-tui").mkdir()
    os.mkfifo(tmp_path / "triage-tui" / "model.yaml")
    with pytest.raises(TriageError, match="no regular file"):
        load_settings(model="m")
