"""What is masked in a report or a bundle, and what is left as it is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.diagnosis.recorded import parse_trace, write_run
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
            f"-----BEGIN RSA PRIVATE KEY-----\n{MASK}\n{MASK}\n-----END RSA PRIVATE KEY-----",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA", f"-----BEGIN PRIVATE KEY-----\n{MASK}"),
        ("root:$1$salt$abcdefghijklmnopqrstuv:0:0", f"root:{MASK}:0:0"),
        ("root:$6$rounds=5000$salt$" + "a" * 86 + ":1:", f"root:{MASK}:1:"),
        ("root:$5$salt$" + "a" * 43 + ":1:", f"root:{MASK}:1:"),
        ("root:$y$j9T$salt$" + "a" * 43 + ":1:", f"root:{MASK}:1:"),
        ("root:ab01FAX.bQRSU:0:0:root:/:/bin/sh", f"root:{MASK}:0:0:root:/:/bin/sh"),
        ("curl -uadmin:pw http://h/", f"curl -uadmin:{MASK} http://h/"),
        ("wget -Ume:p:w x", f"wget -Ume:{MASK} x"),
        ("http_passwd=admin\0wl0_ssid=home\0", f"http_passwd={MASK}\0wl0_ssid=home\0"),
        # What configurations of devices and servers look like.
        ("password = Zx9kQw7Lm2", f"password = {MASK}"),
        ("PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", f"PrivateKey = {MASK}"),
        ('psk = "my secret network"', f'psk = "{MASK}"'),
        ("  option password 'abc'", f"  option password '{MASK}'"),
        ("option key 'hunter2'", f"option key '{MASK}'"),
        ("requirepass foobared", f"requirepass {MASK}"),
        ("pppoe_pass s3same", f"pppoe_pass {MASK}"),
        ('ppp_passwd "open sesame"', f'ppp_passwd "{MASK}"'),
        ('"admin" * "s3same" *', f'"admin" * "{MASK}" *'),
        ("admin * s3same 10.0.0.2", f"admin * {MASK} 10.0.0.2"),
        (': PSK "tunnel"', f': PSK "{MASK}"'),
        ('ike.secret: PSK "tunnel"', f'ike.secret: PSK "{MASK}"'),
        ("<Password>s3same</Password>", f"<Password>{MASK}</Password>"),
        ('<user:passwd enc="0">a b</user:passwd>', f'<user:passwd enc="0">{MASK}</user:passwd>'),
        ("PASS hunter2\r", f"PASS {MASK}\r"),
        ('write(4, "PASS hunter2\\r\\n", 14)', f'write(4, "PASS {MASK}\\r\\n", 14)'),
        ("AUTH PLAIN AGFkbWluAGh1bnRlcjI=", f"AUTH PLAIN {MASK}"),
        ("rocommunity privat3", f"rocommunity {MASK}"),
        ("snmp community private123", f"snmp community {MASK}"),
        ("user admin password hunter3", f"user admin password {MASK}"),
        ("login: admin / pass: hunter4", f"login: admin / pass: {MASK}"),
        ("http_passwd -> s3same0pen", f"http_passwd -> {MASK}"),
        ("admin_pw: Zx9kQw7Lm2", f"admin_pw: {MASK}"),
        ("aws_secret_access_key = wJalrXUtnFEMI", f"aws_secret_access_key = {MASK}"),
        ("sysauth=9f8e7d6c5b4a39281706f5e4d3c2b1a0;", f"sysauth={MASK};"),
        ('the program said "--psk hunter7"', f'the program said "--psk {MASK}"'),
        ("openat path=/etc/password=Sup3r/x", f"openat path=/etc/password={MASK}"),
        ("set wireless.default.key=HomeKey77", f"set wireless.default.key={MASK}"),
        ("enable secret 5 $1$abc$XyZ123", f"enable secret 5 {MASK}"),
        ("username admin privilege 15 secret 0 CiscoPw1", f"username admin privilege 15 secret 0 {MASK}"),
        ("mysql -u root -pS3cretPw", f"mysql -u root -p{MASK}"),
        # Plainly none of that.
        ("wrong password for admin1", None),
        ("Password incorrect", None),
        ("password: required", None),
        ("bl 0x10f4 <check_password> 0x10f8", None),
        ("get_secret libfoo.so.1", None),
        ("30 * 4 * run", None),
        ("passwd /etc/passwd2", None),
        ("open(key) = -1 ENOENT", None),
        ("auth = check(1)", None),
        ("a private network1 of ours", None),
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


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\0A=1\0API_KEY=hunter2\0\xff\xfe", b"\0A=1\0API_KEY=*******\0\xff\xfe"),
        (b"Authorization: Basic eDp5\0\x01\x02rest", b"Authorization: **********\0\x01\x02rest"),
        (b"x\0--password\0two words\0-v\0", b"x\0--password\0*********\0-v\0"),
        (b'psk="abcd efgh"\0PIN=****\0', b'psk="*********"\0PIN=****\0'),
        ("käse12 is it".encode(), b"******* is it"),
        (b"ftp://u:p@h/\0", b"ftp://***@h/\0"),
        (b"\x7fELF\1\1\1 nothing of that", None),
    ],
)
def test_bytes_are_masked_in_place(data: bytes, shown: bytes | None) -> None:
    redaction = Redaction(["käse12"])
    masked, spans = redaction.masked_bytes(data)
    assert masked == (data if shown is None else shown)
    assert (redaction.count > 0) == bool(spans) == (shown is not None)
    for first, last in spans:
        assert set(masked[first:last]) == set(b"*")
    assert redaction.masked_bytes(masked) == (masked, [])
    assert not redaction.found_in_bytes(masked)
    assert Redaction(off=True).masked_bytes(data) == (data, [])


def test_a_secret_is_masked_wherever_the_program_printed_it(tmp_path: Path) -> None:
    key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIBQbM9rnAAAA\nx7dGzPq2AAAAAAA=\n-----END PRIVATE KEY-----"
    output = f"community s3cretc0m\n{key}\n".encode()
    calls = parse_trace(b"2 exit_group(1)\n")
    redaction = Redaction.of(write_run(tmp_path, calls, reason="exit", argv=["/bin/x"], output=output))
    assert redaction.text("it sent s3cretc0m away") == f"it sent {MASK} away"
    # A part of the key, without its first line.
    assert redaction.text("MHcCAQEEIBQbM9rnAAAA") == MASK
    assert redaction.text(key).count("\n") == key.count("\n")
