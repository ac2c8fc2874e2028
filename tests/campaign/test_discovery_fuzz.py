"""Rubbish as start scripts, units and tables: a search ends, says why, and never leaves the root."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.campaign.made_roots import ELF, make_root
from triage_tui.campaign.discovery.boot import discover
from triage_tui.campaign.targets import read_targets, target_id
from triage_tui.errors import TriageError

_WORDS = r"""
if then else elif fi for in do done while until case esac { } ( ) ; ;; & && || | ! [ ] [[ ]] -f -z =
!= $ $1 $@ "$@" ${ } ${X:-y} ${X##*/} $( ) ` ' " \ # < > >> 2>&1 <<EOF EOF X=1 X=$X$X export local
return exit 0 start /bin/d d . eval exec shift set -- cd /etc /proc/1 * ? config_foreach
procd_open_instance procd_set_param command procd_close_instance start-stop-daemon -S -x --exec
daemon nohup env su -c sh run-parts rc 2
"""
_UNIT = """
[Unit] [Service] [Install] ExecStart= ExecStart=/bin/d =x After=a.service \\ Environment= %i %% %H
${X} $X ' " ; WantedBy=x @/bin/d - : EnvironmentFile=/etc/* User=x WorkingDirectory=~
"""
_TABLE = ":: : # respawn sysinit /bin/d 2 id initdefault stream tcp nowait root { } ="


def _texts(words: str, most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from([*words.split(), "\n", "\n", "\x00", "\u202e"]), max_size=most).map(
        " ".join
    )


SCRIPT, UNIT, TABLE = _texts(_WORDS, 40), _texts(_UNIT, 30), _texts(_TABLE, 30)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=SCRIPT, other=SCRIPT, unit=UNIT, table=TABLE, systemd=st.booleans())
def test_rubbish_never_breaks_a_search(script: str, other: str, unit: str, table: str, systemd: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = make_root(
            Path(place) / "root",
            {
                "/bin/d": ELF,
                "/bin/sh": ELF,
                "/etc/init.d/rcS": ("#!/bin/sh\n" + script).encode("utf-8", "surrogatepass"),
                "/etc/init.d/other": (
                    "#!/bin/sh /etc/rc.common\nSTART=1\nstart() {\n" + other + "\n}\n"
                ).encode(),
                "/etc/rc3.d/S01other": "-> ../init.d/other",
                "/etc/inittab": table,
                "/etc/inetd.conf": table,
                "/etc/xinetd.d/x": table,
                "/lib/systemd/system/a.service": unit,
                **({"/lib/systemd/systemd": ELF} if systemd else {"/etc/rc.common": "#!/bin/sh\n"}),
            },
        )
        found = discover(root)
        for target in found.targets:
            assert target.program in ("/bin/d", "/bin/sh")
            assert target.argv
        for one in found.left_out:
            assert one.what
            assert one.why
            assert (one.what + one.why + one.origin).isprintable()


_YAML = """
schema: 1 defaults: roots: targets: root: fw program: /bin/d argv: args: env: user: stdin:
time_limit_s: probes: name: group: cwd: interfaces: only: [ ] { } , - "x" 'y' ~ null true 1 -1 1e9
0x10 .inf 2026-01-01 & * !!str !x | > # ? : "\\0" "\\ud800" <<:
"""
YAML = st.lists(st.sampled_from([*_YAML.split(), "\n", "\n  ", "\n    ", "\n  - "]), max_size=40).map(
    " ".join
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.one_of(YAML, YAML.map("schema: 1\ntargets:\n  - root: fw\n    program: /bin/d\n    ".__add__)))
def test_rubbish_in_a_target_file_is_read_or_refused(text: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        make_root(Path(place) / "fw", {"/bin/d": ELF})
        path = Path(place) / "t.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        told, targets = "line ", []
        try:
            targets = read_targets(path).targets
        except TriageError as error:
            told = str(error)
        assert told.isprintable()
        assert "line " in told
        for target in targets:
            assert "\0" not in "".join((target.name, *target.argv, *target.env.values(), target.cwd))
            assert target_id(target)
