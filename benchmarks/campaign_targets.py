"""Targets for the benchmark of campaigns: real programs, each in a root file system of its own."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path

from triage_tui.campaign.model import Target
from triage_tui.campaign.roots import hash_root
from triage_tui.campaign.targets import target_id
from triage_tui.evaluation.corpus import load_corpus
from triage_tui.evaluation.packages import cached, download
from triage_tui.evaluation.rootfs import build_root
from triage_tui.resources import shipped
from triage_tui.setup import ensure_program

PROGRAMS = (
    "xl2tpd-arm64",
    "udhcpc-mipsel",
    "tail-armel",
    "iwconfig-i386",
    "hardware-tools-armhf",
    "hardware-tools-s390x",
    "micro-httpd-i386",
)
"""Programs of the set-up that fail or wait by themselves."""
_NUMBER = "campaign-target"


def programs(place: Path, corpus: Sequence[Path]) -> list[Target]:
    """Return one target for each program: of a corpus of labelled failures, or of what the set-up fetches."""
    return _of_corpus(place, corpus) if corpus else [_of_setup(name) for name in PROGRAMS]


def _of_setup(name: str) -> Target:
    import triage_tui.setup

    table = tomllib.loads((Path(triage_tui.setup.__file__).parent / "programs.toml").read_text())
    argv = list(table[name]["argv"])
    return Target(target="", name=name, root=str(ensure_program(name)), program=argv[0], argv=argv)


def _of_corpus(place: Path, corpus: Sequence[Path]) -> list[Target]:
    cases = [case for case in load_corpus(*corpus).cases if case.input is None and case.stdin == "null"]
    lacking = download(cases)
    found = []
    for case in cases:
        if case.id in lacking:
            continue
        root = place / "programs" / case.id
        root.parent.mkdir(exist_ok=True)
        files = [file for spec in case.packages if (file := cached(spec)) is not None]
        build_root(root, files, case.prepare)
        found.append(
            Target(
                target="",
                name=case.id,
                root=str(root),
                program=case.words[0],
                argv=case.words,
                cwd=case.cwd,
                env={name: str(value) for name, value in case.env.items()},
                user=case.uid,
                interfaces=[name for name in case.network if name != "lo"],
                qemu_args=[str(word) for word in case.qemu_args],
            )
        )
    return found


def repeated(place: Path, known: Sequence[Target], count: int) -> list[Target]:
    """Return `count` targets: the programs in turn, each in a root that differs from all others."""
    found = []
    for number in range(count):
        one = known[number % len(known)]
        root = place / "roots" / f"{number:05}"
        # Names of the same files: what differs is one small file.
        shutil.copytree(one.root, root, symlinks=True, copy_function=_link)
        (root / _NUMBER).write_text(f"{number}\n", encoding="ascii")
        found.append(
            Target(
                target="",
                name=f"{one.name}-{number}",
                root=str(root),
                root_hash=hash_root(root).sha256,
                program=one.program,
                argv=one.argv,
                cwd=one.cwd,
                env=one.env,
                user=one.user,
                interfaces=one.interfaces,
                qemu_args=one.qemu_args,
                group=one.name,
                order=number,
            )
        )
        found[-1].target = target_id(found[-1])
    return found


def _link(source: str, goal: str) -> str:
    os.link(source, goal, follow_symlinks=False)
    return goal


def trivial(place: Path, count: int) -> list[Target]:
    """Return `count` targets that cost the way to a worker and back alone: a file that is no program."""
    root = place / "trivial"
    (root / "bin").mkdir(parents=True)
    program = root / "bin" / "none"
    program.write_bytes(shipped("themes").name.encode())
    program.chmod(0o755)
    sha256 = hash_root(root).sha256
    found = []
    for number in range(count):
        words = ["/bin/none", str(number)]
        one = Target(target="", name=f"none-{number}", root=str(root), program=words[0], argv=words)
        one.root_hash, one.order = sha256, number
        one.target = target_id(one)
        found.append(one)
    return found
