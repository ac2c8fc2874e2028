"""Rule packs: the same bytes for the same rules, and nothing hostile gets in."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.killing import Kill, carried_out
from tests.retry.decisions import memory_directory
from triage_tui.errors import Conflict, TriageError
from triage_tui.rulebook import generations, rulefile
from triage_tui.rulebook.audit import log as audit_log
from triage_tui.rulebook.audit.check import check
from triage_tui.rulebook.packs import imported as packs
from triage_tui.rulebook.packs import keys as pack_keys
from triage_tui.rulebook.packs.format import MANIFEST_FILE, Pack, PackManifest, packed, read_pack
from triage_tui.rulebook.packs.making import pack_of

TEXT = b"function do_syscall() return 0, 0 end\n"
FILES = {
    f"syscall/{call}@{call}-1.lua": rulefile.compose(
        rulefile.RuleHeader(id=f"{call}-1", hit_limit=2, risk="low", effect="an empty file appears"), TEXT
    )
    for call in ("openat", "read")
}


@pytest.fixture(autouse=True)
def _own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def place() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


def made(tmp_path: Path, name: str = "nginx", description: str = "") -> bytes:
    target = tmp_path / "rulebook" / "t"
    active = generations.current(target) if target.exists() else None
    if active is None:
        active = generations.activate(target, add=FILES, actor="ann", reason="r")
    return pack_of(active, "t", tmp_path / "ai_runs", name, description)


def signed(tmp_path: Path, description: str = "") -> Path:
    if not pack_keys.keys_dir().exists():
        pack_keys.new_key()
    raw = made(tmp_path, description=description)
    path = tmp_path / f"{hashlib.sha256(raw).hexdigest()[:6]}.rulepack"
    path.write_bytes(raw)
    path.with_name(f"{path.name}.minisig").write_bytes(pack_keys.sign(raw, pack_keys.own_secret(), path.name))
    return path


def test_the_same_rules_give_the_same_bytes(tmp_path: Path) -> None:
    raw = made(tmp_path)
    assert made(tmp_path) == raw
    pack = read_pack(raw, "x")
    assert dict(pack.rules) == FILES
    manifest = pack.manifest
    assert (manifest.name, manifest.count, manifest.target, manifest.generation) == ("nginx", 2, "t", 1)
    rule = manifest.rules[0]
    assert (rule.id, rule.syscall, rule.risk, rule.hit_limit) == ("openat-1", "openat", "low", 2)
    assert rule.side_effects == "an empty file appears"
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(FILES.items()))
    assert manifest.rules_sha256 == hashlib.sha256(sums.encode()).hexdigest()


@pytest.mark.parametrize("name", ["", "a b", "../x", "A", "x" * 64, ".x", "\x1b[2J"])
def test_a_pack_has_a_plain_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(TriageError, match="no name for a pack"):
        made(tmp_path, name)


def archive(*entries: tuple[str, bytes], **how: int) -> bytes:
    """A zip file, by default stored and of regular files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made_of:
        for name, data in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = how.get("mode", stat.S_IFREG | 0o644) << 16
            entry.compress_type = how.get("compression", zipfile.ZIP_STORED)
            made_of.writestr(entry, data)
    return stream.getvalue()


def changed(raw: bytes, **fields: object) -> bytes:
    """A pack with another manifest."""
    pack = read_pack(raw, "x")
    return packed(msgspec.structs.replace(pack.manifest, **fields), pack.rules)


