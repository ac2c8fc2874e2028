"""Services in directories of their own: OpenRC's runlevels, runit, s6, and xinetd's."""

from __future__ import annotations

from pathlib import Path

from tests.campaign.made_roots import ELF, commands, found_in, left_out, of

_ROOT: dict[str, str | bytes] = {
    "/bin/busybox": ELF,
    "/bin/sh": "-> busybox",
    **{f"/usr/bin/{name}": ELF for name in ("aaad", "bbbd", "webd", "svlogd", "xinetd")},
    "/etc/passwd": "root:x:0:0::/:/bin/sh\nweb:x:33:33::/:\n",
}


def test_the_runlevels_of_openrc_are_followed_in_order(tmp_path: Path) -> None:
    run = "#!/sbin/openrc-run\n"
    links = {"boot": ("early",), "default": ("alate", "web", "zlog")}
    found = found_in(
        tmp_path / "root",
        {
            **_ROOT,
            "/sbin/init": "-> ../bin/busybox",
            "/sbin/openrc": ELF,
            "/sbin/openrc-run": ELF,
            "/etc/inittab": "::sysinit:/sbin/openrc sysinit\n::sysinit:/sbin/openrc boot\n"
            "::wait:/sbin/openrc default\n",
            **{
                f"/etc/runlevels/{level}/{name}": f"-> /etc/init.d/{name}"
                for level, names in links.items()
                for name in names
            },
            "/etc/init.d/early": f"{run}command=/usr/bin/aaad\n",
            "/etc/init.d/web": f'{run}command=/usr/bin/webd\ncommand_args="${{WEB_OPTS}} -n $RC_SVCNAME"\n'
            "command_user=web\ncommand_args_background=-B\ndepend() {\n\tneed zlog\n}\n",
            "/etc/init.d/zlog": f"{run}supervisor=supervise-daemon\ncommand=/usr/bin/bbbd\n"
            "command_args_background=-B\ncommand_args_foreground=-F\ndepend() { before alate; }\n",
            "/etc/init.d/alate": f"{run}start() {{\n ebegin x\n"
            " start-stop-daemon --start --exec /usr/bin/aaad -- -l\n}\n",
            "/etc/init.d/off": f"{run}command=/usr/bin/bbbd\n",
            "/etc/conf.d/web": "WEB_OPTS='-p 80'\n",
        },
    )  # fmt: skip
    assert commands(found) == [
        "/usr/bin/aaad",
        "/usr/bin/bbbd -F",
        "/usr/bin/aaad -l",
        "/usr/bin/webd -p 80 -n web -B",
    ]
    assert of(found, "webd").user == 33
    assert of(found, "webd").notes == []
    assert left_out(found)["/etc/init.d/off"] == "nothing starts this script at boot"


def test_what_runit_and_s6_supervise_is_found_with_its_environment(tmp_path: Path) -> None:
    found = found_in(
        tmp_path / "root",
        {
            **_ROOT,
            "/sbin/init": "-> runit-init",
            "/sbin/runit-init": ELF,
            "/etc/runit/1": "#!/bin/sh\naaad --early\n",
            "/etc/sv/web/run": "#!/bin/sh\nexec 2>&1\nexec chpst -u web -e ./env webd -f\n",
            "/etc/sv/web/env/MODE": "fast\nmore\n",
            "/etc/sv/web/log/run": "#!/bin/sh\nexec svlogd /var/log\n",
            "/etc/service/web": "-> ../sv/web",
            "/etc/sv/off/run": "#!/bin/sh\nexec bbbd\n",
            "/etc/s6/services/x/run": "#!/bin/execlineb -P\nwebd\n",
            "/etc/services.d/y/run": "#!/usr/bin/with-contenv sh\nexec chpst -/ /jail bbbd\n",
        },
    )
    assert commands(found) == ["aaad --early", "webd -f", "svlogd /var/log"]
    web = of(found, "webd")
    assert (web.user, web.cwd, web.env["MODE"]) == (33, "/etc/service/web", "fast")
    why = left_out(found)
    assert why["/etc/sv/off/run"] == "it is not enabled: nothing in /etc/service links to it"
    assert why["/etc/s6/services/x/run"].startswith("it is a script of execlineb, which is not followed")
    assert why["exec chpst -/ /jail bbbd"] == "it runs inside another root, /jail"
    assert "/sbin/init" not in why


def test_defaults_of_xinetd_and_an_inetd_that_nothing_starts(tmp_path: Path) -> None:
    service = "service {0}\n{{\n server = /usr/bin/{1}\n server_args = -{0}\n}}\n"
    files: dict[str, str | bytes] = {
        **_ROOT,
        "/etc/xinetd.conf": "defaults\n{\n disabled = ftp x\n}\nincludedir /etc/extra\n",
        "/etc/extra/ftp": service.format("ftp", "aaad"),
        "/etc/extra/tftp": service.format("tftp", "bbbd"),
        "/etc/init.d/S10xinetd": "#!/bin/sh\nxinetd\n",
    }
    found = found_in(tmp_path / "root", files)
    assert commands(found) == ["xinetd", "bbbd -tftp"]
    assert len(of(found, "tftp").notes) == 1
    assert left_out(found)["ftp (xinetd)"] == "it is disabled (disabled = ... in the defaults)"
    files["/etc/xinetd.conf"] = "defaults\n{\n enabled = ftp\n}\nincludedir /etc/extra\n"
    del files["/etc/init.d/S10xinetd"]
    found = found_in(tmp_path / "other", files)
    assert commands(found) == ["aaad -ftp"]
    assert of(found, "ftp").notes[1] == "nothing that was found starts inetd or xinetd"
    assert left_out(found)["tftp (xinetd)"] == "it is not among those that are enabled in the defaults"
