"""Inits that are neither busybox's nor a distribution's: Android's, and programs of the vendor's own."""

from __future__ import annotations

from pathlib import Path

from tests.campaign.made_roots import ELF, commands, found_in, left_out, of


def _code(*texts: str) -> bytes:
    return ELF + b"\0" + b"\0".join(text.encode() for text in texts) + b"\0"


_RC = """\
import /init.${ro.hardware}.rc
import /init.lost.rc
on init
    # a comment
    export PATH /sbin:/system/bin
    symlink /system/vendor /vendor
on late-init
    trigger boot
on boot
    class_start core
    class_start main
on property:ro.debuggable=1
    start shell
on property:sys.wanted=1 && property:ro.debuggable=1
    start asked
on property:ro.debuggable=0
    start never
service adbd /sbin/adbd \\
    --root
    class core
    disabled
    socket adbd stream 660 system system
service netd /system/bin/netd -x "a b"
    class main
    user system
    setenv MODE fast
service other /vendor/bin/other ${ro.model:-none} ${ro.gone}
    class main
service vend /vendor/bin/other ${ro.model:-none}
    class main
    oneshot
service asked /system/bin/netd -asked
    disabled
service never /system/bin/netd -never
    disabled
service late /system/bin/netd -late
    class late_start
service shell /system/bin/sh
    class core
    disabled
"""


def test_androids_init_starts_what_its_triggers_reach(tmp_path: Path) -> None:
    found = found_in(
        tmp_path / "root",
        {
            "/init": ELF,
            "/init.rc": _RC,
            "/init.acme.rc": "on boot\n    start adbd\n    start nobody\n",
            "/system/etc/init/extra.rc": "service extra /system/bin/netd -e\n    user shell\n"
            "on boot\n start extra\n",
            "/system/build.prop": "ro.debuggable=1\n#ro.gone=1\nro.model=AC\n",
            **dict.fromkeys(("/sbin/adbd", "/system/bin/netd", "/system/bin/sh"), ELF),
            "/system/vendor/bin/other": ELF,
        },
    )
    assert found.init == "android"
    assert commands(found) == [
        "/system/bin/netd -x a b",
        "/vendor/bin/other AC",
        "/sbin/adbd --root",
        "/system/bin/netd -e",
        "/system/bin/netd -asked",
    ]
    netd = of(found, "netd")
    assert (netd.user, netd.env, netd.origin) == (
        1000,
        {"PATH": "/sbin:/system/bin", "MODE": "fast"},
        "/init.rc line 23",
    )
    assert of(found, "vend").program == "/system/vendor/bin/other"
    assert of(found, "vend").notes == ["it does its work and ends (oneshot)"]
    assert of(found, "extra").user == 2000
    assert of(found, "adbd").notes == ["init hands it the sockets adbd, which are not there"]
    assert of(found, "asked").notes == ["only where the property sys.wanted=1 and ro.debuggable=1 is set"]
    why = left_out(found)
    assert why["import /init.lost.rc"] == "there is no file /init.lost.rc in the root"
    assert why["start nobody"] == "no service has that name"
    assert why["/system/bin/netd -never"] == "it is disabled, and nothing in the boot starts it"
    assert why["/system/bin/netd -late"] == "nothing starts its class late_start"
    assert why["/system/bin/sh"] == "a shell of the console"
    assert why["/vendor/bin/other ${ro.model:-none} ${ro.gone}"] == (
        "a property in it is known on the device alone"
    )


def test_hostile_files_of_android_end(tmp_path: Path) -> None:
    found = found_in(
        tmp_path / "root",
        {
            "/init.rc": "import /init.rc\nimport /a.rc\nimport /dir\non boot\n trigger boot\n trigger x\n"
            "on x\n trigger boot\nservice\nservice a\nservice \x1b]0;x\x07 /bin/\x1b\n class\n"
            "on\n\\\n\\\n'\"\non boot\n"
            " class_start default\n start\n export\n setprop a\n",
            "/a.rc": "import /init.rc\nimport ${${a}}\nimport ../../../../etc/passwd\nservice b /bin/b '\n",
            "/dir/b.rc": "service c ../bin/b\non early-init\n start c\n",
            "/bin/b": ELF,
        },
    )
    assert commands(found) == ["/bin/b '"]
    assert left_out(found)["../bin/b"] == "its program ../bin/b is no absolute path"
    assert not any("\x1b" in one.what + one.why for one in found.left_out)


def test_programs_that_a_vendors_init_names_are_found(tmp_path: Path) -> None:
    serving = _code("listen")
    found = found_in(
        tmp_path / "root",
        {
            "/sbin/rc": _code(
                *("/usr/sbin/httpd", "httpd", "upnpd", "killall httpd", "/bin/eapd", "/bin/nas %s"),
                *("wps_monitor &", "%s -x", "/lib/libnvram.so", "telnetd -l /bin/sh", "telnetd", "ifconfig"),
                *("dnsmasq -h -n -i %s", "rc", "nvram", "sh", "setter", "../x", "/usr/sbin/lost", "udevd"),
            ),
            "/sbin/init": "-> rc",
            **{f"/usr/sbin/{name}": serving for name in ("httpd", "upnpd", "dnsmasq", "telnetd", "udevd")},
            **{f"/bin/{name}": serving for name in ("eapd", "wps_monitor")},
            "/bin/nas": ELF,
            "/bin/setter": ELF,
        },
    )
    assert found.init == ""
    assert commands(found) == ["/usr/sbin/httpd", "upnpd", "/bin/eapd", "wps_monitor", "telnetd -l /bin/sh"]
    assert of(found, "upnpd").notes == [
        "/sbin/init names it in its code: when it starts it, and with which other arguments, is not known"
    ]
    why = left_out(found)
    assert why["dnsmasq -h -n -i %s"] == (
        "/sbin/init puts its command line together, so name it in a target file"
    )
    assert why["nas, setter"] == "/sbin/init names them in its code, and nothing in theirs waits for others"
    assert why["/sbin/init"].startswith("this init is a program of the vendor's own")
