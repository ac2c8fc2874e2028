"""Which environment variables are masked."""

from __future__ import annotations

import pytest

from triage_tui.runs.secrets import masked


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "DB_PASS",
        "MYSQL_PWD",
        "API_KEY",
        "WIFI_PSK",
        "AWS_SECRET_ACCESS_KEY",
        "GH_TOKEN",
        "wpaKey",
    ],
)
def test_names_that_tell_of_secrets(name: str) -> None:
    assert masked(f"{name}=hunter2") == f"{name}=********"


@pytest.mark.parametrize(
    "entry",
    [
        "PATH=/bin:/sbin",
        "HOME=/root",
        "KEYMAP=us",
        "PASSTHROUGH=1",
        "SPINDLE=2",
        "EMPTY=",
        "TOKEN=",
        "nothing",
    ],
)
def test_other_entries_stay(entry: str) -> None:
    assert masked(entry) == entry


def test_password_in_a_url() -> None:
    assert masked("PROXY=http://me:pw@proxy:80/x") == "PROXY=http://********@proxy:80/x"
    assert masked("PROXY=http://proxy:80/x@y") == "PROXY=http://proxy:80/x@y"
