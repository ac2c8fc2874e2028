"""What systemd would start: enabled units in their order, with drop-ins, templates, variables and needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.made_roots import ELF, commands, found_in, left_out, of
from triage_tui.campaign.discovery.unit_commands import split
from triage_tui.campaign.discovery.unit_files import Unit

UNITS = "/lib/systemd/system"
ALIAS = "[Install]\nAlias=x.service\n"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"
ROOT: dict[str, str | bytes] = {
    "/lib/systemd/systemd": ELF,
    "/sbin/init": "-> ../lib/systemd/systemd",
    "/bin/sh": ELF,
    **{
        f"/usr/sbin/{name}": ELF
        for name in ("aaad", "logd", "webd", "netd", "inst", "sockd", "oneshot", "shd")
    },
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv/web:/bin/false\n",
    "/srv/web/index": "x",
    f"{UNITS}/sysinit.target": "[Unit]\nDescription=early\n",
    f"{UNITS}/basic.target": "[Unit]\nAfter=sysinit.target\n",
    f"{UNITS}/multi-user.target": "[Unit]\nAfter=basic.target\n",
    f"{UNITS}/sysinit.target.wants/zlog.service": "-> ../zlog.service",
    f"{UNITS}/zlog.service": "[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n"
    "[Service]\nExecStart=/usr/sbin/logd --early\n",
    f"{UNITS}/aaa.service": f"[Unit]\nAfter=web.service\n[Service]\nExecStart=/usr/sbin/aaad\n{INSTALL}",
    f"{UNITS}/web.service": """\
[Unit]
After=network.target net.service
# a comment
[Service]
Type=simple
User=web
WorkingDirectory=~
Environment="MODE=a b" LEVEL=3 'QUOTED=it is'
Environment=GONE=1
EnvironmentFile=-/etc/default/web
EnvironmentFile=-/etc/default/none
ExecStartPre=/bin/mkdir -p /run/web
ExecStart=-/usr/sbin/webd -f $OPTS --mode=${MODE} "$$HOME" '100%%' \\
    # not an end
    %n
