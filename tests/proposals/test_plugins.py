"""Proposals that configure a plugin: what they say for recorded failures, and that they can run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnosis.recorded import load_case, run_of
from tests.proposals.test_build import failing
from triage_tui.diagnosis.report import diagnose
from triage_tui.proposals.build import propose
from triage_tui.proposals.stores import store_keys
from triage_tui.rulebook.check.lint import lint
from triage_tui.rulebook.check.replay import replay
from triage_tui.rulebook.plugins.nvram import Nvram
from triage_tui.rulebook.plugins.reading import read_plugin


@pytest.mark.parametrize(
    ("case", "template", "plugin", "path"),
    [
        ("cat-nvram", "nvram_store", "nvram", "/dev/nvram"),
        ("applet-tunctl", "device_node", "devices", "/dev/net/tun"),
        ("haveged-poolsize-armhf", "fake_file", "fakefile", "/proc/sys/kernel/random/poolsize"),
    ],
)
def test_a_plugin_is_proposed_and_acts_at_the_recorded_call(
    tmp_path: Path, case: str, template: str, plugin: str, path: str
) -> None:
    run = run_of(load_case(case), tmp_path)
    (proposal,) = [one for one in propose(run, diagnose(run)) if one.template == template]
    (name,) = proposal.files
    assert name.startswith(f"fix/plugin/{plugin}@fix-{plugin}-")
    source = (run.dir / "rules_patch" / name).read_bytes()
    assert [one for one in lint(source, name) if one.severity == "error"] == []
    assert {"path": path} in [claim.fields for claim in read_plugin(plugin, source).configuration.claims()]
    done = replay(run.run_id, run.snapshot.target.arch, run.trace(), name, source)
    assert done.acted
    assert not done.broken


def test_a_store_has_the_defaults_of_its_root_file_system(tmp_path: Path) -> None:
    assert store_keys(str(tmp_path))[0] == ""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nvram.default").write_bytes(
        b'# made\nlan_ipaddr=192.168.1.1\nname="a]]b"\n\nwan=\nno line\n'
    )
    fields, words = store_keys(str(tmp_path))
    assert words == "the 3 keys of /etc/nvram.default"
    found = read_plugin("nvram", b"return { keys = {\n" + fields.encode() + b"} }").configuration
    assert isinstance(found, Nvram)
    assert found.keys == {"lan_ipaddr": "192.168.1.1", "name": "a]]b", "wan": ""}


def test_the_table_of_flash_partitions_is_given_where_no_file_can_be_made(tmp_path: Path) -> None:
    missing = 'openat(AT_FDCWD,"/proc/mtd",O_RDONLY) = -1 errno=2 (No such file or directory)'
    run = failing(f"2 {missing}\n2 exit_group(1)\n", tmp_path, b"can't open '/proc/mtd'\n")
    proposals = propose(run, diagnose(run))
    assert (proposals[0].template, proposals[0].needs_input) == ("fake_file", None)
    (name,) = proposals[0].files
    source = (run.dir / "rules_patch" / name).read_bytes()
    assert b'path = "/proc/mtd"' in source
    assert b"mtd0: 00010000 00010000" in source
