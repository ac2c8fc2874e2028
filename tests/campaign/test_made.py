"""What scripts make of a root before they start programs, and how they count, read and loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.made_roots import ELF, commands, found_in, left_out
from triage_tui.campaign.discovery.shell import follow

_ROOT: dict[str, str | bytes] = {
    "/bin/busybox": ELF,
    "/bin/sh": "-> busybox",
    "/sbin/init": "-> ../bin/busybox",
    **{f"/usr/bin/{name}": ELF for name in ("aaad", "bbbd", "webd", "nginx")},
}
_FLASHED = """\
#!/bin/sh
mount -t ramfs none /var/
mkdir -p /var/run/web /var/etc
cp -rf /etc_ro/* /etc/
cp -rf /webroot_ro/* /webroot/
ln -s /usr/lib/vars.sh /tmp/vars.sh
if [ -e /etc/nginx/init.sh ]; then sh /etc/nginx/init.sh; fi
. /tmp/vars.sh
cd /webroot
webd -p $PORT &
cp /usr/bin/bbbd /tmp/bb; /tmp/bb -q &
echo "user=1" > /tmp/web.conf
aaad --conf=/tmp/web.conf -f /tmp/nothing &
mount -t jffs2 /dev/mtdblock3 /data
[ -f /data/flag ] && aaad 1
[ -f /tmp/web.conf ] || aaad never
cat > /tmp/later.sh <<EOF
bbbd $PORT `nvram get lan`
EOF
echo 'bbbd $PORT' > /tmp/now.sh
sh /tmp/now.sh
/tmp/later.sh &
. /data/vars
bbbd -x $YPORT
[ "$YMODE" = on ] && aaad mode
himm 0x120b0000 0x1
aaad known
cd /var/run/web && webd -r
mount --bind /etc_ro/www /www && cd /www && webd -w
rm /etc/nginx/init.sh
[ -e /etc/nginx/init.sh ] && aaad gone
cp -r /loop /loop/a/b; cp -r /loop /; ln -s /l2 /l1; ln -s /l1 /l2; . /l1
"""


def test_what_scripts_write_copy_and_mount_is_there_for_what_follows(tmp_path: Path) -> None:
    found = found_in(
        tmp_path / "root",
        {
            **_ROOT,
            "/etc/init.d/rcS": _FLASHED,
            "/etc_ro/nginx/init.sh": "nginx -p /var/nginx\n",
            "/etc_ro/www/index": "x",
            "/etc/nginx/old": "x",
            "/www/index": "",
            "/usr/lib/vars.sh": "PORT=77\n",
            "/webroot_ro/index.html": "",
            "/webroot/old": "",
            "/loop/a/b/c": "",
        },
    )
    assert commands(found) == [
        "nginx -p /var/nginx",
        "webd -p 77",
        "/tmp/bb -q",
        "aaad --conf=/tmp/web.conf -f /tmp/nothing",
        "aaad 1",
        "bbbd",
        "aaad mode",
        "aaad known",
        "webd -r",
        "webd -w",
    ]
    # What runs is in the root: the copy's source, and a directory that is there.
    by_line = dict(zip(commands(found), found.targets, strict=True))
    assert by_line["/tmp/bb -q"].program == "/usr/bin/bbbd"
    assert by_line["webd -w"].cwd == "/etc_ro/www"
    assert by_line["webd -r"].cwd == "/"
    assert by_line["webd -r"].notes == [
        "its working directory /var/run/web is not in the root, so it begins in /"
    ]
    assert by_line["aaad --conf=/tmp/web.conf -f /tmp/nothing"].notes == [
        "its argument --conf=/tmp/web.conf is not in the root: it is made at boot (/etc/init.d/rcS line 12)"
    ]
    assert by_line["aaad 1"].notes == ["only where `[ -f /data/flag ]` (/etc/init.d/rcS line 15) holds"]
    assert by_line["aaad mode"].notes[0].startswith('only where `[ "${YMODE}" = on ]`')
    why = left_out(found)
    assert why["/tmp/later.sh"] == (
        "its program /tmp/later.sh is not in the root: it is made at boot (/etc/init.d/rcS line 17)"
    )
    assert (
        why[". /data/vars"]
        == "whether it is there is known on the device alone, so what it sets is not known"
    )
    assert why["bbbd -x ${YPORT}"] == "YPORT may be set by /data/vars, which only the device has"
    assert "which it does not here" in why["aaad gone"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("N=$((2+3)); aaad -p $((8000+N)) $(($N*2%4)) $((0x10|010)) $((1?2:3)) $(((1+2)*-3/2))",
         ["aaad -p 8005 2 24 2 -4"]),
        ("i=0; while [ $i -lt 3 ]; do aaad $i & i=$((i+1)); done", ["aaad 0", "aaad 1", "aaad 2"]),
        ("i=2; until [ $i -eq 0 ]; do aaad $i; i=`expr $i - 1`; done", ["aaad 2", "aaad 1"]),
        ("for ((i=0;i<2;i++)); do aaad $i; done; ((i>1)) && bbbd $i; let i=i+5; bbbd $i",
         ["aaad 0", "aaad 1", "bbbd 2", "bbbd 7"]),
        ("while read -r name port rest; do case $name in \\#*) continue;; esac\naaad $name -p $port &\n"
         "done </etc/l",
         ["aaad web -p 80", "aaad ftp -p 21"]),
        ("cat /etc/l | while read name port; do [ $name = ftp ] && aaad \"$port\"; done", ["aaad 21 x y"]),
        ("while IFS=: read a b; do aaad $b; done <<EOF\n1:2:3\n4\nEOF\n", ["aaad 2:3", "aaad"]),
        ("IFS=,; for x in $L; do aaad $x; done", ["aaad p", "aaad q r"]),
        ("IFS='\n'; for x in `cat /etc/l`; do aaad \"$x\"; break; done; bbbd", ["aaad web 80", "bbbd"]),
        ("V=10.0.0.1:80; aaad ${V:0:4} ${V:9} ${#V} ${V//./_} ${V/0/x/} \"${V/:80}\" ${L:1:1} ${V:x}; bbbd",
         ["bbbd"]),
        ("V=10.0.0.1:80; aaad ${V:0:4} ${V:9} ${#V} ${V//./_} ${V/0/x} \"${V/:80}\" ${L:1:1}",
         ["aaad 10.0 80 11 10_0_0_1:80 1x.0.0.1:80 10.0.0.1 ,"]),
        ("while true; do aaad $((1/0)); bbbd; sleep 1; done; i=1; while [ $i ]; do i=$((i+1)); done",
         ["bbbd"]),
    ],
)  # fmt: skip
def test_scripts_count_loop_and_read(tmp_path: Path, script: str, expected: list[str]) -> None:
    listed = "web 80\n# no\nftp 21 x y\n"
    found = found_in(
        tmp_path / "root", {**_ROOT, "/etc/init.d/rcS": f"#!/bin/sh\nL='p,q r'\n{script}\n", "/etc/l": listed}
    )
    assert commands(found) == expected


def test_what_a_file_sets_that_only_the_device_makes_is_not_taken_as_empty(tmp_path: Path) -> None:
    script = "if params | grep debug > /tmp/debug; then . /tmp/debug; fi\nA=1\n"
    script += 'if [ "x$DEBUG" != x ]; then aaad; fi\n[ "$A" = 1 ] && bbbd\n'
    found = found_in(tmp_path / "root", {**_ROOT, "/etc/init.d/rcS": f"#!/bin/sh\n{script}"})
    assert commands(found) == ["aaad", "bbbd"]
    assert found.targets[0].notes == ['only where `[ "x${DEBUG}" != x ]` (/etc/init.d/rcS line 4) holds']


def test_a_long_script_is_followed_as_far_as_it_is_read_and_that_is_told(tmp_path: Path) -> None:
    script = "#!/bin/sh\naaad\n" + "# a word\n" * 40_000 + "bbbd\n"
    found = found_in(tmp_path / "root", {**_ROOT, "/etc/init.d/rcS": script})
    assert commands(found) == ["aaad"]
    assert left_out(found)["/etc/init.d/rcS"] == "only its first 256 KiB were read"


def test_a_long_script_does_not_end_the_one_that_starts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "MAX_SCRIPT_STEPS", 400)
    endless = "#!/bin/sh\n" + "for a in 1 2 3 4 5 6 7 8 9; do\n" * 4 + "true\n" + "done\n" * 4
    rcs = '#!/bin/sh\nfor i in /etc/init.d/S??*; do\nif [ "$quick" ]; then $i & else $i; fi\ndone\nbbbd\n'
    found = found_in(
        tmp_path / "root",
        {
            **_ROOT,
            "/etc/init.d/rcS": rcs,
            "/etc/init.d/S01a": endless,
            "/etc/init.d/S02b": endless,
            "/etc/init.d/S03c": "#!/bin/sh\naaad\n",
        },
    )
    assert commands(found) == ["aaad", "bbbd"]
    why = left_out(found)
    assert why["/etc/init.d/S01a"] == why["/etc/init.d/S02b"] == "only its first 400 steps were followed"
    assert "/etc/init.d/S03c" not in why


def test_scripts_that_no_start_script_calls_are_followed_where_there_is_none(tmp_path: Path) -> None:
    found = found_in(tmp_path / "root", {**_ROOT, "/etc/init.d/S50web": "#!/bin/sh\nwebd $1\n"})
    assert commands(found) == ["webd start"]
