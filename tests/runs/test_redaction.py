"""What is masked in a report or a bundle, and what is left as it is."""

from __future__ import annotations

import msgspec
import pytest

from triage_tui.runs.redaction import Redaction
from triage_tui.runs.secrets import MASK


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("API_KEY=abc123 PATH=/bin", f"API_KEY={MASK} PATH=/bin"),
        ('password="abc def"', f'password="{MASK}"'),
        ("PASSWORD='two words' HOME=/", f"PASSWORD='{MASK}' HOME=/"),
        ('PASSWORD="never closed', f'PASSWORD="{MASK} closed'),
        ('say \\"PASSWORD=\\"two words\\" end\\"', f'say \\"PASSWORD=\\"{MASK}\\" end\\"'),
        ("prog --password 'two words' -v", f"prog --password '{MASK}' -v"),
        ("password: hunter2", f"password: {MASK}"),
        ('{"password": "two words", "user": "me"}', f'{{"password": "{MASK}", "user": "me"}}'),
        ('{\\"wifi_psk\\":\\"abcdefgh\\"}', f'{{\\"wifi_psk\\":\\"{MASK}\\"}}'),
        ("X-Auth-Token: abc.def-ghi", f"X-Auth-Token: {MASK}"),
        ("X-Auth-Token: abc def", f"X-Auth-Token: {MASK}"),
        ("x-api-key: abc def", f"x-api-key: {MASK}"),
        ("Cookie: sid=1; token=2", f"Cookie: {MASK}"),
        ("wpa_passphrase=abc defg", f"wpa_passphrase={MASK}"),
        ("  psk abcdefgh\nx", f"  psk {MASK}\nx"),
        ("curl -u admin:pw http://h/", f"curl -u admin:{MASK} http://h/"),
        ("curl --user='admin:p w' x", f"curl --user='admin:{MASK}' x"),
        ("ftp://user:p@ss@host/x@y", f"ftp://{MASK}@host/x@y"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nx+/=\n-----END RSA PRIVATE KEY-----",
            f"-----BEGIN RSA PRIVATE KEY-----{MASK}-----END RSA PRIVATE KEY-----",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA", f"-----BEGIN PRIVATE KEY-----{MASK}"),
        ("root:$1$salt$abcdefghijklmnopqrstuv:0:0", f"root:{MASK}:0:0"),
        ("root:$6$rounds=5000$salt$" + "a" * 86 + ":1:", f"root:{MASK}:1:"),
        ("root:$5$salt$" + "a" * 43 + ":1:", f"root:{MASK}:1:"),
        ("root:$y$j9T$salt$" + "a" * 43 + ":1:", f"root:{MASK}:1:"),
        ("root:ab01FAX.bQRSU:0:0:root:/:/bin/sh", f"root:{MASK}:0:0:root:/:/bin/sh"),
        ("curl -uadmin:pw http://h/", f"curl -uadmin:{MASK} http://h/"),
        ("wget -Ume:p:w x", f"wget -Ume:{MASK} x"),
        ("http_passwd=admin\0wl0_ssid=home\0", f"http_passwd={MASK}\0wl0_ssid=home\0"),
        # Plainly none of that.
        ("x -unix:/run/x.sock -u1000:1000 -url:http://h -udp:53", None),
        ("Password: ", "Password: "),
        ("password: %s", "password: %s"),
        ("auth: failed", "auth: failed"),
        ("PASS: tests/one", "PASS: tests/one"),
        ("tokens: 12", "tokens: 12"),
        ("Private_Dirty:       128 kB", "Private_Dirty:       128 kB"),
        ("token::next() secret:open()", "token::next() secret:open()"),
        ("chroot -u 1000:1000 /", "chroot -u 1000:1000 /"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("awk '{print $1$2}' psk", "awk '{print $1$2}' psk"),
        ("root:x:0:0:root:/root:/bin/sh", "root:x:0:0:root:/root:/bin/sh"),
        ("-----BEGIN PUBLIC KEY-----\nMIIEowIBAAKCAQEA", "-----BEGIN PUBLIC KEY-----\nMIIEowIBAAKCAQEA"),
        ("prog --password hunter2 -v", f"prog --password {MASK} -v"),
        ("prog --wifi-psk=secretword", f"prog --wifi-psk={MASK}"),
        ("Authorization: Basic dXNlcjpwdw==", f"Authorization: {MASK}"),
        ("GET http://me:pw@host/x", f"GET http://{MASK}@host/x"),
        ("the word is correct-horse, twice correct-horse", f"the word is {MASK}, twice {MASK}"),
        ("openat(AT_FDCWD, x) = -1 ENOENT", "openat(AT_FDCWD, x) = -1 ENOENT"),
        ("--verbose yes KEYMAP=us", "--verbose yes KEYMAP=us"),
        ("local token = next()", "local token = next()"),
    ],
)
def test_texts(text: str, shown: str | None) -> None:
    shown = text if shown is None else shown
    redaction = Redaction(["correct-horse", "1"])
    assert redaction.text(text) == shown
    assert redaction.found_in(text) == (text != shown)
    assert (redaction.count > 0) == (text != shown)


def test_values_in_json() -> None:
    redaction = Redaction(['quo"ted\\value'])
    value = {
        "argv": ["x", "--password", "abc", "-u", "me:pw", "-u", "5:5", "--token"],
        "said": 'it was quo"ted\\value',
        "n": 5,
    }
    assert redaction.found_in(msgspec.json.encode(value).decode())
    assert redaction.value(value) == {
        "argv": ["x", "--password", MASK, "-u", MASK, "-u", "5:5", "--token"],
        "said": f"it was {MASK}",
        "n": 5,
    }
    assert redaction.count == 3


def test_switched_off_nothing_is_masked() -> None:
    redaction = Redaction(["correct-horse"], off=True)
    assert redaction.text("PASSWORD=correct-horse") == "PASSWORD=correct-horse"
    assert redaction.value(["--password", "correct-horse"]) == ["--password", "correct-horse"]
    assert not redaction.found_in_bytes(b"PASSWORD=correct-horse")
