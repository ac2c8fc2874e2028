"""Reports in another language: all that ships is translated, and nothing of the guest's is touched."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.diagnosis.recorded import load_case, run_of
from triage_tui.diagnosis.markdown import render_markdown
from triage_tui.diagnosis.report import diagnose
from triage_tui.errors import TriageError
from triage_tui.language.catalogue import (
    ENGLISH_CATALOGUE,
    Catalogue,
    holes,
    languages,
    load_language,
    read_catalogue,
)
from triage_tui.language.choice import wanted_code, wanted_language
from triage_tui.proposals.build import propose
from triage_tui.resources import shipped
from triage_tui.runs.evidence import links_in

_CHINESE = re.compile("[\u4e00-\u9fff]")


def _shipped_sentences() -> dict[str, list[str]]:
    """Return what the shipped entries and templates say, by their ids."""
    found: dict[str, list[str]] = {}
    rules = shipped("rules")
    for path in (*sorted(rules.glob("*.yaml")), *sorted((rules / "templates").glob("*.yaml"))):
        document: dict[str, Any] = yaml.safe_load(path.read_text())
        for entry in document.get("entries", []):
            texts = [entry["title"], *entry.get("explanation", []), *entry.get("wanted", [])]
            found[f"entry {entry['id']}"] = [*texts, *(change["says"] for change in entry.get("adjust", []))]
        for template in document.get("templates", []):
            keys = ("title", "intent", "effect", "risk_text", "inverse", "needs_input")
            texts = [template[key] for key in keys if template.get(key)]
            found[f"template {template['id']}"] = [
                *texts,
                *template.get("on_sfemu", {}).values(),
                *(one["because"] for one in template.get("after", [])),
            ]
        for content in document.get("contents", []):
            found[f"content {content['path']}"] = [content["risk"]]
        for request in document.get("requests", []):
            found[f"request {request['name']}"] = [request.get("risk", "the values are made up")]
    return found


@pytest.mark.parametrize("code", sorted(languages()))
def test_each_shipped_entry_and_template_is_translated(code: str) -> None:
    catalogue = load_language(code)
    missing = [
        f"{name}: {text}"
        for name, texts in _shipped_sentences().items()
        for text in texts
        # A text that is one place only has no words.
        if not catalogue.knows(text) and not re.fullmatch(r"\{[a-z_.]+\}", text)
    ]
    assert not missing, f"rules/lang/{code}.yaml lacks:\n" + "\n".join(missing)


# A missing file, a message, a peer, wrong arguments.
@pytest.mark.parametrize(
    "name", ["haveged-poolsize-armhf", "dhclient-none-armhf", "applet-nc-peer", "applet-grep-usage"]
)
def test_a_recorded_diagnosis_is_chinese_and_cites_the_same(tmp_path: Path, name: str) -> None:
    chinese = load_language("zh")
    run = run_of(load_case(name), tmp_path)
    diagnosis = diagnose(run)
    diagnosis.proposals = propose(run, diagnosis)
    english, other = render_markdown(run, diagnosis), render_markdown(run, diagnosis, chinese)
    assert sorted(link for _, link in links_in(other)) == sorted(link for _, link in links_in(english))
    # Calls and paths are the guest's, and so are quotes: beside them no English is left.
    for line in other.split("\n"):
        plain = re.sub(r"\[.*?\]\(ev:[^)]*\)|“.*”|\"[^\"]*\"|`[^`]*`", "", line)
        assert not re.search(r"\b(the|that|which|was|before)\b", plain), line
    assert all(_CHINESE.search(chinese.sentence(one.title)) for one in diagnosis.hypotheses)


def test_text_of_the_guest_stays_as_it_is() -> None:
    chinese = load_language("zh")
    # A path that reads like our sentences, and links that it cannot take apart.
    path = "/x is missing, so a lock cannot be made in it"
    assert chinese.sentence(f"The file {path} is missing") == f"缺少文件 {path}"
    assert chinese.sentence("The file none is missing") == "缺少文件 none"
    link = '[open("x) failed (y), 3 calls before the end.")](ev:syscall/1~0123456789ab)'
    said = f"The call {link} failed again and again."
    (found,) = links_in(chinese.paragraph(said))
    assert found == links_in(said)[0]
    assert _CHINESE.search(chinese.paragraph(said))
    for odd in ("", "x" * 50_000, "\ue000" + "0\ue001 is missing", "{x} {y!}", "[a](ev:b/c)"):
        assert chinese.paragraph(odd) == odd
        assert ENGLISH_CATALOGUE.paragraph(odd) == odd


def test_what_is_not_translated_is_english() -> None:
    some = Catalogue("xx", "X", {"a": {"It ends.": "Fin.", "a {name} b c": "{name!} z", "one": "un"}})
    assert some.paragraph("It ends. It does not end. It ends.") == "Fin. It does not end. Fin."
    assert some.sentence("a one b c") == "un z"
    assert some.sentence("a two b c") == "two z"
    assert some.fill("nothing {x}", x=3) == "nothing 3"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "no usable YAML"),
        ("schema: 2", "key schema"),
        ("schema: 1\nlanguage: ../x\nname: X", "keys language and name"),
        ("schema: 1\nlanguage: xx\nname: X\ntexts: [1]", "needs English sentences"),
        ("schema: 1\nlanguage: xx\nname: X\ntexts: {a: 1}", "is no text with a text"),
        ("schema: 1\nlanguage: xx\nname: X\ntexts: {'a {b}': 'c'}", "need the same places (b)"),
        ('schema: 1\nlanguage: xx\nname: X\ntexts: {a: "\\e[31m"}', "what cannot be shown"),
    ],
)
def test_a_mistake_in_a_catalogue_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "xx.yaml"
    path.write_text(text)
    with pytest.raises(TriageError, match=re.escape(why)):
        read_catalogue(path)


def test_a_language_is_chosen_by_option_environment_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("TRIAGE_TUI_LANG", raising=False)
    assert wanted_code() == "en"
    (tmp_path / "triage-tui").mkdir()
    (tmp_path / "triage-tui" / "settings.yaml").write_text("bell: false\nlanguage: zh  # 中文\n")
    assert wanted_language().code == "zh"
    monkeypatch.setenv("TRIAGE_TUI_LANG", "en")
    assert wanted_code() == "en"
    assert wanted_code("zh") == "zh"
    monkeypatch.setenv("TRIAGE_TUI_LANG", "tlh")
    with pytest.raises(TriageError, match=r"TRIAGE_TUI_LANG: there is no language 'tlh'; known are en, zh"):
        wanted_language()
    # A person's own language is one more file beside their rules.
    (tmp_path / "lang").mkdir()
    (tmp_path / "lang" / "tlh.yaml").write_text("schema: 1\nlanguage: tlh\nname: tlh\nt: {'low': 'vItlh'}\n")
    monkeypatch.setenv("TRIAGE_TUI_RULES", str(tmp_path))
    assert wanted_language().fill("low") == "vItlh"


def test_both_sides_have_the_same_places() -> None:
    assert holes("{a} and {b.c!}") == {"a", "b.c"}


@pytest.mark.parametrize("code", sorted(languages()))
def test_what_stands_around_the_diagnosis_is_translated(code: str) -> None:
    catalogue = load_language(code)
    missing = []
    for path in (
        "diagnosis/markdown.py",
        "cli/show.py",
        "cli/show_summary.py",
        "export/html.py",
        "export/markdown.py",
    ):
        tree = ast.parse((shipped("rules").parent / "triage_tui" / path).read_text())
        for call in ast.walk(tree):
            # Sentences are given to `fill`, under its own name or as `say`.
            names = (call.func,) if isinstance(call, ast.Call) else ()
            if any(getattr(name, "attr", getattr(name, "id", "")) in ("fill", "say") for name in names):
                assert isinstance(call, ast.Call)
                texts = [str(arg.value) for arg in call.args[:1] if isinstance(arg, ast.Constant)]
                missing += [f"{path}: {text}" for text in texts if not catalogue.knows(text)]
    assert not missing, "\n".join(missing)
