"""The guest's own calls are found in the emulators that there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from triage_tui.guest.arch import by_name, known_names
from triage_tui.guest.emulator import call_site
from triage_tui.guest.emulator.qemu import find_qemu


def test_each_emulator_has_one_place_which_is_none_of_its_own_writes(qemu_dir: Path) -> None:
    found = call_site.places(find_qemu(by_name("arm"), qemu_dir), qemu_dir)
    assert set(found) == set(known_names())
    for name in known_names():
        path = find_qemu(by_name(name), qemu_dir)
        own = call_site._own_writes(path, path.stat().st_mtime_ns)
        assert own
        assert found[name] not in own


def test_a_place_that_is_one_of_the_emulators_own_writes_is_left_out(
    qemu_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = find_qemu(by_name("arm"), qemu_dir)
    place = call_site.places(path, qemu_dir)["mips"]
    monkeypatch.setattr(call_site, "_own_writes", lambda _path, _changed: frozenset((place,)))
    assert {"mips", "mipsel"}.isdisjoint(call_site.places(path, qemu_dir))


def test_a_thread_that_is_elsewhere_makes_no_call_for_a_guest() -> None:
    assert not call_site.is_for_guest(os.getpid(), 0)
    assert not call_site.is_for_guest(os.getpid(), 1 << 46)
