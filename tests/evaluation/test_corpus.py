"""A file of labelled cases is input: what is well formed is read, every mistake is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from triage_tui.errors import TriageError
from triage_tui.evaluation.corpus import chosen, load_corpus
from triage_tui.resources import shipped

GOOD: dict[str, Any] = {
    "id": "tool-armhf",
    "arch": "armhf",
    "cause": "missing_file",
    "accept": ["config_error"],
    "packages": ["tool:armhf"],
    "argv": ["/bin/tool", 7],
}


def write(tmp_path: Path, cases: object) -> Path:
    path = tmp_path / "corpus.yaml"
    path.write_text(cases if isinstance(cases, str) else yaml.safe_dump(cases, sort_keys=False))
    return path


def test_a_case_has_defaults_and_words(tmp_path: Path) -> None:
    [case] = load_corpus(write(tmp_path, [GOOD | {"user": "nobody", "stdin": {"hex": "410a"}}])).cases
    assert case.words == ["/bin/tool", "7"]
    assert (case.uid, case.input, case.cwd, case.network) == (65534, b"A\n", "/", ["lo"])
    assert case.right == {"missing_file", "config_error"}


def test_labels_do_not_make_another_run_and_everything_that_is_run_does(tmp_path: Path) -> None:
    changed: list[dict[str, Any]] = [
        {"cause": "permission", "accept": [], "why": "other"},
        {"argv": ["/bin/tool", "8"]},
        {"prepare": [{"mkdir": "/run"}]},
        {"user": 5},
        {"env": {"A": "b"}},
    ]
    entries = [GOOD] + [GOOD | {"id": f"case-{n}"} | change for n, change in enumerate(changed)]
    first, relabelled, *others = (
        case.key("engine 1") for case in load_corpus(write(tmp_path, entries)).cases
    )
    assert first == relabelled
    assert len({first, *others}) == 5
    assert load_corpus(write(tmp_path, [GOOD])).cases[0].key("engine 2") != first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"argv": "/bin/tool"}, "argv: expected `array`"),
        ({"argv": []}, "argv: needs the program"),
        ({"argv": ["/bin/tool", "a\0b"]}, "NUL byte"),
        ({"packages": ["--purge:armhf"]}, "not NAME:ARCHITECTURE"),
        ({"packages": ["tool"]}, "not NAME:ARCHITECTURE"),
        ({"packages": []}, "packages: needs"),
        ({"cause": "bad_luck"}, "'bad_luck' is no cause"),
        ({"accept": ["bad_luck"]}, "'bad_luck' is no cause"),
        ({"id": "../up"}, "the id may hold"),
        ({"id": 5}, "case number 1: id: expected `str`"),
        ({"healthy": "perhaps"}, "healthy: expected `bool`"),
        ({"cwd": "here"}, "cwd: 'here' is not absolute"),
        ({"user": "alice"}, "user: 'alice'"),
        ({"user": -1}, "user: -1"),
        ({"timeout": 0}, "timeout: 0 is not"),
        ({"timeout": float("nan")}, "timeout: nan"),
        ({"network": ["a b"]}, "network: 'a b'"),
        ({"stdin": "loud"}, "stdin: 'loud'"),
        ({"stdin": {"hex": "0"}}, "hexadecimal"),
        ({"stdin": {"text": "a", "hex": ""}}, "stdin: needs text or hex"),
        ({"prepare": [{}]}, "prepare: '' is no step"),
        ({"prepare": [{"explode": "/"}]}, "'explode' is no step"),
        ({"prepare": [{"mkdir": "run"}]}, "absolute path"),
        ({"prepare": [{"mkdir": 5}]}, "absolute path"),
        ({"prepare": [{"file": "/a/../../etc/passwd"}]}, "may not hold .."),
        ({"prepare": [{"file": "/a", "to": "/b"}]}, "does not take 'to'"),
        ({"prepare": [{"symlink": "/a", "to": "/b", "mode": "777"}]}, "does not take 'mode'"),
        ({"prepare": [{"symlink": "/a"}]}, "needs to"),
        ({"prepare": [{"file": "/a", "text": 5}]}, "text: 5 will not do"),
        ({"prepare": [{"file": "/a", "mode": "rw"}]}, "not octal"),
        ({"prepare": [{"file": "/a", "owner": "root"}]}, "not UID"),
        ({"prepare": [{"file": "/a", "size": 1 << 40}]}, "size"),
        ({"prepare": [{"device": "/dev/x", "type": "c", "major": True, "minor": 3}]}, "major: True"),
    ],
)
def test_a_mistake_is_named_with_its_case(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    corpus = load_corpus(write(tmp_path, [GOOD | change, GOOD | {"id": "sound"}]))
    [(mistaken, sentence)] = corpus.mistakes.items()
    assert said in sentence
    assert "corpus.yaml, case" in sentence
    assert "\n" not in sentence
    # It counts, under its label, and costs no other case.
    assert [case.id for case in corpus.cases] == [mistaken, "sound"]
    assert corpus.cases[0].cause == change.get("cause", "missing_file")


def test_a_field_that_nobody_knows_is_said_and_the_case_is_run_without_it(tmp_path: Path) -> None:
    corpus = load_corpus(write(tmp_path, [GOOD | {"colour": "red", 5: "x"}]))
    assert corpus.cases == load_corpus(write(tmp_path, [GOOD])).cases
    assert not corpus.mistakes
    [sentence] = corpus.left_out
    assert "case tool-armhf: nobody knows the field 'colour', '5'" in sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- [", "no usable YAML"),
        ("{}", "must hold a list"),
        ("[]", "must hold a list"),
        ("- !!python/object/apply:os.system [id]", "no usable YAML"),
        ("[" * 5000, "no usable YAML"),
        ("\0", "no usable YAML"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TriageError, match=said):
        load_corpus(write(tmp_path, text))


def test_a_file_that_is_not_there_and_a_name_given_twice(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match=r"cannot read .*none\.yaml"):
        load_corpus(tmp_path / "none.yaml")
    twice = write(tmp_path, [GOOD, GOOD, 5])
    corpus = load_corpus(twice, twice)
    names = [case.id for case in corpus.cases]
    assert names == ["tool-armhf", "tool-armhf-2", "number-3", "tool-armhf-3", "tool-armhf-4", "number-3-2"]
    assert list(corpus.mistakes) == names[1:]
    assert "two cases with the name tool-armhf" in corpus.mistakes["tool-armhf-2"]
    assert "case number 3: a case is a mapping" in corpus.mistakes["number-3"]


def test_only_what_is_wanted_in_the_order_wanted(tmp_path: Path) -> None:
    cases = load_corpus(write(tmp_path, [GOOD, GOOD | {"id": "b"}, GOOD | {"id": "c"}])).cases
    assert [case.id for case in chosen(cases, ["c", "b", "c"])] == ["c", "b"]
    assert chosen(cases, []) == cases
    with pytest.raises(TriageError, match="no case 'd'"):
        chosen(cases, ["d"])


def test_the_example_of_the_documentation_is_read_and_holds_the_rare_causes() -> None:
    cases = load_corpus(shipped("rules").parent / "docs" / "examples" / "failures.yaml").cases
    assert len({case.cause for case in cases}) > 15
    assert len({case.arch for case in cases}) > 3
    assert any(case.healthy for case in cases)
