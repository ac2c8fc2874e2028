"""Target files: what they say, and how each mistake in them is told."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.campaign.made_roots import ELF, make_root
from triage_tui.campaign import root_walk, yaml_nodes
from triage_tui.campaign.gathering import gather
from triage_tui.campaign.schema import schema
from triage_tui.campaign.targets import read_targets, target_id
from triage_tui.campaign.yaml_nodes import BadFileError
from triage_tui.errors import TriageError

WHOLE = """\
schema: 1
defaults:
  env: {HOME: /root, TZ: UTC}
  interfaces: [eth0]
  time_limit_s: 20
roots:
  - root: one
    group: acme
    only: ["h*"]
  - two
targets:
  - root: one
    program: /bin/busybox
    argv: [httpd, -p, 80, -h, /www, yes]
    cwd: /www
    env: {TZ: CET, LEVEL: 010}
    user: 99
    stdin: open
    probes: ["http:80/"]
  - root: two
    program: /usr/sbin/service
    args: [-f]
    name: the service
    stdin: null
    interfaces: []
    group: other
    time_limit_s: 1.5
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rcs = "#!/bin/sh\nhttpd -p 80\nntpd\n"
    make_root(tmp_path / "one", {"/bin/busybox": ELF, "/www/index.html": "x", "/etc/init.d/rcS": rcs})
    make_root(tmp_path / "one", {"/sbin/httpd": "-> ../bin/busybox", "/sbin/ntpd": "-> ../bin/busybox"})
    make_root(tmp_path / "two", {"/usr/sbin/service": ELF, "/usr/sbin/tool": "#!/no/such/sh\n"})
    return tmp_path


def _write(place: Path, text: str) -> Path:
    path = place / "targets.yaml"
    path.write_text(text)
    return path


def _mistakes(place: Path, text: str) -> BadFileError:
    with pytest.raises(BadFileError) as told:
        read_targets(_write(place, text))
    assert "\n" not in str(told.value)
    return told.value


def test_a_file_says_what_is_run(place: Path) -> None:
    found = gather([_write(place, WHOLE)], [])
    first, second, third = found.targets
    assert first.argv == ["httpd", "-p", "80", "-h", "/www", "yes"]
    assert (first.cwd, first.user, first.stdin, first.arch) == ("/www", 99, "open", "mipsel")
    assert first.env == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "TZ": "CET",
        "LEVEL": "010",
    }
    assert (first.interfaces, first.probes, first.time_limit_s) == (["eth0"], ["http:80/"], 20)
    assert (first.name, first.group, first.origin) == ("httpd", "one", "targets.yaml line 12")
    assert (second.name, second.argv, second.group) == ("the service", ["/usr/sbin/service", "-f"], "other")
    assert (second.interfaces, second.time_limit_s, second.stdin) == ([], 1.5, "null")
    # Of the root that is searched, one service is wanted; what holds for all targets holds for it.
    assert (third.name, third.group, third.origin) == ("httpd", "acme", "/etc/init.d/rcS line 2")
    assert (third.env["TZ"], third.interfaces, third.time_limit_s) == ("UTC", ["eth0"], 20)
    told = {one.what: one.why for one in found.left_out}
    assert told["ntpd"] == "targets.yaml line 7 leaves it out"
    assert told["the whole root"] == "no service was found in it"
    assert len({target.target for target in found.targets}) == 3
    assert all(target.target == target_id(target) and len(target.root_hash) == 64 for target in found.targets)


def test_the_schema_takes_what_the_reader_takes(place: Path) -> None:
    import yaml

    form = schema("campaign-targets")
    jsonschema.validate(yaml.safe_load(WHOLE), form)
    kept = Path(__file__).parents[2] / "docs/schemas/campaign-targets.schema.json"
    assert json.loads(kept.read_text()) == form
    wrongs: tuple[object, ...] = (
        {"targets": []},
        {"schema": 1, "target": []},
        {"schema": 1, "targets": [{"root": "x"}]},
    )
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, form)


def test_all_mistakes_are_found_at_once_with_their_places(place: Path) -> None:
    told = _mistakes(
        place,
        """\
schema: 2
defaults: {env: [1]}
target: []
targets:
  - root: one
    program: bin/busybox
    argv: {a: 1}
    user: nobody
  - program: /bin/busybox
    root: nowhere
    root: one
  - root: one
    program: /bin/nothing
  - root: two
    program: /usr/sbin/tool
  - text
  - root: one
    program: /bin/busybox
    argv: [a, [b]]
    args: [c]
    time_limit_s: -1
    probes: ["cmd:reboot", "telnet:1"]
    stdin: nowhere
    env: {QEMU_CPU: x, "": y}
""",
    )
    sentences = [mistake.sentence() for mistake in told.mistakes]
    assert told.count == len(sentences)
    expected = [
        "line 1, column 9: schema: must be 1",
        "line 2, column 17: defaults.env: must be a mapping",
        "line 3, column 1: target: is no key that is known here: did you mean 'targets'?",
        "line 6, column 14: targets[0].program: must be an absolute path inside the root",
        "line 7, column 11: targets[0].argv: must be a list, and is a mapping",
        "line 8, column 11: targets[0].user: must be a user id",
        f"line 10, column 11: targets[1].root: there is no directory {place}/nowhere",
        "line 11, column 5: targets[1].root: is given twice",
        "line 12, column 5: targets[2]: there is no program /bin/nothing in the root",
        "line 14, column 5: targets[3]: there is no program /no/such/sh in the root",
        "line 16, column 5: targets[4]: must be a mapping with root, program, ",
        "line 17, column 5: targets[5]: give either `argv`",
        "line 19, column 15: targets[5].argv[1]: must be a text, and is a list",
        "line 21, column 19: targets[5].time_limit_s: must be seconds",
        "line 22, column 14: targets[5].probes: a command of this machine is no probe",
        "line 22, column 28: targets[5].probes: 'telnet:1' is no probe",
        f"line 23, column 12: targets[5].stdin: there is no file {place}/nowhere",
        "line 24, column 21: targets[5].env.QEMU_CPU: is no name of a variable",
        "line 24, column 28: targets[5].env.: is no name of a variable",
    ]
    for sentence, start in zip(sentences, expected, strict=True):
        assert sentence.startswith(start), sentence
    assert str(told).startswith(
        f"{place}/targets.yaml has 19 mistakes, the first in line 1, column 9: schema"
    )


