"""The page about architectures says what real programs show, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.arch import matrix
from tests.programs import ARCHES

_IN_VDSO = {"i386": "epilogue, cfi"}
"""What the page says below its table: QEMU 10 gives these programs a vDSO to make their calls from."""


def test_the_page_has_every_architecture() -> None:
    assert tuple(matrix.claims()) == ARCHES


@pytest.mark.parametrize("arch", ARCHES)
def test_the_page_says_what_is_seen(arch: str, qemu_dir: Path, tmp_path: Path) -> None:
    seen, claimed = matrix.measure(arch, qemu_dir, tmp_path), matrix.claims()[arch]
    if seen["backtrace"] == _IN_VDSO.get(arch):
        seen["backtrace"] = claimed["backtrace"]
    assert seen == claimed, "write the page anew: python -m tests.guest.arch.matrix"
    # How frames are found may change with what finds them; everything else has to work.
    assert matrix.NO not in seen.values()