RULE = "syscall/openat@openat-1.lua"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("hostile", "told"),
    [
        (lambda raw: b"", "is no rule pack"),
        (lambda raw: b"PK\x05\x06" + bytes(17), "is no rule pack"),
        (lambda raw: raw[: len(raw) // 2], "is no rule pack"),
        (lambda raw: raw + b"more", "holds more than its manifest says"),
        (lambda raw: b"before" + raw, "holds more than its manifest says"),
        (lambda raw: raw.replace(b"return 0, 0", b"return 1, 0"), "Bad CRC-32"),
        (lambda raw: archive(("x.lua", b"x")), "x.lua, which is no name of a rule"),
        (lambda raw: archive(("../../etc/passwd", b"x")), "../../etc/passwd, which is no name of a rule"),
        (lambda raw: archive(("/etc/passwd", b"x")), "/etc/passwd, which is no name"),
        (lambda raw: archive(("syscall/../x.lua", b"x")), "which is no name"),
        (lambda raw: archive(("syscall/OPENAT.lua", b"x")), "which is no name"),
        (lambda raw: archive(("syscall/", b"")), "no regular file"),
        (lambda raw: archive((RULE, b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "holds the link"),
        (lambda raw: archive((RULE, b""), mode=stat.S_IFCHR | 0o666), "no regular file"),
        (lambda raw: archive((RULE, b""), mode=stat.S_IFIFO | 0o666), "no regular file"),
        (lambda raw: archive((RULE, b"a"), (RULE, b"b")), "twice"),
        (lambda raw: archive((RULE, b"a"), (RULE.upper(), b"b")), "apart from capital letters"),
        (lambda raw: archive((RULE, bytes(64 << 20)), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (lambda raw: archive((RULE, bytes(1 << 20))), "too large for a rule"),
        (lambda raw: archive(*((f"syscall/a{n}.lua", b"") for n in range(1026))), "more than 1024 rules"),
        (lambda raw: bytes(17 << 20), "more than 16777216 bytes"),
        (lambda raw: archive((RULE, FILES[RULE])), "has no manifest.json"),
        (lambda raw: archive((MANIFEST_FILE, b"[" * 100000)), "cannot be read"),
        (lambda raw: archive((MANIFEST_FILE, b"{}")), "cannot be read"),
        (lambda raw: changed(raw, name="../x"), "which no pack can have"),
        (lambda raw: changed(raw, schema_version=3, engine_version="9"), "written by a newer triage-tui"),
        (lambda raw: changed(raw, schema_version=2), "of schema 2, which it is not"),
        (lambda raw: archive(*((f"cases/a{n}.json", b"") for n in range(65))), "more than 64 cases"),
        (lambda raw: archive(("cases/../x.json", b"")), "which is no name"),
        (lambda raw: archive(("cases/x.json", bytes(3 << 20))), "too large"),
        (lambda raw: changed(raw, rules=[]), "does not hold the rules"),
        (lambda raw: changed(raw, count=3), "does not hold the rules"),
        (lambda raw: changed(raw, rules_sha256="0" * 64), "the digest of all rules"),
    ],
)
def test_what_is_hostile_is_refused_by_a_sentence(
    tmp_path: Path, hostile: Callable[[bytes], bytes], told: str
) -> None:
    path = tmp_path / "x.rulepack"
    path.write_bytes(hostile(made(tmp_path)))
    before = sorted(os.walk(tmp_path))
    with pytest.raises(TriageError) as error:
        packs.import_pack(tmp_path / "rulebook", path, unsigned=True)
    assert told in str(error.value) or "more than the" in str(error.value)
    assert sorted(os.walk(tmp_path)) == before


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(data=st.data())
def test_no_changed_bit_gets_through(data: st.DataObject) -> None:
    raw = bytearray(_PACKED)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(TriageError):
        read_pack(bytes(raw), "x")


def _example() -> bytes:
    rules = dict(FILES)
    from triage_tui.rulebook.packs.format import rules_digest
    from triage_tui.rulebook.packs.making import _described

    described = [_described(name, text, Path("/nowhere")) for name, text in rules.items()]
    manifest = PackManifest(
        name="x", description="", engine_version="1", rule_header_version=1, architectures=[], target="t",
        rules_sha256=rules_digest(described), count=2, generation=1, generation_digest="", rules=described,
    )  # fmt: skip
    return packed(manifest, rules)


_PACKED = _example()


# Signatures

VECTOR_KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
VECTOR_SIGNATURE = (
    b"untrusted comment: signature from minisign secret key\n"
    b"RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n"
    b"trusted comment: timestamp:1555779966\tfile:test\n"
    b"QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n"
)


def test_the_published_vector_of_minisign_is_verified() -> None:
    """The key and the signature of the text "test" in the documentation of minisign's libraries."""
    key = pack_keys.read_key(VECTOR_KEY)
    assert key.id == "E7620F1842B4E81F"
    assert pack_keys.signer(b"test", VECTOR_SIGNATURE, "x", [key]).id == key.id
    for raw, signature in (
        (b"Test", VECTOR_SIGNATURE),
        (b"test", VECTOR_SIGNATURE.replace(b"file:test", b"file:tset")),
        (b"test", VECTOR_SIGNATURE.replace(b"RWQf6LRCGA9i59SL", b"RWQf6LRCGA9i59SM")),
    ):
        with pytest.raises(TriageError, match="does not fit"):
            pack_keys.signer(raw, signature, "x", [key])


def test_minisign_itself_verifies_what_is_signed_here(tmp_path: Path, rootfs: Callable[[str], Path]) -> None:
    path = signed(tmp_path)
    root = rootfs("minisign-native")
    libraries = next(root.glob("usr/lib/*/libsodium.so.23")).parent
    command = ["env", f"LD_LIBRARY_PATH={libraries}", str(root / "usr/bin/minisign")]
    own = str(pack_keys.keys_dir() / "own.pub")
    done = subprocess.run([*command, "-Vm", str(path), "-p", own], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Signature and comment signature verified" in done.stdout
    # And the other way round: a key and a signature that minisign made.
    subprocess.run(
        [*command, "-GWp", str(tmp_path / "their.pub"), "-s", str(tmp_path / "their.key")],
        check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        [*command, "-Sm", str(path), "-s", str(tmp_path / "their.key")], check=True, capture_output=True
    )
    with pytest.raises(TriageError, match="which is not trusted: get the public key of its maker"):
        packs.import_pack(tmp_path / "rulebook", path)
    pack_keys.trust(str(tmp_path / "their.pub"), "bob")
    assert packs.import_pack(tmp_path / "rulebook", path).key_name == "bob"


def test_ones_own_key_is_private_and_may_have_a_password(tmp_path: Path) -> None:
    with pytest.raises(TriageError, match="there is no key to sign with: make one"):
        pack_keys.own_secret()
    key = pack_keys.new_key("secret")
    place = pack_keys.keys_dir() / "own.key"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    with pytest.raises(Conflict, match="there is a key already"):
        pack_keys.new_key()
    assert pack_keys.own_is_encrypted()
    with pytest.raises(TriageError, match="has a password"):
        pack_keys.own_secret()
    with pytest.raises(TriageError, match="wrong password"):
        pack_keys.own_secret("other")
    signature = pack_keys.sign(b"x", pack_keys.own_secret("secret"), "x")
    assert pack_keys.signer(b"x", signature, "x").id == key.id
    assert pack_keys.sign(b"x", pack_keys.own_secret("secret"), "x") == signature
    place.chmod(0o644)
    with pytest.raises(TriageError, match="others can read the secret key"):
        pack_keys.own_secret("secret")


def test_keys_are_trusted_and_not_trusted_any_more() -> None:
    key = pack_keys.trust(VECTOR_KEY, "../../frank")
    assert [(one.name, one.own) for one in pack_keys.known_keys()] == [(key.name, False)]
    assert key.path.parent == pack_keys.keys_dir() / "trusted"
    with pytest.raises(Conflict, match="trusted already"):
        pack_keys.trust(VECTOR_KEY)
    assert pack_keys.distrust(key.id).id == key.id
    assert pack_keys.known_keys() == []
    with pytest.raises(TriageError, match="no trusted key"):
        pack_keys.distrust("frank")
    with pytest.raises(TriageError, match="neither a file nor a public key"):
        pack_keys.trust("RWQ")


# In a workspace


def test_a_pack_is_kept_and_nothing_of_it_is_active(tmp_path: Path) -> None:
    path = signed(tmp_path)
    other = tmp_path / "other"
    kept = packs.import_pack(other, path)
    assert (kept.name, kept.key_name, kept.problem) == ("nginx", "own", "")
    assert packs.all_kept(other) == [packs.kept(other, "nginx")]
    assert [entry.name for entry in other.iterdir() if not entry.name.startswith(".")] == []
    with pytest.raises(Conflict, match="in force already"):
        packs.import_pack(other, path)
    (line,) = audit_log.read_log(other)[0]
    assert line.entry is not None
    assert (line.entry.kind, len(line.entry.rules)) == ("imported", 2)
    assert check(other).whole


def test_a_pack_that_takes_the_place_of_a_signed_one_says_so(tmp_path: Path) -> None:
    path = signed(tmp_path)
    other = tmp_path / "other"
    first = packs.import_pack(other, path)
    assert first.pack is not None
    assert not first.replaced
    second = packs.import_pack(other, path, unsigned=True)
    assert second.replaced == f"{first.pack.sha256[:12]}, signed by {first.key} (own)"
    line = audit_log.read_log(other)[0][-1]
    assert line.entry is not None
    assert line.entry.says.endswith(f"not signed, in place of {second.replaced}")


@pytest.mark.parametrize("damage", ["pack", "signature", "unsigned", "unknown"])
def test_the_old_pack_stays_when_a_new_one_fails(tmp_path: Path, damage: str) -> None:
    other = tmp_path / "other"
    old = packs.import_pack(other, signed(tmp_path))
    new = signed(tmp_path, "a newer one")
    beside = new.with_name(f"{new.name}.minisig")
    if damage == "pack":
        new.write_bytes(changed(new.read_bytes(), description="changed"))
    elif damage == "signature":
        beside.write_bytes(beside.read_bytes()[:100])
    elif damage == "unsigned":
        beside.unlink()
    else:
        os.rename(pack_keys.keys_dir(), tmp_path / "away")
        pack_keys.trust(VECTOR_KEY)
    with pytest.raises(TriageError):
        packs.import_pack(other, new)
    if damage == "unknown":
        os.rename(tmp_path / "away", tmp_path / "config/triage-tui/keys2")
        assert "is not trusted" in packs.kept(other, "nginx").problem
    else:
        assert packs.kept(other, "nginx") == old


def test_a_kept_pack_that_was_changed_is_told(tmp_path: Path) -> None:
    other = tmp_path / "other"
    path = signed(tmp_path)
    packs.import_pack(other, path)
    kept = other / packs.PACKS_DIR / "nginx" / "current" / "pack"
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    assert packs.kept(other, "nginx").problem
    assert packs.import_pack(other, path).problem == ""
    assert packs.kept(other, "nginx").problem == ""
    with pytest.raises(TriageError, match="there is no pack"):
        packs.kept(other, "../t")


def _import(rulebook: Path, path: Path, step: Callable[[str], None]) -> object:
    return packs.import_pack(rulebook, path, step=step)


def test_a_kill_at_any_step_leaves_the_old_or_the_new_pack(tmp_path: Path, place: Path) -> None:
    old, new = signed(tmp_path), signed(tmp_path, "a newer one")
    sides = []
    for step in packs.IMPORT_STEPS:
        other = place / step
        packs.import_pack(other, old)
        ended, _ = carried_out(partial(_import, other, new), Kill(step))
        assert ended == "killed"
        now: Pack | None = packs.kept(other, "nginx").pack
        assert now is not None
        assert now.raw in (old.read_bytes(), new.read_bytes())
        sides.append(now.raw == new.read_bytes())
        if not sides[-1]:
            packs.import_pack(other, new)
        else:
            packs.import_pack(other, old)
        left = os.listdir(other / packs.PACKS_DIR / "nginx")
        assert {".lock", "current"} < set(left)
        assert len(left) == 3
        assert check(other).whole
    assert sides == [False] * 4 + [True]
