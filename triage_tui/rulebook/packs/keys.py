"""Keys of rule packs, in the format of minisign: one's own, and those of others that a person trusts.

    ~/.config/triage-tui/keys/own.key          secret key, for its owner only, with or without password
    ~/.config/triage-tui/keys/own.pub
    ~/.config/triage-tui/keys/trusted/*.pub    keys of others

`minisign -G`, `-S` and `-V` read and write the same files.
"""

from __future__ import annotations

import base64
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from triage_tui.errors import Conflict, TriageError
from triage_tui.resources import config_dir
from triage_tui.runs.files import read_bounded, write_atomic
from triage_tui.text import safe_line, safe_name

if TYPE_CHECKING:
    from minisign import PublicKey, SecretKey, Signature

MAX_KEY_BYTES = 16 << 10
MAX_SIGNATURE_BYTES = 64 << 10
MAX_TRUSTED = 256
COMMENT = "rule pack of triage-tui"


class Key(msgspec.Struct, frozen=True):
    """A public key; `id` is 16 hex digits, as minisign writes it."""

    id: str
    name: str
    own: bool
    path: Path
    public: Any


def keys_dir() -> Path:
    """Return the directory of the keys."""
    return config_dir() / "keys"


def key_id(public: PublicKey) -> str:
    """Return the id of a key as minisign shows it: 8 bytes, little-endian, in hex."""
    return base64.b64decode(public.to_base64())[2:10][::-1].hex().upper()


