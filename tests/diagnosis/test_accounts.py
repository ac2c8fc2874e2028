"""Accounts that messages name, and what is said of one that is not listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import load_case, run_of
from triage_tui.diagnosis.accounts import account_in
from triage_tui.diagnosis.report import diagnose


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("Privilege separation user sshd does not exist", "sshd"),
        ("fatal: group 'www-data' not found", "www-data"),
        ("chown: unknown user admin", "admin"),
        ("id: 'nobody': no such user", ""),
        ("atd: Cannot find group daemon", "daemon"),
        ("x: invalid user: `web:web'", "web"),
        ('[emerg] getpwnam("www-data") failed', "www-data"),
        ("No such user: ftp", "ftp"),
        ("user is not found", ""),
        ("usage: tool [-u user] [-g group]", ""),
        ("user logged in", ""),
        ("File not found", ""),
    ],
)
def test_the_account_that_a_line_names(text: str, account: str) -> None:
    assert account_in(text) == account


def test_the_account_is_told_and_led_to(tmp_path: Path) -> None:
    diagnosis = diagnose(run_of(load_case("account-separates-armhf"), tmp_path))
    best = diagnosis.hypotheses[0]
    assert best.entry == "account-not-listed"
    assert "The account is sshd" in best.explanation
    assert "in a telling way" not in best.explanation
    assert any("entry of sshd" in text for text in best.wanted)
    assert not any("the name that it looks for" in text for text in best.wanted)
    assert diagnosis.scene_kind == "what it had read"
    assert [one.says for one in diagnosis.derivation][1:] == [
        'the program said "Privilege separation user sshd does not exist"',
        'it could open "/etc/passwd"',
    ]