[Install]
WantedBy=multi-user.target
""",
    "/etc/default/web": "# options\nOPTS=\"-p 80 -v\"\nMODE='over ridden'\nexport BAD=1\n",
    "/etc/systemd/system/web.service.d/10-more.conf": "[Service]\nEnvironment=\nEnvironment=DROPPED=yes\n",
    f"{UNITS}/net.service": "[Service]\nExecStart=@/usr/sbin/netd netd-name -i eth0\n[Install]\nAlias=n\n",
    f"{UNITS}/inst@.service": "[Service]\nExecStart=/usr/sbin/inst --dev=/dev/%i --name %I -p %p\n",
    **{
        f"/etc/systemd/system/multi-user.target.wants/{name}.service": f"-> {UNITS}/{name}.service"
        for name in ("aaa", "web", "net", "cond", "host", "jail", "one", "shell", "getty@tty1")
    },
    "/etc/systemd/system/sockets.target.wants/sock.socket": f"-> {UNITS}/sock.socket",
    f"{UNITS}/off.service": f"[Service]\nExecStart=/usr/sbin/aaad -off\n{INSTALL}",
    f"{UNITS}/rescue.target": "[Unit]\n",
    f"{UNITS}/rescue.target.wants/saver.service": "-> ../saver.service",
    f"{UNITS}/saver.service": "[Service]\nExecStart=/usr/sbin/aaad -rescue\n",
    "/etc/systemd/system/multi-user.target.wants/inst@ttyS0.service": f"-> {UNITS}/inst@.service",
    "/etc/systemd/system/multi-user.target.wants/lost.service": "-> /lib/systemd/system/lost.service",
    f"{UNITS}/templ@.service": f"[Service]\nExecStart=/usr/sbin/inst\n{INSTALL}",
    f"{UNITS}/sock.socket": "[Socket]\nListenStream=23\nAccept=yes\n[Install]\nWantedBy=sockets.target\n",
    f"{UNITS}/sock@.service": "[Service]\nExecStart=/usr/sbin/sockd -i\nStandardInput=socket\n",
    f"{UNITS}/masked.service": "-> /dev/null",
    f"{UNITS}/idle.service": "[Service]\nExecStart=/usr/sbin/aaad -x\n",
    f"{UNITS}/cond.service": "[Unit]\nConditionPathExists=/etc/nothing\n"
    f"[Service]\nExecStart=/usr/sbin/aaad -c\n{INSTALL}",
    f"{UNITS}/host.service": f"[Service]\nExecStart=/usr/sbin/aaad %H\n{INSTALL}",
    f"{UNITS}/jail.service": f"[Service]\nRootDirectory=/srv\nExecStart=/usr/sbin/aaad\n{ALIAS}",
    f"{UNITS}/one.service": "[Service]\nType=oneshot\n"
    f"ExecStart=/usr/sbin/oneshot a ; /usr/sbin/oneshot b\nExecStart=/bin/mount -a\n{INSTALL}",
    f"{UNITS}/getty@.service": "[Service]\nExecStart=/sbin/agetty %I\nStandardInput=tty\n[Install]\n"
    "DefaultInstance=tty1\nWantedBy=getty.target\n",
    f"{UNITS}/shell.service": "[Service]\n"
    f"ExecStart=/bin/sh -c '[ -e /etc/gone ] || exec /usr/sbin/shd $OPT'\n{INSTALL}",
    "/etc/init.d/web": "#!/bin/sh\n/usr/sbin/webd -d\n",
    "/etc/init.d/sysv": "#!/bin/sh\n/usr/sbin/aaad --sysv $1\n",
    "/etc/rc3.d/S20sysv": "-> ../init.d/sysv",
    "/etc/rc3.d/S20web": "-> ../init.d/web",
}


def test_units_are_started_in_order_with_all_they_say(tmp_path: Path) -> None:
    found = found_in(tmp_path / "root", ROOT)
    assert found.init == "systemd"
    assert commands(found) == [
        "/usr/sbin/logd --early",
        "/usr/sbin/inst --dev=/dev/ttyS0 --name ttyS0 -p inst",
        "netd-name -i eth0",
        "/usr/sbin/oneshot a",
        "/usr/sbin/oneshot b",
        "/usr/sbin/shd",
        "/usr/sbin/sockd -i",
        "/usr/sbin/webd -f -p 80 -v --mode=over ridden $HOME 100% web.service",
        "/usr/sbin/aaad",
        "/usr/sbin/aaad --sysv start",
    ]
    web = of(found, "web")
    assert (web.user, web.cwd) == (33, "/srv/web")
    assert web.env == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "USER": "web",
        "LOGNAME": "web",
        "HOME": "/srv/web",
        "SHELL": "/bin/false",
        "DROPPED": "yes",
        "OPTS": "-p 80 -v",
        "MODE": "over ridden",
    }
    assert web.origin == f"{UNITS}/web.service line 13"
    sock = of(found, "sock@")
    assert sock.stdin == "open"
    assert sock.notes == ["it needs a connected socket as its standard input, as systemd gives it"]
    assert of(found, "one").notes == ["it does its work and ends (Type=oneshot)"]
    assert (of(found, "net").program, of(found, "net").argv[0]) == ("/usr/sbin/netd", "netd-name")


def test_a_boot_starts_what_its_target_reaches(tmp_path: Path) -> None:
    service = "[Service]\nExecStart=/usr/sbin/{}\n"
    found = found_in(
        tmp_path / "root",
        {
            "/lib/systemd/systemd": ELF,
            "/sbin/init": "-> ../lib/systemd/systemd",
            "/bin/sh": ELF,
            **{f"/usr/sbin/{name}d": ELF for name in "abcdefgh"},
            "/etc/systemd/system/default.target": f"-> {UNITS}/multi-user.target",
            f"{UNITS}/multi-user.target": "[Unit]\nWants=own.target\n",
            f"{UNITS}/own.target": "[Unit]\nRequires=a.service\n",
            f"{UNITS}/other.target": "[Unit]\nWants=b.service\n",
            f"{UNITS}/a.service": "[Unit]\nWants=c.service lost.service\n" + service.format("ad"),
            f"{UNITS}/b.service": service.format("bd"),
            f"{UNITS}/c.service": "[Unit]\nConditionPathExists=/run/c\nConditionPathExists=|/etc/no\n"
            "ConditionPathExists=|/etc/rc.local\n" + service.format("cd --state ${STATE_DIRECTORY}")
            + "Environment=GONE=1 KEPT=1\nUnsetEnvironment=GONE\nStateDirectory=c more:less\n",
            f"{UNITS}/d.socket": f"[Socket]\nListenStream=1\n{INSTALL}",
            f"{UNITS}/d.service": service.format("dd"),
            f"{UNITS}/e.service": "[Unit]\nConditionFirstBoot=yes\nConditionPathExists=|/etc/no\n"
            + service.format("ed"),
            f"{UNITS}/rc-local.service": "[Service]\nType=forking\nExecStart=/etc/rc.local start\n",
            "/etc/rc.local": "#!/bin/sh\nfd $1 &\nexit 0\n",
            "/etc/systemd/system/own.target.wants/e.service": f"-> {UNITS}/e.service",
            f"{UNITS}/bt.service": service.format("hd") + "[Install]\nWantedBy=bluetooth.target\n",
        },
    )  # fmt: skip
    assert commands(found) == ["/usr/sbin/ad", "/usr/sbin/cd --state /var/lib/c:/var/lib/more", "fd start"]
    c = of(found, "c")
    assert (c.env.get("GONE"), c.env["KEPT"]) == (None, "1")
    assert c.notes == ["only where its condition ConditionPathExists=/run/c holds"]
    why = left_out(found)
    assert why["b.service"] == "nothing starts this unit: it has no [Install], and no other unit wants it"
    assert why["d.service"] == "nothing starts this unit: it has no [Install], and no other unit wants it"
    assert why["e.service"] == "none of its conditions that begin with | holds in this root"
    assert why["bt.service"] == "it is not enabled: no link starts it"


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("masked.service", "it is masked: a link to /dev/null, or an empty file"),
        ("idle.service", "nothing starts this unit: it has no [Install], and no other unit wants it"),
        ("templ@.service", "it is a template, and nothing in the root names an instance"),
        ("lost.service", "a link starts it, and its file is not in the root"),
        ("cond.service", "its condition ConditionPathExists=/etc/nothing does not hold in this root"),
        ("host.service", "the specifier %H stands for the host's name"),
        ("off.service", "it is not enabled: no link starts it"),
        ("saver.service", "only rescue.target starts it, which this boot does not reach"),
        ("jail.service", "it runs inside another root (RootDirectory=/srv)"),
        ("getty@tty1.service", "it waits for a person at a terminal"),
        ("/bin/mount -a", "there is no program /bin/mount in the root"),
        ("/etc/rc3.d/S20web", ""),
    ],
)
def test_units_that_are_left_out_say_why(tmp_path: Path, what: str, why: str) -> None:
    told = left_out(found_in(tmp_path / "root", {**ROOT, "/bin/mount": "x"} if not why else ROOT))
    assert told.get(what, "") == (why if what != "/bin/mount -a" else "a tool that does its work and ends")


def test_hostile_units_end(tmp_path: Path) -> None:
    circle = f"[Unit]\nAfter={{other}}.service\n[Service]\nExecStart=/usr/sbin/aaad {{name}}\n{ALIAS}"
    found = found_in(
        tmp_path / "root",
        {
            "/usr/sbin/aaad": ELF,
            f"{UNITS}/a.service": circle.format(name="a", other="b"),
            f"{UNITS}/b.service": circle.format(name="b", other="a"),
            f"{UNITS}/c.service": "[Service\nExecStart=\n[Install]\n=x\n\\\n\\\n",
            f"{UNITS}/d.service": "-> d.service",
            f"{UNITS}/e.service": f"[Service]\nExecStart=/usr/sbin/aaad 'open \"\\x4\n{ALIAS}",
            f"{UNITS}/f.service": f"[Service]\nExecStart=../../../bin/sh\nWorkingDirectory=../..\n{ALIAS}",
            f"{UNITS}/g.service": f"[Service]\nExecStart=/usr/sbin/aaad \\x1b]0;x\\a\n{ALIAS}",
        },
    )
    assert "/usr/sbin/aaad a" in commands(found)
    assert "/usr/sbin/aaad b" in commands(found)
    assert left_out(found)["../../../bin/sh"] == "there is no program ../../../bin/sh in the root"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("'a b' \"c d\"e f'g'", ["a b", "c de", "fg"]),
        (r"a\ b \"x\" \x41\101\n", ["a b", '"x"', "AA\n"]),
        ("'' \"\"", ["", ""]),
        ("'not closed", ["not closed"]),
        ("", []),
    ],
)
def test_command_lines_are_split_as_systemd_does(text: str, words: list[str]) -> None:
    assert split(text) == words


def test_an_instance_is_what_stands_behind_the_at_sign() -> None:
    unit = Unit(name="serial-getty@ttyS0.service", path="")
    assert (unit.instance, unit.prefix) == ("ttyS0", "serial-getty")
    assert (Unit(name="web.service", path="").instance, Unit(name="web.service", path="").prefix) == (
        "",
        "web",
    )