def new_key(password: str = "") -> Key:
    """Make one's own key pair; a password may be empty.

    Raises:
        Conflict: there is one already.
        TriageError: it cannot be written.
    """
    from minisign import KeyPair

    place = keys_dir() / "own.key"
    if os.path.lexists(place):
        raise Conflict(f"there is a key already, {safe_line(str(place))}: move it away to make another")
    pair = KeyPair.generate()
    public = pair.public_key
    if password:
        pair.secret_key.encrypt(password)
    keys_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(bytes(pair.secret_key) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    public.untrusted_comment = f"minisign public key {key_id(public)}"
    write_atomic(keys_dir() / "own.pub", bytes(public) + b"\n")
    return Key(key_id(public), "own", True, keys_dir() / "own.pub", public)


def own_secret(password: str = "") -> SecretKey:
    """Return one's own secret key, ready to sign.

    Raises:
        TriageError: there is none, others could read it, it is damaged, or the password is wrong.
    """
    from minisign import Error, SecretKey

    place = keys_dir() / "own.key"
    shown = safe_line(str(place))
    if not os.path.lexists(place):
        raise TriageError("there is no key to sign with: make one with `triage-tui pack key new`")
    raw = read_bounded(place, MAX_KEY_BYTES, whole=True)
    if place.stat().st_mode & 0o077:
        raise TriageError(f"others can read the secret key {shown}: say `chmod 600 {shown}`, or make another")
    try:
        secret = SecretKey.from_bytes(raw)
        if secret.is_encrypted():
            if not password:
                raise TriageError(
                    f"the secret key {shown} has a password: give it in $TRIAGE_TUI_KEY_PASSWORD"
                    ", or at a terminal when asked"
                )
            secret.decrypt(password)
    except (Error, ValueError) as error:
        raise TriageError(f"the secret key {shown} cannot be used: {safe_line(str(error), 120)}") from error
    return secret


def own_is_encrypted() -> bool:
    """Tell whether one's own secret key needs a password; False where there is none that can be read."""
    from minisign import SecretKey

    with contextlib.suppress(TriageError, ValueError):
        raw = read_bounded(keys_dir() / "own.key", MAX_KEY_BYTES, whole=True)
        return bool(SecretKey.from_bytes(raw).is_encrypted())
    return False


def known_keys() -> list[Key]:
    """Return one's own public key and the trusted ones; files that are no keys are left out."""
    found = []
    with contextlib.suppress(TriageError):
        found.append(_read(keys_dir() / "own.pub", own=True))
    trusted = keys_dir() / "trusted"
    for path in sorted(trusted.glob("*.pub"))[:MAX_TRUSTED] if trusted.is_dir() else []:
        with contextlib.suppress(TriageError):
            found.append(_read(path))
    return found


def read_key(text: str) -> Key:
    """Return the public key in a file, or the one that `text` itself is ("RWQ...").

    Raises:
        TriageError: it is no public key of minisign.
    """
    from minisign import Error, PublicKey

    if Path(text).exists():
        return _read(Path(text))
    try:
        public = PublicKey.from_base64(text)
    except (Error, ValueError) as error:
        shown = safe_line(text, 120)
        raise TriageError(f"{shown} is neither a file nor a public key of minisign") from error
    return Key(key_id(public), "", False, Path(), public)


def trust(text: str, name: str = "") -> Key:
    """Trust a public key from now on.

    Raises:
        Conflict: it is trusted already.
        TriageError: it is no key.
    """
    key = read_key(text)
    if any(one.id == key.id for one in known_keys()):
        raise Conflict(f"key {key.id} is trusted already")
    file = safe_name(name or key.name or key.id, 60)
    path = keys_dir() / "trusted" / f"{file}.pub"
    if os.path.lexists(path):
        raise Conflict(f"another key is trusted under the name {file}: choose one with --name")
    public = key.public
    public.untrusted_comment = f"minisign public key {key.id}"
    write_atomic(path, bytes(public) + b"\n")
    return Key(key.id, file, False, path, public)


def distrust(word: str) -> Key:
    """Trust a key no more, by its id or name.

    Raises:
        TriageError: no such key is trusted.
    """
    found = [key for key in known_keys() if not key.own and word in (key.id, key.id.lower(), key.name)]
    if not found:
        raise TriageError(f"no trusted key is {safe_line(word, 60)!r}: `triage-tui pack key list` names them")
    found[0].path.unlink()
    return found[0]


def sign(raw: bytes, secret: SecretKey, name: str) -> bytes:
    """Return the minisign signature of a pack; the same for the same pack and key."""
    signature = secret.sign(raw, untrusted_comment=COMMENT, trusted_comment=f"file:{name}\thashed")
    return bytes(signature) + b"\n"


def signer(raw: bytes, signature: bytes, shown: str, keys: list[Key] | None = None) -> Key:
    """Return the trusted key that signed a pack.

    Raises:
        TriageError: the signature is damaged, of an unknown key, or not of these bytes.
    """
    from minisign import Error, Signature

    try:
        read: Signature = Signature.from_bytes(signature)
    except (Error, ValueError) as error:
        why = safe_line(str(error), 120)
        raise TriageError(f"the signature of {shown} is no signature of minisign: {why}") from error
    wanted = base64.b64decode(bytes(read).split(b"\n")[1])[2:10][::-1].hex().upper()
    key = next((one for one in (known_keys() if keys is None else keys) if one.id == wanted), None)
    if key is None:
        raise TriageError(
            f"{shown} is signed with key {wanted}, which is not trusted: get the public key of its maker by"
            " another way than the pack, and say `triage-tui pack key trust FILE`"
        )
    try:
        key.public.verify(raw, read)
    except (Error, ValueError) as error:
        raise TriageError(
            f"the signature of {shown} does not fit: the pack or the signature was changed"
        ) from error
    return key


def _read(path: Path, own: bool = False) -> Key:
    from minisign import Error, PublicKey

    raw = read_bounded(path, MAX_KEY_BYTES, whole=True)
    try:
        public = PublicKey.from_bytes(raw)
    except (Error, ValueError) as error:
        shown = safe_line(str(path))
        raise TriageError(f"{shown} is no public key of minisign: {safe_line(str(error), 120)}") from error
    return Key(key_id(public), "own" if own else safe_name(path.stem, 60), own, path, public)
