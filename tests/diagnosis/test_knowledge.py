"""The knowledge base: strict loading, one clear sentence per mistake, overriding, the published schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from triage_tui.diagnosis.knowledge import CAUSALITY_FILE, load_knowledge
from triage_tui.diagnosis.schema import SCHEMAS, knowledge_base_schema
from triage_tui.errors import TriageError
from triage_tui.proposals.templates import load_library
from triage_tui.resources import shipped
from triage_tui.rulebook.rollouts.criteria import CRITERIA_FILE

ROOT = Path(__file__).resolve().parents[2]

GOOD: dict[str, Any] = {
    "id": "mine",
    "version": 1,
    "cause": "missing_file",
    "title": "The file {subject.path} is missing",
    "subject": {"fact": "failed_call", "where": {"errno": "ENOENT"}},
    "confidence": {"base": 0.5},
    "explanation": ["The call {subject.cite} failed."],
}


def write(directory: Path, entry: dict[str, Any], name: str = "mine.yaml") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(yaml.safe_dump({"schema": 1, "entries": [entry]}))
    return directory


def test_the_shipped_knowledge_base_loads_and_its_templates_exist() -> None:
    knowledge = load_knowledge()
    library = load_library()
    assert len(knowledge.entries) > 40
    assert knowledge.overridden == []
    for entry in knowledge.entries:
        assert set(entry.proposals) <= set(library.templates), entry.id


def test_every_shipped_file_fits_the_published_schema() -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "knowledge-base.schema.json").read_text())
    assert schema == knowledge_base_schema(), "run python -m triage_tui.diagnosis.schema"
    validator = jsonschema.Draft202012Validator(schema)
    for path in shipped("rules").glob("*.yaml"):
        if path.name != CAUSALITY_FILE:
            validator.validate(yaml.safe_load(path.read_text()))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"schema": 1, "entries": [{**GOOD, "subject": {"fact": "nothing"}}]})


def test_causality_and_cases_fit_their_published_schemas() -> None:
    for name in SCHEMAS:
        published = json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text())
        assert published == SCHEMAS[name](), "run python -m triage_tui.diagnosis.schema"
    causality = jsonschema.Draft202012Validator(SCHEMAS["knowledge-causality"]())
    causality.validate(yaml.safe_load((shipped("rules") / CAUSALITY_FILE).read_text()))
    criteria = jsonschema.Draft202012Validator(SCHEMAS["rollout-criteria"]())
    criteria.validate(yaml.safe_load((shipped("rules") / CRITERIA_FILE).read_text()))
    with pytest.raises(jsonschema.ValidationError):
        criteria.validate({"schema": 1, "one": {"runs": -1}})
    case = jsonschema.Draft202012Validator(SCHEMAS["knowledge-case"]())
    for path in sorted((shipped("rules") / "cases").iterdir())[::20]:
        case.validate(json.loads(path.read_text()))
    with pytest.raises(jsonschema.ValidationError):
        case.validate({"title": "x"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cause": "bad_luck"}, "entry mine, key cause: unknown cause 'bad_luck'"),
        ({"version": "1"}, "entry mine, key version: needs a whole number"),
        ({"colour": 1}, "entry mine, key colour: unknown"),
        ({"explanation": ["It failed."]}, "key explanation[0]: this sentence cites nothing"),
        ({"explanation": ["{other.cite} failed."]}, "key explanation[0]: {other.cite} names nothing"),
        ({"title": "{subject.colour}"}, "key title: {subject.colour}: failed_call has no field colour"),
        ({"title": "a {brace"}, "key title: a brace that belongs to no placeholder"),
        ({"confidence": {"base": 2}}, "key confidence.base: needs a number between -1 and 1"),
        ({"confidence": {"base": 0.1, "top": 1}}, "key confidence.top: unknown"),
        (
            {"subject": {"fact": "failed_call", "where": {"errno": 2}}},
            "key subject.where.errno: needs a word",
        ),
        (
            {"adjust": [{"when": {"fact": "end"}, "add": 0.1}]},
            "key adjust[0]: needs exactly the keys when, add and says",
        ),
        ({"wanted": "more"}, "key wanted: needs a list of texts"),
    ],
)
def test_a_mistake_is_one_sentence_with_file_entry_and_key(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(TriageError) as caught:
        load_knowledge([write(tmp_path / "rules", GOOD | change)])
    assert message in str(caught.value)
    assert str(tmp_path / "rules" / "mine.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no usable YAML"),
        ("schema: 2\nentries: []", "key schema: must be 1, not 2"),
        ("schema: 1\nschema: 1", "the key 'schema' is given twice"),
        ("schema: 1\nentries: []", "key entries: needs a list of entries"),
        ("- 1", "the file must hold a mapping"),
        ("schema: 1\nentries: [1]", "entry number 1"),
        ("schema: 1\nentries: !!python/object:os.system {}", "is no usable YAML"),
    ],
)
def test_a_file_that_is_no_knowledge_base_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(TriageError) as caught:
        load_knowledge([tmp_path])
    assert message in str(caught.value)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="does not exist"):
        load_knowledge([tmp_path / "none"])


def test_a_users_entry_replaces_the_shipped_one_and_says_so(tmp_path: Path) -> None:
    before = load_knowledge()
    after = load_knowledge([write(tmp_path / "rules", GOOD | {"id": "missing-file"})])
    assert len(after.entries) == len(before.entries)
    entry = next(entry for entry in after.entries if entry.id == "missing-file")
    assert entry.base == 0.5
    assert len(after.overridden) == 1
    assert "replaces entry missing-file" in after.overridden[0]
    assert after.sha256 != before.sha256


def test_a_user_can_switch_a_shipped_entry_off(tmp_path: Path) -> None:
    after = load_knowledge([write(tmp_path / "rules", GOOD | {"id": "missing-file", "status": "disabled"})])
    assert all(entry.id != "missing-file" for entry in after.entries)


def test_two_entries_of_one_directory_may_not_share_an_id(tmp_path: Path) -> None:
    write(tmp_path / "rules", GOOD)
    write(tmp_path / "rules", GOOD, "other.yaml")
    with pytest.raises(TriageError, match="the same id is used in"):
        load_knowledge([tmp_path / "rules"])
