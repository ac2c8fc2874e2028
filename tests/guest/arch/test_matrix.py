"""The page about architectures says what real programs show, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.arch import matrix
from tests.programs import ARCHES


def test_the_page_has_every_architecture() -> None:
    assert tuple(matrix.claims()) == ARCHES


@pytest.mark.parametrize("arch", ARCHES)
def test_the_page_says_what_is_seen(arch: str, qemu_dir: Path, tmp_path: Path) -> None:
    seen = matrix.measure(arch, qemu_dir, tmp_path)
    assert seen == matrix.claims()[arch], "write the page anew: python -m tests.guest.arch.matrix"
    # How frames are found may change with what finds them; everything else has to work.
    assert matrix.NO not in seen.values()
