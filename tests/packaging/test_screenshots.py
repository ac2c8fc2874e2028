"""The pictures in screenshots/ show the screens as they are, and the documents show the pictures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.packaging.checkout import ROOT

_PICTURES = ROOT / "screenshots"
_REMEDY = "run `make screenshots`, look at what it drew, and commit it"


def _drawn(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*.svg")}


def test_the_pictures_show_the_screens_as_they_are(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "screenshots.draw", str(tmp_path / "drawn")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    now, kept = _drawn(tmp_path / "drawn"), _drawn(_PICTURES)
    differ = sorted(name for name in now.keys() | kept.keys() if now.get(name) != kept.get(name))
    assert not differ, f"screens differ from their pictures ({', '.join(differ)}): {_REMEDY}"


def test_the_pictures_tell_nothing_of_where_they_were_drawn_and_load_nothing() -> None:
    for name, svg in _drawn(_PICTURES).items():
        places = set(re.findall(r"(?:~/|/tmp|/home|/root\b|/var/tmp)[\w/.-]*", svg))
        assert not places, f"{name} names a place of the machine it was drawn on"
        assert not re.search(r"@import|@font-face|(?:href|src)=|url\((?!#)", svg), f"{name} loads something"


def test_the_documents_show_each_picture() -> None:
    shown = {
        name
        for document in (ROOT / "README.md", ROOT / "docs" / "ui.md")
        for name in re.findall(r"\]\((?:\.\./)?screenshots/([\w/]+\.svg)\)", document.read_text())
    }
    assert shown == set(_drawn(_PICTURES))