def test_of_a_key_that_is_not_there_what_to_write_is_said(place: Path) -> None:
    told = _mistakes(place, "targets:\n  - {args: [x]}\nroots:\n  - {group: x}\n")
    assert [f"{mistake.line}: {mistake.sentence().split(': ', 1)[1]}" for mistake in told.mistakes] == [
        "1: lacks the key `schema`: give `schema: 1` at its begin",
        "2: targets[0]: lacks the key `program`: give its path in the root file system",
        "2: targets[0]: lacks the key `root`: give the directory of an unpacked root file system",
        "4: roots[0]: lacks the key `root`: give the directory of an unpacked root file system",
    ]


def test_a_thousand_mistakes_are_counted_and_the_first_told(place: Path) -> None:
    entries = "".join(f"  - {{root: one, program: /bin/p{number}}}\n" for number in range(1500))
    told = _mistakes(place, f"schema: 1\ntargets:\n{entries}")
    assert told.count == 1500
    assert [mistake.line for mistake in told.mistakes] == list(range(3, 23))
    assert told.rest == "and 1480 more, in lines 23 to 1502"
    assert "has 1500 mistakes, the first in line 3, column 5: targets[0]" in str(told)


BOMB = "schema: 1\na: &a [x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
HOSTILE = {
    "anchors and aliases are not taken": BOMB,
    "the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not taken": (
        "schema: 1\ntargets: !!python/object/apply:os.system [id]\n"
    ),
    "the tag '!include' is not taken": "schema: 1\ntargets: !include /etc/passwd\n",
    "it is nested more than 8 levels deep": "[" * 5000,
    "it is no usable YAML: mapping values are not allowed": "schema: 1\ntargets: a: b\n",
    "control characters are not allowed": "schema: 1\n\x00",
    "the file is empty": "# nothing\n",
    "must be a mapping with schema, defaults, roots, targets, and is a list": "- 1\n",
    "a value has more than 65536 characters": f"schema: {'1' * 70_000}\n",
    "expected a single document": "schema: 1\n---\nschema: 1\n",
    "names neither `targets` nor `roots`": "schema: 1\n",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_is_refused_in_one_sentence(place: Path, what: str) -> None:
    assert what in str(_mistakes(place, HOSTILE[what]))


def test_too_much_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_nodes, "MAX_VALUES", 20)
    assert "more than 20 values: split the file" in str(_mistakes(place, WHOLE))


def test_what_is_no_file_is_refused(place: Path) -> None:
    for path, why in ((place / "none.yaml", "No such file"), (place, "not a regular file")):
        with pytest.raises(TriageError, match=why):
            read_targets(path)


def test_the_same_start_is_taken_once(place: Path) -> None:
    entry = "  - {root: one, program: /bin/busybox, args: [x]}\n"
    found = gather([_write(place, f"schema: 1\ntargets:\n{entry * 3}")], [])
    assert len(found.targets) == 1
    assert [one.why.endswith("targets.yaml line 3") for one in found.left_out] == [True, True]


def test_a_root_whose_content_cannot_be_had_costs_its_own_targets(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_walk, "MAX_BYTES", 300)
    (place / "two/big").write_bytes(bytes(400))
    entry = "  - {{root: {0}, program: {1}}}\n"
    both = entry.format("two", "/usr/sbin/service") + entry.format("one", "/bin/busybox")
    found = gather([_write(place, f"schema: 1\ntargets:\n{both}")], [])
    assert [target.group for target in found.targets] == ["one"]
    assert "holds more than" in found.left_out[0].why
    with pytest.raises(TriageError, match=r"/two holds more than .*: name one root file system"):
        gather([_write(place, f"schema: 1\ntargets:\n{entry.format('two', '/usr/sbin/service')}")], [])


def test_a_root_that_cannot_be_had_is_one_sentence(place: Path) -> None:
    (place / "firmware.bin").write_bytes(b"x")
    make_root(place / "bare", {"/etc/passwd": "root:x:0:0::/:/bin/sh\n"})
    make_root(place / "taken/apart/squashfs-root", {"/etc/init.d/rcS": "#!/bin/sh\n/bin/d\n", "/bin/d": ELF})
    for path, why in (
        (place / "taken", r"no service .*, but .*/taken/apart/squashfs-root looks like a root: name that"),
        (place / "firmware.bin", "is no directory: give the directory into which the firmware was unpacked"),
        (place / "nowhere", "does not exist"),
        (place / "bare", r"no service to run was found in .*/bare.*name its programs in a target file"),
    ):
        with pytest.raises(TriageError, match=why):
            gather([], [path])
